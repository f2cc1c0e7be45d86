"""What a question asks for, and whether a sentence offers it."""

from __future__ import annotations

import pytest

from providers.question_cues import Asked, asked_for, counted_noun, counts_in, offers


@pytest.mark.parametrize(
    ("question", "asked"),
    [
        ("When do I pay the rent?", Asked.TIME),
        ("Where is the shop?", Asked.PLACE),
        ("What does a saddle cost?", Asked.MONEY),
        ("How many members are there?", Asked.COUNT),
        ("What is the dog called?", Asked.NAME),
        ("Wann beginnt die Ruhezeit?", Asked.TIME),
        ("Wie viele Schlüssel gibt es?", Asked.COUNT),
        ("Combien coûte une entrée ?", Asked.MONEY),
        ("¿Quién es el director?", Asked.PERSON),
        ("Pourquoi faut-il un bonnet ?", Asked.REASON),
        ("Describe the procedure.", Asked.ANYTHING),
    ],
)
def test_the_question_word_says_what_is_asked_for(question: str, asked: Asked) -> None:
    assert asked_for(question) is asked


@pytest.mark.parametrize(
    ("question", "sentence", "offered"),
    [
        ("When do I pay?", "It is payable by the fifth day of each month.", True),
        ("When do I pay?", "Salaries are paid on the 25th.", True),
        ("When do I pay?", "The tenant owes a deposit.", False),
        ("Where is the shop?", "The shop is closed on Mondays.", False),
        ("Where do I wait?", "Please wait in the hall.", True),
        ("What is the name of the island?", "The island is small.", False),
        ("What is the name of the island?", "The island is called Muck.", True),
    ],
)
def test_a_sentence_offers_what_is_asked_for_or_not(question: str, sentence: str, offered: bool) -> None:
    assert offers(sentence, asked_for(question), question) is offered


def test_what_is_to_be_counted_and_what_numbers_count() -> None:
    assert counted_noun("How many children go there?") == "children"
    assert counted_noun("Wie viele Schlüssel bekomme ich?") == "schlüssel"
    assert counted_noun("How much is it?") == ""
    assert counts_in("64 children in four groups, open 5 days.") == [
        "children in four groups",
        "groups, open 5 days",
        "days",
    ]
