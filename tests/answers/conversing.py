"""A model at its wire, and what tests of several answers ask and see."""

from __future__ import annotations

from typing import Any

from core.settings import Settings
from owner import as_owner, until, uuid_of
from product import Person
from wire import GeminiServer, Say, Until

DOCUMENT = b"The ferry to Vexholm leaves from pier nine at half past seven.\n"
QUESTION = "When does the first ferry leave?"
ANSWER = (Say("At half past"), Say(" seven."), Say(finish="STOP", usage=(1, 1, 2)))
TEXT = "At half past seven."
CITED = Say("At half past seven [1], as")
STOP = """mutation($input: StopAnswerInput!) { stopAnswer(input: $input) { __typename
  ... on StopAnswerPayload { answer { id status finishedAt message { text } usage { inputTokens outputTokens }
    citations { marker quote } } } ... on UserError { code reason: message } } }"""
REGENERATE = """mutation($input: RegenerateAnswerInput!) { regenerateAnswer(input: $input) { __typename
  ... on RegenerateAnswerPayload { answer { id status selected question { id } } }
  ... on UserError { code reason: message } } }"""
SELECT = """mutation($input: SelectAnswerInput!) { selectAnswer(input: $input) { __typename
  ... on SelectAnswerPayload { answer { id selected } } ... on UserError { code reason: message } } }"""


def hold(server: GeminiServer, *said: Say) -> Until:
    """Have the model say so much of its answer, and the rest once the event is set."""
    wait = Until()
    server.arrived.clear()
    server.cancelled.clear()
    server.script = [*said, wait, *ANSWER[len(said) :]]
    return wait


async def result_of(person: Person, mutation: str, **fields: Any) -> dict[str, Any]:
    """What a mutation answers."""
    (result,) = (await person.query(mutation, input=fields)).values()
    return result  # type: ignore[no-any-return]


async def stop(person: Person, answer_id: str) -> dict[str, Any]:
    """The answer as `stopAnswer` returns it."""
    result = await result_of(person, STOP, answerId=answer_id)
    assert result["__typename"] == "StopAnswerPayload", result
    return result["answer"]  # type: ignore[no-any-return]


async def regenerated(person: Person, answer_id: str, **fields: Any) -> dict[str, Any]:
    """The further answer that `regenerateAnswer` returns."""
    result = await result_of(person, REGENERATE, answerId=answer_id, **fields)
    assert result["__typename"] == "RegenerateAnswerPayload", result
    return result["answer"]  # type: ignore[no-any-return]


async def asked(person: Person, conversation: str, text: str = QUESTION) -> str:
    """The id of the answer to a question."""
    return (await person.send(conversation, text))["answer"]["id"]  # type: ignore[no-any-return]


async def followed(person: Person, answer_id: str, after: str | None = None) -> list[dict[str, Any]]:
    """All events to the answer's end."""
    return [event async for event in person.follow(answer_id, after)]


async def text_has_come(person: Person, answer_id: str) -> None:
    """Wait until a follower has text of the answer."""
    async for event in person.follow(answer_id):
        if event["__typename"] == "AnswerDelta":
            return


async def begun(settings: Settings, answer_id: str) -> None:
    """Wait until somebody writes the answer."""

    async def streaming() -> bool:
        return await status(settings, answer_id) == "STREAMING"

    await until(streaming)


async def status(settings: Settings, answer_id: str) -> str:
    """As it is stored."""
    ((found,),) = await as_owner(settings, "SELECT status FROM answers WHERE id = $1", uuid_of(answer_id))
    return found  # type: ignore[no-any-return]


def text_of(events: list[dict[str, Any]]) -> str:
    """What a client shows at the end."""
    text = ""
    for event in events:
        text = "" if event["__typename"] == "AnswerRestarted" else text + event.get("text", "")
    return text


def kinds(events: list[dict[str, Any]]) -> list[str]:
    """The events' types without `Answer`; of steps their kind."""
    return [event.get("step") or event["__typename"].removeprefix("Answer") for event in events]


def retries(events: list[dict[str, Any]]) -> list[str]:
    """What a person is told while models are asked again."""
    return [event["detail"] for event in events if event.get("step") == "RETRYING"]


async def attempts(person: Person) -> list[tuple[Any, ...]]:
    """Who was asked for the tenant's answers, in order, and how it went."""
    return await as_owner(
        person.product.settings,
        "SELECT ordinal, provider, model, failure_code, finish_reason FROM answer_attempts "
        "WHERE tenant_id = $1 ORDER BY epoch, ordinal",
        person.tenant_id,
    )


def calls(server: GeminiServer) -> int:
    """How many answers the model was asked for."""
    return sum(one.method == "StreamGenerateContent" for one in server.asked)


def whole(events: list[dict[str, Any]]) -> bool:
    """Whether the numbers are 1, 2, 3 … from the start and from each restart, and the last event is the only end."""
    expected = 1
    for event in events:
        if event["__typename"] == "AnswerRestarted":
            expected = event["sequence"]
        if event.get("firstSequence", event["sequence"]) != expected:
            return False
        expected = event["sequence"] + 1
    ends = [event["__typename"] in ("AnswerCompleted", "AnswerStopped", "AnswerFailed") for event in events]
    return ends == [False] * (len(ends) - 1) + [True]
