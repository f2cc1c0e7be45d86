"""What need not be asked twice: what was said before, and what a model answers to the same prompt."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass

from core.ids import TenantId
from datastores.answer_cache import AnswerCache, CachedAnswer
from datastores.answer_turns import ClaimedAnswer
from datastores.context_cache import ContextCache
from providers.base import ChatEvent, ChatFinished, ChatRequest, StopReason, TextDelta

PIECE_CHARS = 400
"""A remembered answer comes in pieces of this size: as a stream, and not as a wall of text."""


@dataclass(frozen=True, slots=True)
class Memory:
    """The process's caches. One per process."""

    answers: AnswerCache
    contexts: ContextCache


class Recall:
    """The cache of models' answers, as far as it is good for one answer of ours."""

    def __init__(self, cache: AnswerCache, tenant_id: TenantId, claimed: ClaimedAnswer) -> None:
        self._cache, self._tenant_id = cache, tenant_id
        self._on = claimed.cache_answers
        self._reads = claimed.cache_answers and not claimed.regenerated
        self.hit = False
        """Whether the answer comes from it."""
        self._said: list[str] = []

    async def stream(self, provider: str, request: ChatRequest) -> AsyncGenerator[ChatEvent, None] | None:
        """What was answered to this request before; None when that is not known, or is not wanted."""
        self._said.clear()
        found = await self._cache.get(self._tenant_id, _asked(provider, request)) if self._reads else None
        self.hit = found is not None
        return None if found is None else _again(found)

    def note(self, text: str) -> None:
        """A piece of what the model says."""
        if self._on and not self.hit:
            self._said.append(text)

    async def keep(self, provider: str, request: ChatRequest, end: ChatFinished) -> None:
        """The model has come to its end; only what is whole is remembered."""
        if self._on and not self.hit and end.stop_reason is StopReason.COMPLETE:
            answer = CachedAnswer("".join(self._said), end.input_tokens, end.output_tokens)
            await self._cache.put(self._tenant_id, _asked(provider, request), answer)


def _asked(provider: str, request: ChatRequest) -> object:
    turns = [[turn.role, turn.text] for turn in request.messages]
    return [provider, request.model, request.temperature, request.system, turns]


async def _again(answer: CachedAnswer) -> AsyncGenerator[ChatEvent, None]:
    for at in range(0, len(answer.text), PIECE_CHARS):
        yield TextDelta(answer.text[at : at + PIECE_CHARS])
    yield ChatFinished(StopReason.COMPLETE, answer.input_tokens, answer.output_tokens)
