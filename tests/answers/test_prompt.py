"""The prompt."""

from __future__ import annotations

from datetime import date
from uuid import uuid4

import pytest

from answers.prompt import ANY_LANGUAGE, NO_ANSWER, VARIABLES, Voice, build_request, template_problem
from answers.sources import joined
from core.shipped_prompts import SHIPPED
from datastores.context_cache import Turn
from datastores.models import MessageRole
from datastores.records import PassageRecord
from resolvers.prompts import DESCRIPTION_CHARS, NAME_CHARS, TEXT_CHARS

SOURCES = joined([PassageRecord(uuid4(), uuid4(), "rules.pdf", 4, "Dogs are kept on a lead.", 0, 0, 0.2, 0.03)])
TODAY = date(2026, 11, 27)


def test_context_history_and_question_stand_in_the_prompt() -> None:
    history = [Turn(MessageRole.USER, "Hello"), Turn(MessageRole.ASSISTANT, "Good day")]
    request = build_request(
        question="And dogs?", sources=SOURCES, history=history, system="Be kind.", model="m", temperature=0.1
    )
    assert [(m.role, m.text) for m in request.messages[:2]] == [("user", "Hello"), ("assistant", "Good day")]
    assert "[1] rules.pdf, page 4\nDogs are kept on a lead." in request.messages[-1].text
    assert request.messages[-1].text.endswith("Question: And dogs?")
    assert request.system == "Be kind."


def test_without_passages_the_model_is_told_that_there_are_none() -> None:
    request = build_request(question="?", sources=[], history=[], system="", model="m", temperature=0)
    assert "no passage was found" in request.messages[-1].text


@pytest.mark.parametrize("prompt", [None, "Say less."])
def test_the_rules_stand_behind_any_prompt_and_the_instructions_behind_them(prompt: str | None) -> None:
    system = Voice("Ada", "Norlandia Ltd", "Be kind.", prompt).system(TODAY)
    first, rules, last = system.partition("These rules hold")
    assert first.strip() == (
        prompt or SHIPPED[0].text.replace("$assistant", "Ada").replace("$organization", "Norlandia Ltd")
    )
    assert "Answer only from the context" in last
    assert NO_ANSWER in last
    assert f"Answer in {ANY_LANGUAGE}." in last
    assert (rules != "", system.endswith("Be kind.")) == (True, True)


def test_variables_are_replaced_once_and_by_plain_text() -> None:
    prompt = "$assistant of ${organization}, $date, $language, $$5, $assistants"
    voice = Voice("$date", "a {0} %s $organization", prompt=prompt, language="$assistant")
    first = voice.system(TODAY).splitlines()[0]
    # What a release does not know stays as it is: an answer fails for no word of its prompt.
    assert first == "$date of a {0} %s $organization, 2026-11-27, $assistant, $5, $assistants"
    assert "- Answer in $assistant." in voice.system(TODAY)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Hello $name", "There is no $name here"),
        ("${assistant.__class__}", "A $ is followed by"),
        ("5 $ a month", "A $ is followed by"),
        ("$Date", "There is no $Date"),
        ("all of it $", "A $ is followed by"),
    ],
)
def test_what_is_no_template_is_told(text: str, words: str) -> None:
    assert words in (template_problem(text) or "")


def test_every_shipped_prompt_is_one_that_could_be_written_here() -> None:
    assert len(SHIPPED) >= 6
    assert len({shipped.key for shipped in SHIPPED}) == len(SHIPPED)
    for shipped in SHIPPED:
        assert template_problem(shipped.text) is None, shipped.key
        assert 0 < len(shipped.name) <= NAME_CHARS
        assert 0 < len(shipped.description) <= DESCRIPTION_CHARS
        assert 300 < len(shipped.text) <= TEXT_CHARS
        assert "$" not in Voice("A", "B", prompt=shipped.text).system(TODAY)
    assert template_problem(" ".join(f"${name}" for name in VARIABLES)) is None
