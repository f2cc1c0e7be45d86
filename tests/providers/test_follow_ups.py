"""Questions that lean on the ones before them."""

from __future__ import annotations

import pytest

from providers.follow_ups import standalone

RENT = "How much is the rent of the flat?"


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("And how long does it last?", "how long does it last? rent flat"),
        ("When is it due?", "When is it due? rent flat"),
        ("Why?", "Why? rent flat"),
        ("What about the deposit?", "the deposit? rent flat"),
        ("und wann?", "wann? rent flat"),
        ("Et combien de temps ?", "combien de temps ? rent flat"),
    ],
)
def test_a_question_that_leans_takes_the_topic_of_the_one_before(question: str, expected: str) -> None:
    assert standalone(question, [RENT]) == expected


@pytest.mark.parametrize(
    "question",
    [
        "Who is the landlord?",
        "Which documents must the tenant hand in before they may collect the keys?",
        "Andorra la Vella?",
        "???",
        "",
    ],
)
def test_a_question_that_stands_by_itself_stays_as_it_is(question: str) -> None:
    assert standalone(question, [RENT]) == question


def test_the_first_question_has_nothing_to_lean_on() -> None:
    assert standalone("And how long does it last?", []) == "And how long does it last?"


def test_the_topic_is_handed_down_a_chain_of_follow_ups() -> None:
    assert standalone("And why?", [RENT, "When is it due?"]) == "why? due rent flat"


def test_a_new_topic_replaces_the_older_one() -> None:
    assert standalone("And why?", [RENT, "Who repairs the heating?"]) == "why? repairs heating"
