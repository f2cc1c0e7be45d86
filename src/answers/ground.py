"""What an answer stands on: what was said before the question, and the passages that it is answered from."""

from __future__ import annotations

from contextlib import aclosing

from answers.budget import Fitted
from answers.prompt import HISTORY_MESSAGES, RULES
from answers.retrieval import retrieve
from answers.services import Services
from answers.token_counts import fit_counted
from core.ids import TenantId
from datastores import answers, conversations
from datastores.answer_turns import ClaimedAnswer
from datastores.context_cache import Turn
from datastores.models import AnswerStatus, MessageRole
from datastores.records import PassageRecord
from datastores.transactions import LazyRead
from providers.follow_ups import standalone


class Ground:
    """Of one attempt at one answer."""

    def __init__(self, services: Services, tenant_id: TenantId, claimed: ClaimedAnswer) -> None:
        self._services, self._tenant_id, self._claimed = services, tenant_id, claimed
        self._history: list[Turn] = []
        """What went before the question, all of it."""

    async def gather(self) -> Fitted:
        """Read what went before, find passages, and leave out what the model has no room for.

        Raises `ProviderError`, and `FailureError` CONTEXT_TOO_LONG.
        """
        claimed, settings = self._claimed, self._services.settings
        self._history = await self._turns_before()
        passages = await self._passages()
        budget = claimed.context_tokens or settings.context_tokens
        fixed = (RULES, claimed.instructions, claimed.question)
        return await fit_counted(self._count_tokens, fixed, passages, self._history, budget)

    async def remember(self, outcome: answers.Outcome) -> None:
        """Have what was said at hand for the next question."""
        claimed, contexts = self._claimed, self._services.memory.contexts
        if claimed.regenerated and outcome.status is not AnswerStatus.COMPLETED:
            # The conversation goes on with the answer that was there before.
            await contexts.forget(self._tenant_id, claimed.conversation_id)
            return
        turns = [*self._history, Turn(MessageRole.USER, claimed.question)]
        if outcome.text:
            turns.append(Turn(MessageRole.ASSISTANT, outcome.text))
        await contexts.put(
            self._tenant_id, claimed.conversation_id, claimed.question_sequence, turns[-HISTORY_MESSAGES:]
        )

    async def _count_tokens(self, text: str) -> int | None:
        chat = self._services.providers.chat(self._claimed.provider)
        return await chat.count_tokens(text, model=self._claimed.model or "")

    async def _turns_before(self) -> list[Turn]:
        claimed, contexts = self._claimed, self._services.memory.contexts
        if claimed.previous_question is None:
            return []
        kept = await contexts.get(self._tenant_id, claimed.conversation_id, claimed.previous_question)
        if kept is not None:
            return kept
        async with aclosing(LazyRead(self._services.postgres, self._tenant_id)) as reads:
            said = await conversations.history_before(
                reads, claimed.conversation_id, claimed.question_sequence, HISTORY_MESSAGES
            )
        return [Turn(message.role, message.text) for message in said]

    async def _passages(self) -> list[PassageRecord]:
        claimed = self._claimed
        embeddings = self._services.providers.embeddings(claimed.embedding_model_id)
        earlier = [turn.text for turn in self._history if turn.role is MessageRole.USER]
        # A transaction of its own, behind the embedding of the question: no connection waits for a model.
        async with aclosing(LazyRead(self._services.postgres, self._tenant_id)) as reads:
            return await retrieve(
                reads,
                embeddings,
                standalone(claimed.question, earlier),
                top_k=self._services.settings.retrieval_top_k,
                assigned_to=claimed.assigned_to,
            )
