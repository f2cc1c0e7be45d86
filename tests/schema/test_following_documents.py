"""`subscription documents`: whoever applies its events has, at any time, what the query gives."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sqlalchemy import event as sa_event
from test_access import colleague

import pdfs
from app.worker import run_worker
from core.ids import NodeKind, to_global
from core.settings import Settings
from core.tasks import end_tasks
from datastores import redis_keys
from datastores.models import Assistant, DocumentScope, Role
from lifecycle import CANCEL, DELETE, RETRY, change
from owner import as_owner, set_role, until, uuid_of
from product import OperationFailed, Person, Product, running_product
from resolvers import follow_documents
from streams import MULTIPART, SSE, pieces, streamed

FIELDS = "{ id name status pageCount progress { pagesDone pagesTotal chunksDone chunksTotal } failure { code } }"
FOLLOW = f"""subscription($status: [DocumentStatus!], $first: Int) {{ documents(status: $status, first: $first) {{
  __typename ... on DocumentsSnapshot {{ documents {FIELDS} hasMore }}
  ... on DocumentAdded {{ document {FIELDS} }} ... on DocumentChanged {{ document {FIELDS} }}
  ... on DocumentRemoved {{ documentId }} }} }}"""
LIST = f"""query($status: [DocumentStatus!], $first: Int) {{ viewer {{ documents(status: $status, first: $first) {{
  nodes {FIELDS} }} }} }}"""
TEXT = b"The harbour of Vexholm freezes in December.\n"
SOON = 3.0
"""Well below the five seconds after which a follower looks by itself."""


class Following:
    """A follower's own copy of the list, kept by the events alone."""

    def __init__(self, person: Person, events: AsyncIterator[dict[str, Any]], **variables: Any) -> None:
        self._person, self._events, self._variables = person, events, variables
        self._copy: dict[str, dict[str, Any]] = {}
        self.kinds: list[str] = []

    async def hear(self) -> dict[str, Any]:
        """The next event."""
        async with asyncio.timeout(SOON):
            event = await anext(self._events)
        self.kinds.append(event["__typename"])
        match event["__typename"]:
            case "DocumentsSnapshot":
                self._copy = {one["id"]: one for one in event["documents"]}
            case "DocumentAdded":
                assert event["document"]["id"] not in self._copy
                self._copy[event["document"]["id"]] = event["document"]
            case "DocumentChanged":
                assert self._copy[event["document"]["id"]] != event["document"]
                self._copy[event["document"]["id"]] = event["document"]
            case "DocumentRemoved":
                del self._copy[event["documentId"]]
        return event

    async def same(self) -> None:
        """Hear on until the copy is what the query gives."""
        while True:
            nodes = (await self._person.query(LIST, **self._variables))["viewer"]["documents"]["nodes"]
            if {one["id"]: one for one in nodes} == self._copy:
                return
            await self.hear()


@asynccontextmanager
async def following(person: Person, **variables: Any) -> AsyncIterator[Following]:
    """A follower who has heard the snapshot."""
    events = person.subscribe(FOLLOW, "documents", **variables)
    found = Following(person, events, **variables)
    assert (await found.hear())["__typename"] == "DocumentsSnapshot"
    try:
        yield found
    finally:
        await events.aclose()  # type: ignore[attr-defined]


@pytest.fixture
async def idle(settings: Settings) -> AsyncIterator[Product]:
    """A product without a worker."""
    async with running_product(settings, worker=False) as product:
        yield product


async def uploaded(person: Person, number: int) -> str:
    """The id of a document that nobody has read."""
    return (await person.upload(TEXT * number, f"{number}.txt"))["document"]["id"]  # type: ignore[no-any-return]


async def test_the_list_is_followed_through_the_whole_life_of_its_documents(settings: Settings) -> None:
    async with running_product(settings, worker=False) as product:
        person = await product.sign_up()
        first = await uploaded(person, 1)
        async with following(person) as found:
            await found.same()
            assert found.kinds == ["DocumentsSnapshot"]
            second = await uploaded(person, 2)
            added = await found.hear()
            assert (added["__typename"], added["document"]["status"]) == ("DocumentAdded", "QUEUED")
            await change(person, CANCEL, first)
            cancelled = await found.hear()
            assert (cancelled["document"]["id"], cancelled["document"]["status"]) == (first, "CANCELLED")
            working = asyncio.create_task(run_worker(settings))
            manual = (await person.upload(pdfs.leaflets(60), "leaflets.pdf"))["document"]["id"]
            await change(person, RETRY, first)
            statuses: set[str] = set()
            while statuses != {"READY"}:
                await found.hear()
                nodes = (await person.query(LIST))["viewer"]["documents"]["nodes"]
                statuses = {node["status"] for node in nodes}
            await found.same()
            await end_tasks([working])
            await change(person, DELETE, second)
            assert await found.hear() == {"__typename": "DocumentRemoved", "documentId": second}
            await found.same()
        assert found.kinds.count("DocumentsSnapshot") == 1
        assert {node["id"] for node in (await person.query(LIST))["viewer"]["documents"]["nodes"]} == {first, manual}


async def test_a_list_of_some_statuses_gains_and_loses_documents_as_they_change(idle: Product) -> None:
    person = await idle.sign_up()
    document_id = await uploaded(person, 1)
    async with following(person, status=["QUEUED"]) as waiting, following(person, status=["CANCELLED"]) as cancelled:
        await change(person, CANCEL, document_id)
        assert await waiting.hear() == {"__typename": "DocumentRemoved", "documentId": document_id}
        assert (await cancelled.hear())["__typename"] == "DocumentAdded"
        await waiting.same()
        await cancelled.same()


async def test_so_many_are_followed_as_were_asked_for(idle: Product) -> None:
    person = await idle.sign_up()
    documents = [await uploaded(person, number) for number in (1, 2, 3)]
    async with following(person, first=2) as found:
        newest = await uploaded(person, 4)
        # The oldest of the two makes room, and comes back when there is.
        assert await found.hear() == {"__typename": "DocumentRemoved", "documentId": documents[1]}
        assert (await found.hear())["document"]["id"] == newest
        await change(person, DELETE, newest)
        assert await found.hear() == {"__typename": "DocumentRemoved", "documentId": newest}
        assert (await found.hear())["document"]["id"] == documents[1]
        await found.same()
    for first in (0, 101):
        with pytest.raises(OperationFailed, match="between 1 and 100"):
            await anext(person.subscribe(FOLLOW, "documents", first=first))


async def test_a_user_follows_what_an_assistant_s_scope_lets_them_read(idle: Product) -> None:
    person = await idle.sign_up()
    user = await colleague(person, Role.USER)
    await as_owner(idle.settings, "UPDATE assistants SET document_scope = 'ASSIGNED'")
    async with idle.services.postgres.write(person.tenant_id) as tx:
        assistant = Assistant(tenant_id=person.tenant_id, name="Narrow", document_scope=DocumentScope.ASSIGNED)
        tx.session.add(assistant)
    narrow = to_global(NodeKind.ASSISTANT, assistant.id)
    async with following(user) as theirs, following(person) as all_of_them:
        await uploaded(person, 1)
        assert (await all_of_them.hear())["document"]["name"] == "1.txt"
        shared = (await person.upload(TEXT * 2, "2.txt", assistantId=narrow))["document"]["id"]
        assert (await all_of_them.hear())["document"]["id"] == shared
        # The first thing that is heard of is the second document.
        assert (await theirs.hear())["document"]["id"] == shared
        await theirs.same()


async def test_nothing_is_heard_of_another_organisation(idle: Product) -> None:
    person, other = await idle.sign_up(), await idle.sign_up()
    async with following(other) as found:
        await change(person, DELETE, await uploaded(person, 1))
        mine = await uploaded(other, 2)
        assert (await found.hear())["document"]["id"] == mine
        await found.same()


@pytest.mark.parametrize("accept", [SSE, MULTIPART], ids=["sse", "multipart"])
async def test_the_list_is_followed_over_http_too(idle: Product, accept: str) -> None:
    person = await idle.sign_up()
    document_id = await uploaded(person, 1)
    async with streamed(person, accept, FOLLOW) as response:
        events = (piece async for piece in pieces(response) if piece.kind == "next")
        assert [one["id"] for one in (await anext(events)).event["documents"]] == [document_id]
        await change(person, CANCEL, document_id)
        changed = (await anext(events)).event
        assert (changed["__typename"], changed["document"]["status"]) == ("DocumentChanged", "CANCELLED")
        await change(person, DELETE, document_id)
        assert (await anext(events)).event == {"__typename": "DocumentRemoved", "documentId": document_id}


async def test_who_may_no_longer_read_all_of_it_has_to_ask_again(idle: Product) -> None:
    person = await idle.sign_up()
    async with idle.socket(person.token) as socket:
        await socket.send_json({"id": "1", "type": "subscribe", "payload": {"query": FOLLOW}})
        assert (await socket.receive_json())["type"] == "next"
        await set_role(person, "USER")
        frame = json.loads((await socket.receive(timeout=SOON)).data)
    assert (frame["type"], frame["payload"][0]["extensions"]["code"]) == ("error", "FORBIDDEN")


async def test_a_stranger_may_not_follow(idle: Product) -> None:
    with pytest.raises(OperationFailed, match="UNAUTHENTICATED"):
        await anext(Person(idle, "", "", "").subscribe(FOLLOW, "documents"))


async def test_a_follower_looks_by_itself_where_no_word_comes(idle: Product, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow_documents, "SILENCE_SECONDS", 0.2)
    person = await idle.sign_up()
    document_id = await uploaded(person, 1)
    async with following(person) as found:
        statement = "UPDATE documents SET status = 'PARSING', pages_done = 7 WHERE id = $1"
        await as_owner(idle.settings, statement, uuid_of(document_id))
        assert (await found.hear())["document"]["progress"]["pagesDone"] == 7


async def test_however_often_something_changes_a_follower_looks_twice_a_second_and_once_each_time(
    idle: Product, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow_documents, "PAUSE_SECONDS", 0.3)
    person = await idle.sign_up()
    documents = [await uploaded(person, number) for number in range(1, 6)]
    looks: list[str] = []
    engine = idle.services.postgres.engine.sync_engine
    async with following(person) as found:
        sa_event.listen(engine, "before_cursor_execute", lambda _c, _cu, statement, *_: looks.append(statement))
        loop = asyncio.get_running_loop()
        began, words = loop.time(), 0
        channel = redis_keys.documents_live(person.tenant_id)
        while loop.time() < began + 1.5:
            await idle.services.redis.publish(channel, b"")
            words += 1
        seconds = loop.time() - began
        assert words > 50
        assert 1 <= len(looks) <= seconds / 0.3 + 2
        assert all(statement.startswith("SELECT documents.id") for statement in looks)
        # Nothing had changed, so nothing was said.
        assert found.kinds == ["DocumentsSnapshot"]
        await change(person, DELETE, documents[0])
        assert (await found.hear())["documentId"] == documents[0]


async def test_what_changes_while_redis_is_gone_is_heard_of(idle: Product, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow_documents, "SILENCE_SECONDS", 0.5)
    person = await idle.sign_up()
    document_id = await uploaded(person, 1)
    async with following(person) as found:
        await idle.services.live.aclose()  # as if the connection that listens were lost for good
        await change(person, CANCEL, document_id)

        async def told() -> bool:
            return (await found.hear())["document"]["status"] == "CANCELLED"

        await until(told)
