"""Counts of tokens: the model's own where it gives one, else estimated."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import structlog

from answers.budget import Fitted, estimate, fit, with_name
from core.errors import ProviderError
from datastores.context_cache import Turn
from datastores.records import PassageRecord
from providers.base import ChatFinished, ChatRequest

COUNT_SECONDS: Final = 2.0
"""How long a count may take: a person waits for the answer, and the estimate is there already."""
MARGIN: Final = 1.05
"""Of the count: it is of all texts together, and those that are kept may be the ones with more tokens to a letter."""
log = structlog.get_logger(__name__)


async def fit_counted(
    count: Callable[[str], Awaitable[int | None]],
    fixed: Sequence[str],
    passages: Sequence[PassageRecord],
    history: Sequence[Turn],
    budget: int,
) -> Fitted:
    """What of it fits into `budget` tokens, as `fit` has it.

    The estimate is from above. Only where by it something would be left out is the model asked for its own count,
    which is one call to the provider before the first token; without an answer the estimate stands.
    Raises `FailureError` CONTEXT_TOO_LONG.
    """
    texts = [*fixed, *map(with_name, passages), *(turn.text for turn in history)]
    estimated = sum(map(estimate, texts))
    scale = 1.0
    if estimated > budget:
        counted = await _counted(count, texts)
        scale = 1.0 if counted is None else MARGIN * counted / estimated
    return fit(fixed, passages, history, budget, scale)


async def _counted(count: Callable[[str], Awaitable[int | None]], texts: Sequence[str]) -> int | None:
    try:
        async with asyncio.timeout(COUNT_SECONDS):
            return await count("\n".join(texts))
    except (ProviderError, TimeoutError) as error:
        log.info("tokens not counted", error=type(error).__name__)
        return None


def tokens_of(finished: ChatFinished | None, asked: ChatRequest | None, text: str) -> tuple[int | None, int | None]:
    """Tokens of a prompt and of what came of it: as the model told them with its last word.

    Estimated where it did not come to that, and it was `asked` all the same; else unknown.
    """
    if finished is not None:
        return finished.input_tokens, finished.output_tokens
    if asked is None:
        return None, None
    return estimated(asked), estimate(text) if text else 0


def estimated(request: ChatRequest) -> int:
    """Tokens of a prompt, from above."""
    return sum(map(estimate, (request.system, *(message.text for message in request.messages))))
