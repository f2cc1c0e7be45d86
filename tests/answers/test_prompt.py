"""The prompt."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import uuid4

from answers.prompt import HISTORY_CHARS, NO_ANSWER, build_request
from datastores.models import MessageRole
from datastores.records import MessageRecord, PassageRecord


def message(role: MessageRole, text: str) -> MessageRecord:
    return MessageRecord(uuid4(), uuid4(), 1, role, text, None, None, datetime.now(UTC))


PASSAGE = PassageRecord(uuid4(), uuid4(), "rules.pdf", 4, "Dogs are kept on a lead.", 0.2, 0.03)


def test_context_history_and_question_stand_in_the_prompt() -> None:
    history = [message(MessageRole.USER, "Hello"), message(MessageRole.ASSISTANT, "Good day")]
    request = build_request(
        question="And dogs?", passages=[PASSAGE], history=history, instructions="Be kind.", model="m", temperature=0.1
    )
    assert [(m.role, m.text) for m in request.messages[:2]] == [("user", "Hello"), ("assistant", "Good day")]
    assert "[1] rules.pdf, page 4\nDogs are kept on a lead." in request.messages[-1].text
    assert request.messages[-1].text.endswith("Question: And dogs?")
    assert "Answer only from the context" in request.system
    assert NO_ANSWER in request.system
    assert request.system.endswith("Be kind.")


def test_without_passages_the_model_is_told_that_there_are_none() -> None:
    request = build_request(question="?", passages=[], history=[], instructions="", model="m", temperature=0)
    assert "no passage was found" in request.messages[-1].text


def test_the_oldest_history_is_dropped_in_whole_messages() -> None:
    long = [message(MessageRole.USER, f"{n} " + "x" * (HISTORY_CHARS // 3)) for n in range(5)]
    request = build_request(question="?", passages=[], history=long, instructions="", model="m", temperature=0)
    assert [m.text[0] for m in request.messages[:-1]] == ["3", "4"]
