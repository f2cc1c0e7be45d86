"""What fits into a prompt."""

from __future__ import annotations

from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from answers.budget import HISTORY_SHARE, OVERHEAD, estimate, fit, with_name
from core.errors import ErrorCode, FailureError
from datastores.context_cache import Turn
from datastores.models import MessageRole
from datastores.records import PassageRecord


def passage(text: str) -> PassageRecord:
    return PassageRecord(uuid4(), uuid4(), "rules.pdf", 4, text, 0, 0, 0.2, 0.03)


def turn(text: str) -> Turn:
    return Turn(MessageRole.USER, text)


_texts = st.lists(st.text(max_size=400), max_size=8)


@given(_texts, _texts, st.integers(500, 3_000), st.floats(0.3, 3.0))
def test_it_fits_and_what_is_left_is_the_newest_and_the_best(
    passages: list[str], history: list[str], budget: int, scale: float
) -> None:
    given_passages, given_history = [passage(text) for text in passages], [turn(text) for text in history]
    fitted = fit(["the question"], given_passages, given_history, budget, scale)
    used = [*(turn.text for turn in fitted.history), *map(with_name, fitted.passages), "the question"]
    assert sum(estimate(text) * scale for text in used) <= budget
    assert fitted.passages == given_passages[: len(fitted.passages)]
    assert fitted.history == given_history[len(given_history) - len(fitted.history) :]
    assert fitted.passages_cut == len(passages) - len(fitted.passages)
    assert fitted.history_cut == len(history) - len(fitted.history)
    assert (fitted.told_with(0) is None) == (not fitted.passages_cut and not fitted.history_cut)
    if sum(estimate(text) * scale for text in [*map(with_name, given_passages), *history, "the question"]) <= budget:
        assert fitted.told_with(0) is None


def test_the_newest_history_goes_before_the_last_passages_up_to_its_share() -> None:
    size = 1_200 // HISTORY_SHARE
    short = turn("x" * 3 * (size - OVERHEAD))
    name = len(with_name(passage("")))
    passages = [passage("x" * (3 * (size - OVERHEAD) - name)) for _ in range(5)]
    fitted = fit([], passages, [short, short], 4 * size)
    assert (len(fitted.history), len(fitted.passages)) == (1, 3)
    assert fitted.told_with(0) == "1 earlier message and 2 passages did not fit and were left out."


def test_one_passage_goes_before_any_history() -> None:
    fitted = fit([], [passage("x" * 2_800)], [turn("x" * 700)], 1_000)
    assert (len(fitted.history), len(fitted.passages)) == (0, 1)
    assert fitted.told_with(0) == "1 earlier message did not fit and was left out."


def test_a_passage_s_name_takes_its_room_too() -> None:
    long, short = passage("x" * 900), passage("x" * 900)
    long.document_name = "x" * 255
    assert len(fit([], [short, short], [], 650).passages) == 2
    assert len(fit([], [short, long], [], 650).passages) == 1


@pytest.mark.parametrize(
    ("system", "question", "words"),
    [("x", "x" * 3_000, "The question is longer"), ("x" * 3_000, "x", "The assistant's own prompt")],
)
def test_what_is_too_long_alone_is_refused_and_named(system: str, question: str, words: str) -> None:
    with pytest.raises(FailureError, match=words) as refused:
        fit([system, question], [passage("a")], [], 1_000)
    assert (refused.value.code, refused.value.retryable) == (ErrorCode.CONTEXT_TOO_LONG, False)


@pytest.mark.parametrize(("text", "tokens"), [("", 0), ("abc", 1), ("abcd", 2), ("漢字", 2), ("\ud800", 1)])
def test_tokens_are_estimated_from_the_bytes(text: str, tokens: int) -> None:
    assert estimate(text) == tokens + OVERHEAD
