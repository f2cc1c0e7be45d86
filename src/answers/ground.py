"""What an answer stands on: what was said before the question, and the passages that it is answered from."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from answers.asking import several_times
from answers.candidates import Candidate
from answers.prompt import HISTORY_MESSAGES, Voice
from answers.retrieval import Found, told, told_nearest
from answers.services import Services
from answers.sources import Source, joined
from answers.token_counts import fit_counted
from core.ids import TenantId
from datastores import answers, conversations
from datastores.answer_events import AnswerStepKind, Step
from datastores.answer_turns import ClaimedAnswer
from datastores.context_cache import Moment, Said, Turn
from datastores.models import AnswerStatus, MessageRole
from datastores.transactions import LazyRead
from providers.follow_ups import standalone


@dataclass(frozen=True, slots=True)
class Gathered:
    """What goes into the prompt, and what a person is told of it."""

    sources: list[Source]
    history: list[Turn]
    steps: list[Step]


class Ground:
    """Of one attempt at one answer."""

    def __init__(
        self,
        services: Services,
        tenant_id: TenantId,
        claimed: ClaimedAnswer,
        first: Candidate,
        tell: Callable[[str], None],
    ) -> None:
        """`first`: who is to be asked. `tell` shows a person that an embedding model is asked again."""
        self._tell, self._first = tell, first
        self._services, self._tenant_id, self._claimed = services, tenant_id, claimed
        voice = Voice(claimed.assistant, claimed.organization, claimed.instructions, claimed.prompt, claimed.language)
        self.system = voice.system(datetime.now(UTC).date())
        """The system prompt."""
        self._before: Said | None = None
        """What went before the question; None until that has been read."""

    async def gather(self) -> Gathered:
        """Read what went before, find passages, and leave out what the model has no room for.

        Messages before the last `HISTORY_MESSAGES` are left out, too, and count as what was cut.

        Raises `ProviderError`, and `FailureError` CONTEXT_TOO_LONG.
        """
        claimed, settings = self._claimed, self._services.settings
        before = self._before = await self._said_before()
        found = await self._found(before)
        budget = claimed.context_tokens or settings.context_tokens
        fixed = (self.system, claimed.question)
        fitted = await fit_counted(self._count_tokens, fixed, found.passages, before.turns, budget)
        # Joined after they were fitted: neighbours together would go in, or be left out, as one.
        sources = joined(fitted.passages)
        steps = [Step(AnswerStepKind.READING, told(sources))]
        if found.nearest:
            steps.append(Step(AnswerStepKind.NEAREST_PASSAGES, told_nearest(found.nearest)))
        if (cut := fitted.told_with(before.earlier)) is not None:
            steps.append(Step(AnswerStepKind.CONTEXT_CUT, cut))
        return Gathered(sources, fitted.history, steps)

    async def remember(self, outcome: answers.Outcome, version: int) -> None:
        """Have what was said at hand for the next question. `version`: of the conversation, as the answer ended."""
        claimed, contexts = self._claimed, self._services.memory.contexts
        if self._before is None:
            # It ended before anything had been read: whoever asks next reads all of it.
            return
        if claimed.regenerated and outcome.status is not AnswerStatus.COMPLETED:
            # The conversation goes on with the answer that was there before.
            return
        turns = [*self._before.turns, Turn(MessageRole.USER, claimed.question)]
        if outcome.text:
            turns.append(Turn(MessageRole.ASSISTANT, outcome.text))
        cut = max(0, len(turns) - HISTORY_MESSAGES)
        said = Said(turns[cut:], self._before.earlier + cut)
        before = max((claimed.previous_version or 0, claimed.earlier_version or 0)) or None
        moment = Moment(claimed.question_sequence, version, before)
        await contexts.put(self._tenant_id, claimed.conversation_id, moment, said)

    async def _count_tokens(self, text: str) -> int | None:
        async with self._services.providers.using(self._first.provider, self._first.own) as chat:
            return await chat.count_tokens(text, model=self._first.model or "")

    async def _said_before(self) -> Said:
        claimed, contexts = self._claimed, self._services.memory.contexts
        if claimed.previous_question is None:
            return Said([])
        moment = Moment(claimed.previous_question, claimed.previous_version, claimed.earlier_version)
        kept = await contexts.get(self._tenant_id, claimed.conversation_id, moment)
        if kept is not None:
            return kept
        async with aclosing(LazyRead(self._services.postgres, self._tenant_id)) as reads:
            before = (reads, claimed.conversation_id, claimed.question_sequence)
            said = await conversations.history_before(*before, HISTORY_MESSAGES)
            earlier = 0
            if len(said) == HISTORY_MESSAGES:
                earlier = await conversations.history_length(*before) - HISTORY_MESSAGES
        return Said([Turn(message.role, message.text) for message in said], earlier)

    async def _found(self, before: Said) -> Found:
        claimed = self._claimed
        embeddings = self._services.providers.embeddings(claimed.embedding_model_id)
        earlier = [turn.text for turn in before.turns if turn.role is MessageRole.USER]
        # A transaction of its own, behind the embedding of the question: no connection waits for a model.
        async with aclosing(LazyRead(self._services.postgres, self._tenant_id)) as reads:
            search = partial(
                self._services.retriever.find,
                reads,
                embeddings,
                standalone(claimed.question, earlier),
                top_k=self._services.settings.retrieval_top_k,
                assigned_to=claimed.assigned_to,
            )
            # The question's embedding comes first: where that fails, nothing else has been done.
            return await several_times(search, self._services.settings, provider=embeddings.model_id, tell=self._tell)
