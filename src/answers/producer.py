"""One attempt at one answer: claim, retrieve, prompt, stream, store. Belongs to no client connection."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing, nullcontext, suppress
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import structlog
from sqlalchemy.exc import SQLAlchemyError

from answers.asking import Asking
from answers.candidates import Candidate, candidates
from answers.citations import CitationFilter
from answers.ends import STATUS, StopRequestedError, checked_end
from answers.ground import Gathered, Ground
from answers.memory import Recall
from answers.patience import Patience
from answers.prompt import build_request
from answers.services import Services
from answers.token_counts import COUNT_SECONDS, tokens_of
from answers.vanished import interrupted_too_often
from answers.whole_text import WholeText
from answers.writer import MAX_DELTA_CHARS, AnswerWriter
from core.errors import ErrorCode, FailureError, ProviderError
from core.ids import TenantId
from datastores import answer_attempts, answers
from datastores.answer_events import AnswerStepKind, Body, Cited, Completed, Delta, Failed, Step, Stopped
from datastores.answer_log import SupersededError
from datastores.answer_turns import ClaimedAnswer
from datastores.redis_client import REDIS_ERRORS
from providers.base import ChatEvent, ChatFinished, ChatRequest, TextDelta

MAX_ANSWER_CHARS = 4_000_000
"""Of one answer, which is kept in memory: a model that repeats itself for ever is ended here."""
_STOPPED = "STOPPED"
"""An attempt's `finish_reason` where a person ended it before the model had."""
log = structlog.get_logger(__name__)


class Attempt:
    """The state of one attempt, from its claim to its outcome."""

    def __init__(self, services: Services, tenant_id: TenantId, answer_id: UUID, claimed: ClaimedAnswer) -> None:
        self._services = services
        self._tenant_id = tenant_id
        self._answer_id = answer_id
        self._claimed = claimed
        self._writer = AnswerWriter(
            *(services.answer_log, services.postgres, services.pace, tenant_id, answer_id, claimed.epoch),
            lost=self._end_streaming,
        )
        self._filter = CitationFilter(())
        self._candidates = candidates(services.settings, tenant_id, claimed)
        self._provider = self._candidates[0].provider
        self._model = claimed.model or ""
        self._finished: ChatFinished | None = None
        self._started_at = datetime.now(UTC)
        self._began = time.monotonic()
        self._first_token_ms: int | None = None
        self._thinking = False
        self._characters = 0
        self._interruption: FailureError | StopRequestedError | None = None
        self._streaming: asyncio.Timeout | None = None
        self._asking = Asking(
            services.settings, ask=self._ask, begun=lambda: self._first_token_ms is not None, tell=self._tell
        )
        self._request: ChatRequest | None = None
        self._called = False
        """Whether a model has the request, and has not refused it."""
        self.following: UUID | None = None
        """Once this answer has ended: the one that the conversation goes on with."""
        self._ground = Ground(services, tenant_id, claimed, self._candidates[0], self._tell)
        self._recall = Recall(services.memory.answers, tenant_id, claimed)

    def interrupt(self, reason: FailureError | StopRequestedError) -> None:
        """Have the answer end now, stopped or failed for this reason; what it has said is kept.

        The first reason counts. Too late changes nothing.
        """
        if self._interruption is None:
            self._interruption = reason
            self._end_streaming()

    def _end_streaming(self) -> None:
        if self._streaming is not None and not self._streaming.expired():
            self._streaming.reschedule(asyncio.get_running_loop().time())

    async def run(self) -> None:
        """Produce the answer and store how it ended. Raises `SupersededError` when another attempt owns it."""
        try:
            given_up = await interrupted_too_often(
                self._services.postgres, self._tenant_id, self._answer_id, earlier=self._claimed.epoch - 1
            )
            if given_up or self._claimed.stop_requested:
                await self._end_for_another(None if self._claimed.stop_requested else given_up)
                return
            await self._writer.open()
            await self._run()
        finally:
            await self._writer.aclose()

    async def _run(self) -> None:
        failure: Failed | None = None
        stopped = False
        try:
            await self._stream_unless_interrupted()
        except FailureError as error:
            log.warning("answer failed", answer=self._answer_id.hex, code=error.code.value)
            failure = Failed(self._answer_id, error.code, error.message, error.retryable)
        except StopRequestedError:
            stopped = True
        except (SupersededError, asyncio.CancelledError, SQLAlchemyError, OSError):
            # Not the answer's fault: it stays unfinished, and a sweep has it written again.
            raise
        except Exception:
            log.exception("answer failed", answer=self._answer_id.hex)
            words = "The answer failed on our side. Try again."
            failure = Failed(self._answer_id, ErrorCode.INTERNAL, words, retryable=True)
        await self._store(failure, stopped=stopped)

    async def hand_over(self) -> None:
        """Record that this attempt ends here through no fault of the answer's. Harmless where it has ended already."""
        async with self._services.postgres.write(self._tenant_id) as tx:
            await answer_attempts.hand_over(
                tx,
                self._answer_id,
                self._claimed.epoch,
                provider=self._provider,
                model=self._model,
                ordinal=len(self._asking.given_up) + 1,
                started_at=self._model_asked_at,
            )

    async def _end_for_another(self, failure: Failed | None) -> None:
        """End an answer whose producer died before it could, with what is left of it in its log: failed or stopped."""
        said: list[Cited | Delta] = []
        with suppress(*REDIS_ERRORS):
            said = await self._services.answer_log.said(self._tenant_id, self._answer_id)
        await self._writer.open()
        self._filter.go_on_from(said)
        self._writer.say(said)
        if said:
            # What the model was asked died with the producer: made again, it is close enough for an estimate.
            with suppress(FailureError, StopRequestedError, TimeoutError, OSError, SQLAlchemyError):
                self._model = self._model or self._services.providers.default_model(self._provider)
                async with asyncio.timeout(COUNT_SECONDS):
                    self._request = self._request_of(await self._ground.gather())
        await self._store(failure, stopped=failure is None)

    async def _stream_unless_interrupted(self) -> None:
        if self._interruption is not None:
            raise self._interruption
        try:
            # Without an end of its own: `interrupt` sets one.
            async with asyncio.timeout(None) as self._streaming:
                await self._stream()
        except TimeoutError:
            self._writer.check()
            if self._interruption is None:
                raise
        finally:
            self._streaming = None
        if self._interruption is not None:
            raise self._interruption

    async def _stream(self) -> None:
        self._writer.say([Step(AnswerStepKind.RETRIEVING)])
        ground = await self._ground.gather()
        self._filter = CitationFilter(ground.sources)
        self._writer.say(ground.steps)
        self._request = self._request_of(ground)
        await self._asking.in_turn(self._candidates)

    def _request_of(self, ground: Gathered) -> ChatRequest:
        return build_request(
            question=self._claimed.question,
            sources=ground.sources,
            history=ground.history,
            system=self._ground.system,
            model=self._model,
            temperature=self._claimed.temperature,
        )

    async def _ask(self, candidate: Candidate) -> None:
        """Ask one model once, and carry what it says to the log."""
        assert self._request is not None
        self._provider, self._model = candidate.provider, candidate.model or ""
        async with self._services.providers.using(candidate.provider, candidate.own) as chat:
            self._model = candidate.model = candidate.model or chat.default_model
            self._finished = None
            request = replace(self._request, model=self._model)
            remembered = await self._recall.stream(candidate.provider, request)
            circuits = self._services.providers.circuits
            with circuits.call(candidate.provider, candidate.own) if remembered is None else nullcontext():
                end = await self._end_of(remembered or chat.stream(request))
        await self._recall.keep(candidate.provider, request, end)

    async def _end_of(self, stream: AsyncGenerator[ChatEvent, None]) -> ChatFinished:
        self._called = True
        try:
            await self._forward(stream)
        except ProviderError:
            self._called = False
            raise
        self._writer.say(self._filter.finish())
        return checked_end(self._finished, self._filter.text)

    def _tell(self, detail: str) -> None:
        if self._interruption is not None:
            # A library has made its own error of the cancellation: nobody is asked again.
            raise self._interruption
        self._writer.say([Step(AnswerStepKind.RETRYING, detail)])

    async def _forward(self, stream: AsyncGenerator[ChatEvent, None]) -> None:
        """Carry the provider's text to the log, piece by piece; `provider_timeout` bounds each wait."""
        whole = WholeText()
        # Closing the stream ends the vendor's call, whatever ended this loop.
        async with aclosing(stream):
            try:
                async with Patience(self._services.settings.provider_timeout) as patience:
                    async for event in stream:
                        if self._interruption is not None:
                            # A library may have swallowed the cancellation.
                            raise self._interruption
                        patience.heard()
                        if isinstance(event, TextDelta):
                            await self._take(whole.take(event.text))
                        elif isinstance(event, ChatFinished):
                            await self._take(whole.end())
                            self._finished = event
                            return
                        elif not self._thinking:
                            self._thinking = True
                            self._writer.say([Step(AnswerStepKind.THINKING)])
            except TimeoutError:
                raise ProviderError(
                    ErrorCode.TIMED_OUT, "The model did not answer in time. Try again.", retryable=True
                ) from None

    async def _take(self, text: str) -> None:
        if text and self._first_token_ms is None:
            self._first_token_ms = self._elapsed_ms()
        self._characters += len(text)
        if self._characters > MAX_ANSWER_CHARS:
            raise ProviderError(
                ErrorCode.PROVIDER_BAD_RESPONSE, "The model did not come to an end. Ask more briefly.", retryable=False
            )
        self._recall.note(text)
        for at in range(0, len(text), MAX_DELTA_CHARS):
            if at:  # a megabyte at once must not hold up the process's other answers
                await asyncio.sleep(0)
            self._writer.say(self._filter.feed(text[at : at + MAX_DELTA_CHARS]))

    async def _store(self, failure: Failed | None, *, stopped: bool) -> None:
        await self._writer.settle()
        finished = self._finished
        was_asked = (self._filter.text or self._called) and not self._recall.hit
        tokens = tokens_of(finished, self._request if was_asked else None, self._filter.text)
        terminal: Body = failure or (Stopped if stopped else Completed)(self._answer_id)
        outcome = answers.Outcome(
            status=STATUS[type(terminal)],
            text=self._filter.text,
            citations=self._filter.citations,
            provider=self._provider,
            model=self._model,
            finish_reason=finished.stop_reason.value if finished else _STOPPED if stopped else None,
            failure=failure,
            input_tokens=tokens[0],
            output_tokens=tokens[1],
            cost=self._services.providers.cost(self._provider, self._model, tokens, cached=self._recall.hit),
            first_token_ms=self._first_token_ms,
            total_ms=self._elapsed_ms(),
            cached=self._recall.hit,
            given_up=self._asking.given_up,
        )
        claim = answers.Claim(self._answer_id, self._claimed.conversation_id, self._claimed.epoch)
        async with self._services.postgres.write(self._tenant_id) as tx:
            ended = await answers.finish(tx, claim, outcome, self._model_asked_at)
            if ended is None:
                raise SupersededError
        self.following = ended.following
        self._writer.say([terminal])
        await self._writer.settle()
        await self._services.news.tell(self._tenant_id, self._claimed.conversation_id)
        await self._ground.remember(outcome, ended.version)

    @property
    def _model_asked_at(self) -> datetime:
        """When the attempt began, or, of a fallback, when it was first asked."""
        return self._asking.since if self._asking.given_up else self._started_at

    def _elapsed_ms(self) -> int:
        return round((time.monotonic() - self._began) * 1000)
