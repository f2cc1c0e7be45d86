"""One attempt at one answer: claim, retrieve, prompt, stream, store. Belongs to no client connection."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

import structlog
from sqlalchemy.exc import SQLAlchemyError

from answers.citations import CitationFilter
from answers.prompt import HISTORY_MESSAGES, build_request
from answers.retrieval import retrieve
from answers.writer import AnswerWriter
from core.errors import ErrorCode, FailureError
from core.ids import TenantId
from core.settings import Settings
from datastores import answer_attempts, answers, conversations
from datastores.answer_events import AnswerStepKind, Body, Cited, Completed, Delta, Failed, Step, Stopped
from datastores.answer_log import AnswerLog, SupersededError
from datastores.answer_slots import AnswerSlots
from datastores.answer_turns import ClaimedAnswer
from datastores.conversation_news import ConversationNews
from datastores.live import LiveChannels
from datastores.models import AnswerStatus, MessageRole
from datastores.postgres import Postgres
from datastores.records import MessageRecord, PassageRecord
from datastores.redis_client import REDIS_ERRORS
from datastores.transactions import LazyRead
from providers.base import ChatEvent, ChatFinished, StopReason
from providers.follow_ups import standalone
from providers.registry import Providers

MAX_ATTEMPTS = 3
"""Attempts whose producer vanished in the middle; those that it handed over do not count."""
_STATUS: dict[type[Body], AnswerStatus] = {
    Completed: AnswerStatus.COMPLETED,
    Stopped: AnswerStatus.STOPPED,
    Failed: AnswerStatus.FAILED,
}
_STOPPED = "STOPPED"
"""An attempt's `finish_reason` where a person ended it before the model had."""
log = structlog.get_logger(__name__)


class StopRequestedError(Exception):
    """A person has stopped the answer: it ends with what it has said."""


@dataclass(slots=True)
class Services:
    """What producing needs of the process."""

    settings: Settings
    postgres: Postgres
    answer_log: AnswerLog
    slots: AnswerSlots
    providers: Providers
    live: LiveChannels
    news: ConversationNews


class Attempt:
    """The state of one attempt, from its claim to its outcome."""

    def __init__(self, services: Services, tenant_id: TenantId, answer_id: UUID, claimed: ClaimedAnswer) -> None:
        self._services = services
        self._tenant_id = tenant_id
        self._answer_id = answer_id
        self._claimed = claimed
        self._writer = AnswerWriter(services.answer_log, services.postgres, tenant_id, answer_id, claimed.epoch)
        self._filter = CitationFilter(())
        self._provider = claimed.provider or services.settings.resolved_chat_provider
        self._model = claimed.model or ""
        self._finished: ChatFinished | None = None
        self._started_at = datetime.now(UTC)
        self._began = time.monotonic()
        self._first_token_ms: int | None = None
        self._interruption: FailureError | StopRequestedError | None = None
        self._streaming: asyncio.Timeout | None = None

    def interrupt(self, reason: FailureError | StopRequestedError) -> None:
        """Have the answer end now, stopped or failed for this reason; what it has said is kept.

        The first reason counts. Too late changes nothing.
        """
        if self._interruption is not None:
            return
        self._interruption = reason
        if self._streaming is not None and not self._streaming.expired():
            self._streaming.reschedule(asyncio.get_running_loop().time())

    async def run(self) -> None:
        """Produce the answer and store how it ended. Raises `SupersededError` when another attempt owns it."""
        if self._claimed.stop_requested:
            await self._end_for_another()
            return
        await self._writer.open()
        failure: Failed | None = None
        stopped = False
        try:
            if await self._vanished() >= MAX_ATTEMPTS:
                raise FailureError(
                    ErrorCode.INTERRUPTED, "The answer was interrupted too often. Ask again.", retryable=True
                )
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
            failure = Failed(
                self._answer_id, ErrorCode.INTERNAL, "The answer failed on our side. Try again.", retryable=True
            )
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
                started_at=self._started_at,
            )

    async def _end_for_another(self) -> None:
        """End a stopped answer whose producer died before it could, with what is left of it in its log."""
        said: list[Cited | Delta] = []
        with suppress(*REDIS_ERRORS):
            said = await self._services.answer_log.said(self._tenant_id, self._answer_id)
        await self._writer.open()
        self._filter.go_on_from(said)
        await self._writer.emit(said)
        await self._store(None, stopped=True)

    async def _vanished(self) -> int:
        """How many earlier attempts nobody ended."""
        earlier = self._claimed.epoch - 1
        if earlier < MAX_ATTEMPTS:
            return earlier
        async with self._services.postgres.read(self._tenant_id) as tx:
            return earlier - await answer_attempts.handed_over(tx, self._answer_id)

    async def _stream_unless_interrupted(self) -> None:
        if self._interruption is not None:
            raise self._interruption
        try:
            # Without an end of its own: `interrupt` sets one.
            async with asyncio.timeout(None) as self._streaming:
                await self._stream()
        except TimeoutError:
            if self._interruption is None:
                raise
        finally:
            self._streaming = None
        if self._interruption is not None:
            raise self._interruption

    async def _stream(self) -> None:
        chat = self._services.providers.chat(self._claimed.provider)
        self._provider, self._model = chat.name, self._claimed.model or chat.default_model
        await self._writer.emit([Step(AnswerStepKind.RETRIEVING)])
        passages, history = await self._gather()
        self._filter = CitationFilter(passages)
        await self._writer.emit([Step(AnswerStepKind.READING, _reading(passages))])
        request = build_request(
            question=self._claimed.question,
            passages=passages,
            history=history,
            instructions=self._claimed.instructions,
            model=self._model,
            temperature=self._claimed.temperature,
        )
        await self._forward(chat.stream(request))
        await self._writer.emit(self._filter.finish())
        self._check_end()

    async def _gather(self) -> tuple[list[PassageRecord], list[MessageRecord]]:
        claimed = self._claimed
        embeddings = self._services.providers.embeddings(claimed.embedding_model_id)
        # Two transactions, with the embedding of the question between them: no connection waits for a model.
        async with aclosing(LazyRead(self._services.postgres, self._tenant_id)) as reads:
            history = await conversations.history_before(
                reads, claimed.conversation_id, claimed.question_sequence, HISTORY_MESSAGES
            )
        earlier = [message.text for message in history if message.role is MessageRole.USER]
        async with aclosing(LazyRead(self._services.postgres, self._tenant_id)) as reads:
            passages = await retrieve(
                reads,
                embeddings,
                standalone(claimed.question, earlier),
                top_k=self._services.settings.retrieval_top_k,
                assistant_id=claimed.assistant_id,
            )
        return passages, history

    async def _forward(self, stream: AsyncGenerator[ChatEvent, None]) -> None:
        """Carry the provider's text to the log, piece by piece; `provider_timeout` bounds each wait."""
        # Closing the stream ends the vendor's call, whatever ended this loop.
        async with aclosing(stream):
            while True:
                if self._interruption is not None:
                    # A library may have swallowed the cancellation.
                    raise self._interruption
                try:
                    async with asyncio.timeout(self._services.settings.provider_timeout):
                        event = await anext(stream, None)
                except TimeoutError:
                    raise FailureError(
                        ErrorCode.TIMED_OUT, "The model did not answer in time. Try again.", retryable=True
                    ) from None
                if event is None or isinstance(event, ChatFinished):
                    self._finished = event
                    return
                if self._first_token_ms is None:
                    self._first_token_ms = self._elapsed_ms()
                await self._writer.emit(self._filter.feed(event.text))

    def _check_end(self) -> None:
        if self._finished is None:
            raise FailureError(
                ErrorCode.PROVIDER_BAD_RESPONSE, "The model broke off in the middle of its answer.", retryable=True
            )
        if self._finished.stop_reason is StopReason.CONTENT_FILTERED:
            raise FailureError(
                ErrorCode.CONTENT_FILTERED, "The model's content filter stopped this answer.", retryable=False
            )
        if not self._filter.text.strip():
            raise FailureError(ErrorCode.PROVIDER_BAD_RESPONSE, "The model gave an empty answer.", retryable=True)

    async def _store(self, failure: Failed | None, *, stopped: bool) -> None:
        finished = self._finished
        terminal: Body = failure or (Stopped if stopped else Completed)(self._answer_id)
        outcome = answers.Outcome(
            status=_STATUS[type(terminal)],
            text=self._filter.text,
            citations=self._filter.citations,
            provider=self._provider,
            model=self._model,
            finish_reason=finished.stop_reason.value if finished else _STOPPED if stopped else None,
            failure=failure,
            input_tokens=finished.input_tokens if finished else None,
            output_tokens=finished.output_tokens if finished else None,
            first_token_ms=self._first_token_ms,
            total_ms=self._elapsed_ms(),
        )
        claim = answers.Claim(self._answer_id, self._claimed.conversation_id, self._claimed.epoch)
        async with self._services.postgres.write(self._tenant_id) as tx:
            if not await answers.finish(tx, claim, outcome, self._started_at):
                raise SupersededError
        await self._writer.emit([terminal])
        await self._services.news.tell(self._tenant_id, self._claimed.conversation_id)

    def _elapsed_ms(self) -> int:
        return round((time.monotonic() - self._began) * 1000)


def _reading(passages: list[PassageRecord]) -> str:
    names = list(dict.fromkeys(passage.document_name for passage in passages))
    if not names:
        return "No passage is near enough to the question."
    shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return f"{len(passages)} passage{'s' if len(passages) > 1 else ''} from {shown}"
