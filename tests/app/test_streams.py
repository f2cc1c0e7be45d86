"""Answers over HTTP as they come: GraphQL over SSE and Apollo's multipart protocol, of the same log as on sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from core.ids import NodeKind, to_global
from core.settings import Settings
from datastores.answer_events import Completed, Delta, Started
from held_answer import WATCH, HeldAnswer, hold_answer
from owner import as_owner, short_lived, until
from product import ANSWER, PROGRESS, Person, Product, running_product
from streams import MULTIPART, SSE, Piece, pieces, streamed

BOTH = pytest.mark.parametrize("accept", [SSE, MULTIPART], ids=["sse", "multipart"])
URQL = f"application/graphql-response+json, application/graphql+json, application/json, {SSE}, multipart/mixed"

CONVERSATION = """subscription($id: ID!, $after: String) { conversation(id: $id, after: $after) { __typename
  ... on ConversationStreamEvent { cursor } } }"""
SIGN_OUT = "mutation { signOut { signedOut } }"


@pytest.fixture
async def person(product: Product) -> Person:
    return await product.sign_up()


@pytest.fixture
async def held(person: Person) -> HeldAnswer:
    answer = await hold_answer(person)
    await answer.begin(Started(answer.key[1], 1), Delta("One "), Delta("two "))
    return answer


async def results(response: Any, count: int) -> list[Piece]:
    """The next so many results."""
    found: list[Piece] = []
    async with asyncio.timeout(10):
        async for piece in _shared(response):
            if piece.kind != "heartbeat":
                found.append(piece)
            if len(found) == count:
                break
    return found


def _shared(response: Any) -> AsyncIterator[Piece]:
    """One reader to a response, however often it is asked."""
    if not hasattr(response, "reader"):
        response.reader = pieces(response)
    return response.reader  # type: ignore[no-any-return]


async def everything(response: Any) -> list[Piece]:
    return [piece async for piece in pieces(response) if piece.kind != "heartbeat"]


@BOTH
async def test_an_answer_is_followed_to_its_end(person: Person, accept: str) -> None:
    await person.ready_document(b"The ferry to Vexholm leaves at seven.")
    sent = await person.send(await person.conversation(), "When does the ferry leave?")
    async with streamed(person, accept, ANSWER, {"id": sent["answer"]["id"]}) as response:
        assert response.status == 200
        assert response.headers["x-accel-buffering"] == "no"
        assert "no-transform" in response.headers["cache-control"]
        said = await everything(response)
    assert [piece.kind for piece in said[-2:]] == ["next", "complete"]
    events = [piece.event for piece in said[:-1]]
    assert [event["sequence"] for event in events] == list(range(1, len(events) + 1))
    assert events[-1]["__typename"] == "AnswerCompleted"
    assert "".join(event.get("text", "") for event in events) == events[-1]["answer"]["message"]["text"] != ""
    if accept == SSE:
        assert [piece.cursor for piece in said[:-1]] == [event["cursor"] for event in events]


async def test_a_browser_that_connects_again_goes_on_behind_its_last_event(person: Person, held: HeldAnswer) -> None:
    # As a browser does: the same operation, with the cursor that it began with, and the header.
    old = {"id": held.id, "after": None}
    async with streamed(person, SSE, WATCH, old) as response:
        last = (await results(response, 2))[-1]
    assert last.cursor is not None
    for variables in (old, {"id": held.id, "after": "rubbish that the header is newer than"}):
        async with streamed(person, SSE, WATCH, variables, last_event_id=last.cursor) as response:
            assert (await results(response, 1))[0].event["text"] == "two "
    await held.finish()
    await held.append(Completed(held.key[1]))
    async with streamed(person, SSE, WATCH, old, last_event_id=last.cursor) as response:
        said = await everything(response)
    assert [piece.event["__typename"] for piece in said[:-1]] == ["AnswerDelta", "AnswerCompleted"]


async def test_a_browser_that_connects_again_goes_on_in_a_conversation_too(person: Person) -> None:
    conversation = await person.conversation()
    old = {"id": conversation, "after": None}
    async with streamed(person, SSE, CONVERSATION, old) as response:
        snapshot = (await results(response, 1))[0]
        assert snapshot.cursor == snapshot.event["cursor"] is not None
        await person.send(conversation, "When does the ferry leave?")
        added = (await results(response, 1))[0]
        assert (added.cursor, added.event["__typename"]) == (added.event["cursor"], "MessageAdded")
    assert added.cursor is not None
    async with streamed(person, SSE, CONVERSATION, old, last_event_id=snapshot.cursor) as response:
        assert (await results(response, 1))[0].cursor == added.cursor
    for variables in (old, {"id": conversation, "after": snapshot.cursor}):
        async with streamed(person, SSE, CONVERSATION, variables, last_event_id=added.cursor) as response:
            later = (await results(response, 1))[0]
        assert later.cursor != added.cursor
        assert later.event["__typename"] != "ConversationSnapshot"


async def test_a_last_event_id_that_is_no_cursor_of_the_conversation_is_refused(person: Person) -> None:
    conversation, other = await person.conversation(), await person.conversation()
    async with streamed(person, SSE, CONVERSATION, {"id": other}) as response:
        cursor = (await results(response, 1))[0].cursor
    assert cursor is not None
    for wrong, why in ((cursor, "of another conversation"), ("rubbish", "not a cursor")):
        async with streamed(person, SSE, CONVERSATION, {"id": conversation}, last_event_id=wrong) as response:
            (error,) = (await everything(response))[0].body["errors"]
        assert error["extensions"]["code"] == "BAD_USER_INPUT"
        assert why in error["message"]


@BOTH
async def test_an_idle_stream_shows_signs_of_life(settings: Settings, accept: str) -> None:
    brisk = settings.model_copy(update={"stream_heartbeat_interval": 0.05})
    async with running_product(brisk, worker=False) as product:
        answer = await hold_answer(await product.sign_up())
        await answer.begin(Started(answer.key[1], 1))
        async with streamed(answer.person, accept, WATCH, {"id": answer.id}) as response, asyncio.timeout(10):
            beats = 0
            async for piece in pieces(response):
                beats += piece.kind == "heartbeat"
                if beats == 4:
                    break


@pytest.mark.parametrize(
    ("accept", "query", "content_type"),
    [
        (SSE, "{ viewer { user { name } } }", "text/event-stream"),
        (f"application/json, {SSE}", "{ viewer { user { name } } }", "application/json"),
        (URQL, "{ viewer { user { name } } }", "application/graphql-response+json"),
        (MULTIPART, "{ viewer { user { name } } }", "application/json"),
        (URQL, WATCH, "text/event-stream"),
        (MULTIPART, WATCH, "multipart/mixed"),
        (f"{SSE};q=0, {MULTIPART}", WATCH, "multipart/mixed"),
        ("*/*", WATCH, "application/json"),
        ("multipart/mixed;deferSpec=20220824, application/json", WATCH, "application/json"),
    ],
)
async def test_what_is_sent_is_of_a_type_that_was_asked_for(
    person: Person, held: HeldAnswer, accept: str, query: str, content_type: str
) -> None:
    variables = {"id": held.id} if query == WATCH else {}
    async with streamed(person, accept, query, variables) as response:
        assert response.content_type == content_type
        if content_type == SSE:
            first = (await results(response, 1))[0]
            assert next(iter(first.body["data"])) == ("answer" if query == WATCH else "viewer")


async def test_a_query_over_sse_is_one_result_and_the_end(person: Person) -> None:
    async with streamed(person, SSE, "{ viewer { user { name } } }") as response:
        said = await everything(response)
    assert [(piece.kind, piece.cursor) for piece in said] == [("next", None), ("complete", None)]
    assert said[0].body == {"data": {"viewer": {"user": {"name": "Pat"}}}}


async def test_browsers_may_subscribe_by_get_but_not_change_anything(person: Person, held: HeldAnswer) -> None:
    headers = {"accept": SSE, "authorization": f"Bearer {person.token}"}
    url = f"{person.product.url}/graphql"
    subscription = {"query": WATCH, "variables": f'{{"id": "{held.id}"}}'}
    async with person.product.http.get(url, params=subscription, headers=headers) as response:
        assert (await results(response, 1))[0].event["__typename"] == "AnswerStarted"
    async with person.product.http.get(url, params={"query": SIGN_OUT}, headers=headers) as response:
        assert (response.status, response.headers["allow"]) == (405, "POST")
        assert (await response.json())["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"


@BOTH
@pytest.mark.parametrize(
    ("query", "variables", "code"),
    [
        ("subscription { nope }", {}, "GRAPHQL_VALIDATION_FAILED"),
        ("subscription {", {}, "GRAPHQL_PARSE_FAILED"),
        (WATCH, {"id": to_global(NodeKind.ANSWER, UUID(int=7))}, "BAD_USER_INPUT"),
        (WATCH, {"id": "rubbish"}, "BAD_USER_INPUT"),
        ("subscription A { __typename } subscription B { __typename }", {}, "BAD_USER_INPUT"),
    ],
)
async def test_an_operation_that_cannot_be_done_is_told_so(
    person: Person, accept: str, query: str, variables: dict[str, Any], code: str
) -> None:
    # Where a client takes JSON as well, what is wrong before anything is subscribed to may be said in either way.
    async with streamed(person, accept, query, variables) as response:
        if response.content_type == "application/json":
            body = await response.json()
        else:
            said = await everything(response)
            assert [piece.kind for piece in said] == ["next", "complete"]
            body = said[0].body
    assert [error["extensions"]["code"] for error in body["errors"]] == [code]


async def test_a_cursor_of_another_answer_is_an_error(person: Person, held: HeldAnswer) -> None:
    other = await hold_answer(person)
    await other.begin(Started(other.key[1], 1))
    async with streamed(person, SSE, WATCH, {"id": other.id}) as response:
        cursor = (await results(response, 1))[0].cursor
    assert cursor is not None
    for wrong in (cursor, "rubbish"):
        async with streamed(person, SSE, WATCH, {"id": held.id}, last_event_id=wrong) as response:
            said = await everything(response)
        assert said[0].body["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"


@BOTH
async def test_a_client_that_goes_away_leaves_nothing_behind(settings: Settings, accept: str) -> None:
    async with running_product(settings.model_copy(update={"sockets_per_person": 1}), worker=False) as product:
        held = await hold_answer(await product.sign_up())
        await held.begin(Started(held.key[1], 1), Delta("One"))
        topics = product.services.topics
        assert product.app is not None
        places = product.app.state.graphql.socket_places
        async with streamed(held.person, accept, WATCH, {"id": held.id}) as response:
            await results(response, 1)
            async with streamed(held.person, accept, WATCH, {"id": held.id}) as second:
                assert second.status in (200, 429)
                assert (await second.json())["errors"][0]["extensions"]["code"] == "RATE_LIMITED"
                assert int(second.headers["retry-after"]) > 0
            response.connection.transport.abort()  # type: ignore[union-attr]

            async def free() -> bool:
                return not places._taken and not topics._topics

            async with asyncio.timeout(1.5):
                await until(free)
        names = {task.get_name() for task in asyncio.all_tasks()}
        assert not {name for name in names if name.startswith("stream-")}


@BOTH
async def test_who_is_signed_out_is_told_and_shown_out(person: Person, held: HeldAnswer, accept: str) -> None:
    async with streamed(person, accept, WATCH, {"id": held.id}) as response, asyncio.timeout(5):
        await results(response, 3)
        await person.query(SIGN_OUT)
        said = [piece async for piece in _shared(response) if piece.kind != "heartbeat"]
    assert [piece.kind for piece in said] == ["next" if accept == SSE else "fatal", "complete"]
    assert said[0].body["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"


async def test_whose_token_expires_is_told_what_can_be_done_about_it_here(person: Person, held: HeldAnswer) -> None:
    brief = replace(person, token=short_lived(person, 1))
    async with streamed(brief, SSE, WATCH, {"id": held.id}) as response, asyncio.timeout(5):
        (error,) = (await everything(response))[-2].body["errors"]
    assert error["extensions"]["code"] == "UNAUTHENTICATED"
    assert error["message"].startswith("The access token has expired")
    assert "refresh the session" in error["message"]
    assert "ping" not in error["message"]


async def test_a_weaker_role_ends_what_is_not_the_persons_own(settings: Settings) -> None:
    async with running_product(settings, worker=False) as product:
        person = await product.sign_up()
        answer = await hold_answer(person)
        await answer.begin(Started(answer.key[1], 1))
        document = (await person.upload(b"Never read, for there is no worker."))["document"]["id"]
        async with (
            streamed(person, SSE, WATCH, {"id": answer.id}) as own,
            streamed(person, SSE, PROGRESS, {"id": document}) as of_tenant,
            asyncio.timeout(10),
        ):
            await results(own, 1)
            await results(of_tenant, 1)
            await as_owner(settings, "UPDATE users SET role = 'USER'")
            await product.services.standings.changed(person.tenant_id, [person.session_id])
            said = [piece async for piece in _shared(of_tenant) if piece.kind != "heartbeat"]
            assert said[-2].body["errors"][0]["extensions"]["code"] == "FORBIDDEN"
            await answer.append(Delta("still there"))
            assert (await results(own, 1))[0].event["text"] == "still there"


@BOTH
async def test_a_process_that_ends_cuts_its_streams_without_an_end(settings: Settings, accept: str) -> None:
    async with running_product(settings, worker=False) as product:
        person = await product.sign_up()
        answer = await hold_answer(person)
        await answer.begin(Started(answer.key[1], 1))
        async with streamed(person, accept, WATCH, {"id": answer.id}) as response, asyncio.timeout(5):
            await results(response, 1)
            assert product.server is not None
            product.server.should_exit = True
            assert [piece async for piece in _shared(response) if piece.kind != "heartbeat"] == []
