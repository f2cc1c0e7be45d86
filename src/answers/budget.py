"""What fits into a model: tokens are estimated from above, and what is too much is left out by rule.

The rule: rules, instructions and question always go in. Of the history the newest messages, as far as a quarter of the
budget goes; then passages from the best to the worst, the first one at least; then older history, as far as there is
room. A message or a passage goes in whole or not at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from core.errors import ErrorCode, FailureError
from datastores.context_cache import Turn
from datastores.records import PassageRecord

BYTES_PER_TOKEN = 3
"""UTF-8. English has about four bytes to a token, Chinese three, so that the estimate is seldom too low."""
OVERHEAD = 8
"""Tokens of a message's role, of a passage's number and page, at most."""
HISTORY_SHARE = 4
"""A quarter of the budget is the history's before passages are looked at."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """What goes into the prompt, and how much was left out."""

    passages: list[PassageRecord]
    history: list[Turn]
    passages_cut: int
    history_cut: int

    def told_with(self, earlier: int) -> str | None:
        """What a person is told of the cut, so many earlier messages with it; None where there was none."""
        parts, messages = [], self.history_cut + earlier
        if messages:
            parts.append(f"{messages} earlier message{'s' if messages > 1 else ''}")
        if self.passages_cut:
            parts.append(f"{self.passages_cut} passage{'s' if self.passages_cut > 1 else ''}")
        return (
            f"{' and '.join(parts)} did not fit and {_was(messages + self.passages_cut)} left out." if parts else None
        )


def with_name(passage: PassageRecord) -> str:
    """As much of a prompt as a passage takes at most: it may share its number and name with its neighbours."""
    return f"{passage.document_name}\n{passage.text}"


def estimate(text: str) -> int:
    """Tokens of a text, from above."""
    return -(-len(text.encode("utf-8", "surrogatepass")) // BYTES_PER_TOKEN) + OVERHEAD


def fit(
    fixed: Sequence[str], passages: Sequence[PassageRecord], history: Sequence[Turn], budget: int, scale: float = 1.0
) -> Fitted:
    """What of it fits into `budget` tokens; `fixed` are the texts that must, the assistant's own first.

    `scale` corrects the estimate.

    Raises `FailureError` CONTEXT_TOO_LONG when those alone do not.
    """

    def weigh(text: str) -> float:
        return estimate(text) * scale

    room = budget - sum(weigh(text) for text in fixed)
    if fixed and weigh(fixed[0]) > budget:
        raise FailureError(
            ErrorCode.CONTEXT_TOO_LONG,
            "The assistant's own prompt and instructions are longer than its model is given. Whoever manages it has to "
            "shorten them, or to let a prompt have more tokens.",
            retryable=False,
        )
    if room < 0:
        raise FailureError(
            ErrorCode.CONTEXT_TOO_LONG,
            "The question is longer than the model takes. Ask more briefly, or ask for a part at a time.",
            retryable=False,
        )
    newest = list(reversed(history))
    kept = _as_many([weigh(turn.text) for turn in newest], min(room, budget / HISTORY_SHARE))
    room -= sum(weigh(turn.text) for turn in newest[:kept])
    weights = [weigh(with_name(passage)) for passage in passages]
    used = _as_many(weights, room)
    if passages and not used:
        # An answer without any source is worth less than one without its history.
        room += sum(weigh(turn.text) for turn in newest[:kept])
        kept, used = 0, _as_many(weights[:1], room)
    room -= sum(weights[:used])
    kept += _as_many([weigh(turn.text) for turn in newest[kept:]], room)
    return Fitted(list(passages[:used]), newest[:kept][::-1], len(passages) - used, len(history) - kept)


def _as_many(weights: Sequence[float], room: float) -> int:
    """How many of them, from the first, there is room for."""
    for number, weight in enumerate(weights):
        room -= weight
        if room < 0:
            return number
    return len(weights)


def _was(number: int) -> str:
    return "was" if number == 1 else "were"
