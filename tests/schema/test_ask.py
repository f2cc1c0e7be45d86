"""Asking: the whole road of a question, and the law of its stream."""

from __future__ import annotations

from typing import Any

import pytest

from product import OperationFailed, Product

VEXHOLM = (
    b"The capital of Norlandia is Vexholm. It was founded in 1432 by Queen Astrid.\n\n"
    b"The harbour of Vexholm freezes from December to March. Ferries leave from pier nine.\n"
)


def text_of(events: list[dict[str, Any]]) -> str:
    """What a client shows: deltas since the last restart."""
    text = ""
    for event in events:
        if event["__typename"] == "AnswerRestarted":
            text = ""
        elif event["__typename"] == "AnswerDelta":
            text += event["text"]
    return text


def assert_lawful(events: list[dict[str, Any]], after: int = 0) -> None:
    """Sequences without holes, one terminal event at the end."""
    expected = after + 1
    for event in events:
        if event["__typename"] == "AnswerRestarted":
            expected = event["sequence"]
        assert event.get("firstSequence", event["sequence"]) == expected, events
        expected = event["sequence"] + 1
    terminal = [e for e in events if e["__typename"] in ("AnswerCompleted", "AnswerStopped", "AnswerFailed")]
    assert terminal == events[-1:]


async def test_an_answer_streams_from_the_uploaded_document_with_an_exact_quote(product: Product) -> None:
    person = await product.sign_up()
    await person.ready_document(VEXHOLM)
    events = await person.ask("When was Vexholm founded?")
    assert_lawful(events)
    assert events[0]["__typename"] == "AnswerStarted"
    assert events[0]["attempt"] == 1
    # How many there are depends on how busy the process is.
    assert sum(event["__typename"] == "AnswerDelta" for event in events) >= 2
    answer = events[-1]["answer"]
    assert "1432" in text_of(events)
    assert answer["status"] == "COMPLETED"
    assert answer["message"]["text"] == text_of(events)
    citations = [event["citation"] for event in events if event["__typename"] == "AnswerCitation"]
    assert [c["marker"] for c in citations] == [c["marker"] for c in answer["citations"]] == [1]
    assert citations[0]["quote"] in citations[0]["chunk"]["text"]
    assert "[1]" in text_of(events)


async def test_a_citation_comes_before_the_text_that_shows_its_marker(product: Product) -> None:
    person = await product.sign_up()
    await person.ready_document(VEXHOLM)
    events = await person.ask("When was Vexholm founded?")
    kinds = [event["__typename"] for event in events]
    marked = next(i for i, e in enumerate(events) if e["__typename"] == "AnswerDelta" and "[1]" in e["text"])
    assert kinds.index("AnswerCitation") < marked


async def test_a_question_outside_the_documents_is_refused_in_so_many_words(product: Product) -> None:
    person = await product.sign_up()
    await person.ready_document(VEXHOLM)
    events = await person.ask("How do I bake sourdough bread?")
    assert text_of(events) == "The documents do not answer this."
    assert events[-1]["__typename"] == "AnswerCompleted"
    assert events[-1]["answer"]["citations"] == []


async def test_a_follow_up_finds_the_passage_that_the_question_before_was_about(product: Product) -> None:
    person = await product.sign_up()
    towns = ["Almgard", "Brenn", "Corvik", "Dalsund", "Eskholt", "Fernby", "Grimsel", "Vexholm"]
    filler = "Its market sells wool, salted fish and amber on most days of the week. " * 6
    text = "\n\n".join(f"The town of {town} was founded in {1400 + n}. {filler}" for n, town in enumerate(towns))
    await person.ready_document(text.encode())
    conversation = await person.conversation()
    await person.ask("What does the market of Vexholm sell?", conversation)
    assert "1407" in text_of(await person.ask("And when was it founded?", conversation))


async def test_a_late_viewer_gets_the_same_events_from_the_log(product: Product) -> None:
    person = await product.sign_up()
    await person.ready_document(VEXHOLM)
    sent = await person.send(await person.conversation(), "When was Vexholm founded?")
    first = [event async for event in person.follow(sent["answer"]["id"])]
    again = [event async for event in person.follow(sent["answer"]["id"])]
    assert again == first


async def test_resuming_after_any_cursor_gives_exactly_the_rest(product: Product) -> None:
    person = await product.sign_up()
    await person.ready_document(VEXHOLM)
    sent = await person.send(await person.conversation(), "When was Vexholm founded?")
    events = [event async for event in person.follow(sent["answer"]["id"])]
    for index, event in enumerate(events[:-1]):
        rest = [e async for e in person.follow(sent["answer"]["id"], after=event["cursor"])]
        assert rest == events[index + 1 :]


async def test_after_the_log_has_expired_the_stored_answer_comes_as_a_snapshot(product: Product) -> None:
    person = await product.sign_up()
    await person.ready_document(VEXHOLM)
    sent = await person.send(await person.conversation(), "When was Vexholm founded?")
    events = [event async for event in person.follow(sent["answer"]["id"])]
    await product.services.redis.flushdb()
    snapshot = [event async for event in person.follow(sent["answer"]["id"], after=events[3]["cursor"])]
    assert [e["__typename"] for e in snapshot] == [
        "AnswerRestarted",
        "AnswerCitation",
        "AnswerDelta",
        "AnswerCompleted",
    ]
    assert_lawful(snapshot)
    assert text_of(snapshot) == text_of(events)
    resumed = [e async for e in person.follow(sent["answer"]["id"], after=snapshot[1]["cursor"])]
    assert resumed == snapshot[2:]


async def test_a_cursor_of_another_answer_is_refused(product: Product) -> None:
    person = await product.sign_up()
    await person.ready_document(VEXHOLM)
    one = await person.ask("When was Vexholm founded?")
    conversation = await person.conversation()
    sent = await person.send(conversation, "Where do ferries leave from?")
    with pytest.raises(OperationFailed, match="cursor of another answer"):
        [event async for event in person.follow(sent["answer"]["id"], after=one[0]["cursor"])]


@pytest.mark.parametrize("cursor", ["", "nonsense", "a.b.c", "0" * 32 + ".x.-1", "é", "0" * 32 + "..1"])
async def test_a_malformed_cursor_is_refused(product: Product, cursor: str) -> None:
    person = await product.sign_up()
    sent = await person.send(await person.conversation(), "Anything?")
    with pytest.raises(OperationFailed, match="BAD_USER_INPUT"):
        [event async for event in person.follow(sent["answer"]["id"], after=cursor)]


async def test_a_viewer_who_comes_first_and_one_who_comes_in_the_middle_read_the_same_text(product: Product) -> None:
    person = await product.sign_up()
    await person.ready_document(VEXHOLM)
    sent = await person.send(await person.conversation(), "When was Vexholm founded?")
    early: list[dict[str, Any]] = []
    late: list[dict[str, Any]] = []
    async for event in person.follow(sent["answer"]["id"]):
        early.append(event)
        if len(early) == 4:
            late = [e async for e in person.follow(sent["answer"]["id"])]
    assert_lawful(early)
    assert text_of(late) == text_of(early)


async def test_answers_of_one_conversation_come_one_after_the_other(product: Product) -> None:
    person = await product.sign_up()
    await person.ready_document(VEXHOLM)
    conversation = await person.conversation()
    sent = [await person.send(conversation, f"When was Vexholm founded? Question {n}") for n in range(3)]
    for one in sent:
        events = [event async for event in person.follow(one["answer"]["id"])]
        assert events[-1]["__typename"] == "AnswerCompleted"
    query = """query($id: ID!) { node(id: $id) { ... on Conversation { title messages(first: 10) { nodes {
      role answer { id } answers { id } } } } } }"""
    node = (await person.query(query, id=conversation))["node"]
    assert [m["role"] for m in node["messages"]["nodes"]].count("ASSISTANT") == 3
    assert node["title"].startswith("When was Vexholm founded?")


async def test_the_same_idempotency_key_gives_the_same_message_and_answer(product: Product) -> None:
    person = await product.sign_up()
    conversation = await person.conversation()
    first = await person.send(conversation, "When?", idempotencyKey="k1")
    again = await person.send(conversation, "When?", idempotencyKey="k1")
    assert (again["message"], again["answer"]["id"]) == (first["message"], first["answer"]["id"])
    other = await person.send(conversation, "Where?", idempotencyKey="k1")
    assert other["code"] == "IDEMPOTENCY_CONFLICT"
    query = "query($id: ID!) { node(id: $id) { ... on Conversation { messages { nodes { role text } } } } }"
    nodes = (await person.query(query, id=conversation))["node"]["messages"]["nodes"]
    assert [n["text"] for n in nodes if n["role"] == "USER"] == ["When?"]
