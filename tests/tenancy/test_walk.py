"""Tenancy, proven by walking the schema: whatever a client can name, read or follow, another tenant's is not there.

Each test runs twice: as the queries are written, and with their tenant filter removed, so that row-level security alone
must hold. `walk.py` makes the calls from the schema: a new field, argument or input is covered by being there.
"""

from __future__ import annotations

import asyncio
import json
import shutil
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from strangers import ADMINISTRATION, SILENCE_SECONDS, Stranger, Walk, content, logged, make_walk
from two_tenants import World, missing, present
from walk import Named, Place, call, cursors_in, places, readings, twin
from without_filter import tenant_filter_removed

from core.ids import NodeKind, new_id
from core.settings import Settings
from product import PROGRESS, running_product

pytestmark = pytest.mark.timeout(60)
ECHOES = ("Viewer.auditLog",)
"""What shows who has tried what."""
LIMITS = ("depth", "aliases", "tokens", "document_bytes", "selections", "cost", "merges")


@pytest.fixture(scope="module")
def module_settings(
    world: World,
    settings_on: Callable[[str, Path], AbstractContextManager[Settings]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Settings]:
    """For a product that these tests share: documents of any size, answers that take a while."""
    wide = {f"limit_{name}": 10**9 for name in LIMITS} | {"local_token_interval_ms": 20}
    with settings_on(world.database, tmp_path_factory.mktemp("walk")) as settings:
        shutil.copytree(world.files, settings.data_dir / "files")
        yield settings.model_copy(update=wide)


@pytest.fixture(scope="module")
async def strangers(world: World, module_settings: Settings) -> AsyncIterator[Walk]:
    """The strangers at the product's door."""
    async with running_product(module_settings) as product:
        yield await make_walk(product, theirs=present(world.first, product), mine=present(world.second, product))


@pytest.fixture(params=["as written", pytest.param("query filter removed", marks=pytest.mark.long)])
def walk(request: pytest.FixtureRequest, strangers: Walk) -> Iterator[Walk]:
    """Nothing that they do may bring the other tenant's words into the log."""
    with logged() as lines:
        if request.param == "as written":
            yield strangers
        else:
            with tenant_filter_removed(strangers.product.services.postgres) as rewritten:
                yield strangers
            assert rewritten, "the test ran no statement with a tenant filter"
    assert lines
    assert [line for line in lines for word in content(strangers.marks) if word in line] == []


async def test_a_foreign_id_is_told_the_same_as_a_missing_one_wherever_it_is_named(walk: Walk) -> None:
    before = await walk.state()
    for place in [place for place in places() if not place.cursor]:
        actor = _actor(walk, place)
        absent = {kind: await walk.told(actor, place, missing(one)) for kind, one in walk.foreign.items()}
        kinds = await _kinds_of(place, absent, actor, walk)
        for person in walk.strangers:
            for kind in absent if person is actor else kinds:
                if person.may(f"{place.owner}.{place.field}", kind):
                    continue
                foreign = walk.foreign[kind]
                expected = absent[kind] if person is actor else await walk.told(person, place, missing(foreign))
                assert await walk.told(person, place, foreign) == expected, (place, person.name, kind)
        if place.owner == "Mutation":
            assert await walk.state() == before, place
    assert await walk.state() == before


async def test_a_foreign_cursor_tells_a_place_and_nothing_else(walk: Walk) -> None:
    for place in [place for place in places() if place.cursor]:
        given, cursor = await _their_cursor(walk, place)
        for person in [one for one in walk.strangers if not one.may(f"{place.owner}.{place.field}")]:
            told = await walk.told(person, place, cursor, given)
            assert told == await walk.told(person, place, twin(cursor), given), (place, person.name)
            assert not _found(walk, told, f"{place.owner}.{place.field}"), (place, person.name)


async def test_nothing_foreign_is_in_anything_that_can_be_read(walk: Walk) -> None:
    for person in walk.strangers:
        shown = []
        for name, asked in readings(person.own).items():
            body = await walk.answer(person, asked)
            assert person.may(name) or not _found(walk, body, name), (name, person.name)
            assert "INTERNAL" not in body, (name, person.name, body)
            shown.append(body)
        # What is searched for would be found.
        assert (walk.mine.subject in "".join(shown)) is (person.token is not None)
    shown = [await walk.answer(walk.owners[0], asked) for asked in readings(walk.owners[0].own).values()]
    assert set(content(walk.marks)) - {walk.theirs.subject.lower()} <= {
        mark for mark in content(walk.marks) if mark in "".join(shown)
    }


async def test_no_event_of_a_foreign_object_arrives_while_it_changes(walk: Walk) -> None:
    theirs, words = walk.theirs.business, f"In {walk.theirs.subject} it snows in March. {new_id()}"
    document = (await theirs.upload(words.encode(), "new.txt"))["document"]["id"]
    question = f"Where do the ferries of {walk.theirs.subject} leave from?"
    answer = (await theirs.send(walk.theirs.ids["Conversation"], question))["answer"]["id"]
    changing = dict(walk.foreign) | {NodeKind.DOCUMENT: document, NodeKind.ANSWER: answer}
    followed = [
        _Followed(place, person, one, missing(one))
        for place in places()
        if place.owner == "Subscription" and not place.cursor
        for person in walk.strangers
        for one in changing.values()
    ]
    changed = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        listening = [group.create_task(one.listen(walk, changed)) for one in followed]
        # Whatever is refused is refused by now, and what is not would hear of all that follows.
        await asyncio.gather(*(one.first.wait() for one in followed))
        assert [event async for event in theirs.follow(answer)][-1]["__typename"] == "AnswerCompleted"
        progress = [event async for event in theirs.subscribe(PROGRESS, "documentProgress", id=document)]
        assert progress[-1]["status"] == "READY"
        changed.set()
    for one, task in zip(followed, listening, strict=True):
        foreign, absent = task.result()
        assert [frame["type"] for frame in foreign] == ["error"], (one.place, one.person.name, foreign)
        assert json.dumps(foreign).replace(one.foreign, "<named>") == json.dumps(absent).replace(one.absent, "<named>")


@dataclass
class _Followed:
    """A foreign object and a missing one, followed by one person on one socket."""

    place: Place
    person: Stranger
    foreign: str
    absent: str
    first: asyncio.Event = field(default_factory=asyncio.Event)

    async def listen(self, walk: Walk, changed: asyncio.Event) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """What each of the two sent until everything had changed, without numbers of requests."""
        heard: dict[str, list[dict[str, Any]]] = {"foreign": [], "absent": []}
        async with walk.product.socket(self.person.token) as socket:
            for name, value in (("foreign", self.foreign), ("absent", self.absent)):
                asked = call(Named(self.place, value, self.person.own))
                payload = {"query": asked.query, "variables": asked.variables}
                await socket.send_json({"id": name, "type": "subscribe", "payload": payload})
                with suppress(TimeoutError):
                    self._hear(heard, await socket.receive_json(timeout=SILENCE_SECONDS))
            self.first.set()
            await changed.wait()
            # What was published before this is answered has come, if it comes at all.
            await socket.send_json({"type": "ping"})
            while (frame := await socket.receive_json())["type"] != "pong":
                self._hear(heard, frame)
        return heard["foreign"], heard["absent"]

    def _hear(self, heard: dict[str, list[dict[str, Any]]], frame: dict[str, Any]) -> None:
        for error in frame["payload"] if frame["type"] == "error" else ():
            error["extensions"].pop("requestId")
        heard[frame.pop("id")].append(frame)


def _actor(walk: Walk, place: Place) -> Stranger:
    """Who gets as far as the id."""
    wanted = "ADMIN" if f"{place.owner}.{place.field}" in ADMINISTRATION else "BUSINESS"
    return next(person for person in walk.strangers if person.name == wanted)


async def _kinds_of(place: Place, told: dict[NodeKind, str], person: Stranger, walk: Walk) -> list[NodeKind]:
    """The kinds of object that the place takes: those whose missing ids are not told what most are told.

    All of them where each is told the same, as by `node`, and one's own is told something else. Else the walk has not
    got as far as the id, because something else in the call was refused.
    """
    ((usual, _),) = Counter(told.values()).most_common(1)
    if taken := [kind for kind, one in told.items() if one != usual]:
        return taken
    if place.owner != "Mutation":
        for kind, own in person.own.items():
            if await walk.told(person, place, own) != told[kind]:
                return list(told)
    raise AssertionError(f"{place}: nothing depends on it. Say in walk.NAMED what else the call needs. Told: {usual}")


async def _their_cursor(walk: Walk, place: Place) -> tuple[NodeKind | None, str]:
    """A cursor of theirs for the place, and the kind of id that it needs beside it."""
    for person in walk.owners:
        for given in (None, *person.own):
            try:
                asked = call(Named(place, "", person.own, given))
            except AssertionError:
                continue
            del asked.variables[place.path[0]]
            for cursor in cursors_in(json.loads(await walk.answer(person, asked))):
                return given, cursor
    raise AssertionError(f"{place}: nobody of these tests has a cursor for it")


def _found(walk: Walk, text: str, read: str) -> list[str]:
    """What is theirs in a text; ids that the strangers have named are their own words where those are written down."""
    named = {one.partition("_")[2] for one in walk.foreign.values()} if read in ECHOES else set()
    return [mark for mark in walk.marks - named if mark in text]
