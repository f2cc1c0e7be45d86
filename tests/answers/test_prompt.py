"""The prompt."""

from __future__ import annotations

from uuid import uuid4

from answers.prompt import NO_ANSWER, build_request
from answers.sources import joined
from datastores.context_cache import Turn
from datastores.models import MessageRole
from datastores.records import PassageRecord

SOURCES = joined([PassageRecord(uuid4(), uuid4(), "rules.pdf", 4, "Dogs are kept on a lead.", 0, 0, 0.2, 0.03)])


def test_context_history_and_question_stand_in_the_prompt() -> None:
    history = [Turn(MessageRole.USER, "Hello"), Turn(MessageRole.ASSISTANT, "Good day")]
    request = build_request(
        question="And dogs?", sources=SOURCES, history=history, instructions="Be kind.", model="m", temperature=0.1
    )
    assert [(m.role, m.text) for m in request.messages[:2]] == [("user", "Hello"), ("assistant", "Good day")]
    assert "[1] rules.pdf, page 4\nDogs are kept on a lead." in request.messages[-1].text
    assert request.messages[-1].text.endswith("Question: And dogs?")
    assert "Answer only from the context" in request.system
    assert NO_ANSWER in request.system
    assert request.system.endswith("Be kind.")


def test_without_passages_the_model_is_told_that_there_are_none() -> None:
    request = build_request(question="?", sources=[], history=[], instructions="", model="m", temperature=0)
    assert "no passage was found" in request.messages[-1].text
