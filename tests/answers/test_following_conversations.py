"""`subscription conversation`: what another device sees of it, without a gap, and nothing twice."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conversing import ANSWER, SELECT, TEXT, asked, followed, hold, regenerated, result_of, stop

from core.settings import Settings
from datastores.conversation_changes import MOST_CHANGES
from owner import as_owner, uuid_of
from product import OperationFailed, Person, Product, running_product
from redis_faults import cut_live_channels
from wire import GeminiServer, Until, gemini, in_time

CONVERSATION = """subscription($id: ID!, $after: String) { conversation(id: $id, after: $after) { __typename
  ... on ConversationStreamEvent { cursor }
  ... on ConversationSnapshot { conversation { id title } messages { id text answer { id status } }
    hasEarlierMessages }
  ... on MessageAdded { message { id role text answer { id } } }
  ... on AnswerChanged { answer { id status selected attempt message { text } } }
  ... on ConversationUpdated { conversation { id title } }
  ... on ConversationDeleted { conversationId } } }"""
QUESTION = "When does the first ferry leave?"


@pytest.fixture
async def made(settings: Settings, tmp_path: Path) -> AsyncIterator[tuple[GeminiServer, Settings]]:
    async with gemini(settings, tmp_path, chat_provider="gemini") as both:
        yield both


async def changes(person: Person, conversation: str, after: str | None = None) -> AsyncIterator[dict[str, Any]]:
    """The events of a conversation."""
    async for event in person.subscribe(CONVERSATION, "conversation", id=conversation, after=after):
        yield event


class Device:
    """What a client knows of a conversation: it takes events as they come, and fails where one comes twice."""

    def __init__(self) -> None:
        self.title = ""
        self.messages: list[str] = []
        self.answers: dict[str, dict[str, Any]] = {}
        self.cursor: str | None = None
        self.kinds: list[str] = []

    def take(self, event: dict[str, Any]) -> None:
        """One more event."""
        kind = event["__typename"]
        assert event["cursor"] != self.cursor
        self.cursor = event["cursor"]
        self.kinds.append(kind)
        if kind == "ConversationSnapshot":
            self.title = event["conversation"]["title"]
            self.messages = [message["id"] for message in event["messages"]]
        elif kind == "MessageAdded":
            assert event["message"]["id"] not in self.messages
            self.messages.append(event["message"]["id"])
        elif kind == "AnswerChanged":
            self.answers[event["answer"]["id"]] = event["answer"]
        elif kind == "ConversationUpdated":
            self.title = event["conversation"]["title"]

    async def follow(self, person: Person, conversation: str, messages: int, answers: int) -> None:
        """Take events until there are so many messages and answers, and none of those is unfinished."""
        async with aclosing(changes(person, conversation, self.cursor)) as events:
            async for event in events:
                self.take(event)
                if len(self.messages) >= messages and len(self.answers) >= answers and self.settled():
                    return

    def settled(self) -> bool:
        """Whether every answer has ended."""
        return all(answer["status"] not in ("PENDING", "STREAMING") for answer in self.answers.values())


async def stored(settings: Settings, conversation: str) -> list[str]:
    """The ids of the conversation's messages, in order."""
    rows = await as_owner(
        settings, "SELECT id FROM messages WHERE conversation_id = $1 ORDER BY sequence", uuid_of(conversation)
    )
    return [f"msg_{row[0].hex}" for row in rows]


@pytest.mark.long
async def test_a_second_device_on_another_process_sees_all_that_happens(made: tuple[GeminiServer, Settings]) -> None:
    server, settings = made
    async with (
        running_product(settings, worker=False) as product,
        running_product(settings, worker=False, flush=False) as other,
    ):
        person = await product.sign_up()
        conversation, device = await person.conversation(), Device()
        seen: list[dict[str, Any]] = []
        wait = hold(server, ANSWER[0])
        first = ""
        async for event in changes(replace(person, product=other), conversation):
            seen.append(event)
            device.take(event)
            status = event.get("answer", {}).get("status")
            if len(seen) == 1:
                first = await asked(person, conversation, QUESTION)
            elif status == "STREAMING":
                wait.event.set()
            elif status == "COMPLETED":
                break
        snapshot, *later = seen
        assert (snapshot["messages"], snapshot["conversation"]["title"]) == ([], "")
        assert device.title == QUESTION
        added = [event["message"] for event in later if event["__typename"] == "MessageAdded"]
        assert [(message["role"], message["text"], message["answer"]["id"]) for message in added] == [
            ("USER", QUESTION, first),
            ("ASSISTANT", TEXT, first),
        ]
        assert device.answers[first] == {
            "id": first,
            "status": "COMPLETED",
            "selected": True,
            "attempt": 1,
            "message": {"text": TEXT},
        }
        # Another answer, the choice of one and a stop are heard of, too.
        following = asyncio.create_task(device.follow(replace(person, product=other), conversation, 3, 2))
        server.script = list(ANSWER)
        second = (await regenerated(person, first))["id"]
        await in_time(following)
        assert {one: answer["selected"] for one, answer in device.answers.items()} == {first: False, second: True}
        await result_of(person, SELECT, answerId=first)
        hold(server)
        third, fourth = [await asked(person, conversation, QUESTION) for _ in range(2)]
        for one in (fourth, third):
            await stop(person, one)
        await in_time(device.follow(person, conversation, 5, 4))
        assert {one: answer["selected"] for one, answer in device.answers.items()} == {
            first: True,
            second: False,
            third: True,
            fourth: True,
        }
        assert [device.answers[one]["status"] for one in (third, fourth)] == ["STOPPED", "STOPPED"]
        assert device.messages == await stored(settings, conversation)


async def test_an_answer_that_waited_is_heard_of_when_it_begins(made: tuple[GeminiServer, Settings]) -> None:
    server, settings = made
    async with running_product(settings, worker=False) as product:
        person = await product.sign_up()
        conversation, states = await person.conversation(), []
        wait = hold(server, ANSWER[0])
        _, second = [await asked(person, conversation, QUESTION) for _ in range(2)]
        await in_time(server.arrived.wait())
        async with aclosing(changes(person, conversation)) as events:
            async for event in events:
                if event["__typename"] == "ConversationSnapshot":
                    states.append(event["messages"][1]["answer"]["status"])
                    server.script = [Until()]
                    wait.event.set()
                elif event["__typename"] == "AnswerChanged" and event["answer"]["id"] == second:
                    states.append(event["answer"]["status"])
                    break
        await stop(person, second)
    assert states == ["PENDING", "STREAMING"]


@pytest.mark.long
async def test_whoever_goes_on_after_any_cursor_knows_the_same_in_the_end(made: tuple[GeminiServer, Settings]) -> None:
    server, settings = made
    server.script = list(ANSWER)
    async with running_product(settings, worker=False) as product:
        person = await product.sign_up()
        conversation, devices = await person.conversation(), [Device()]
        following = asyncio.create_task(_snapshots(person, conversation, devices))
        for _ in range(3):
            await followed(person, await asked(person, conversation, QUESTION))
        await in_time(following)
        expected = await stored(settings, conversation)
        assert len(expected) == 6
        final = devices[-1]
        for device in devices:
            # What it knew at that cursor, and what it is told from there.
            if device.cursor != final.cursor:
                await in_time(_to(person, conversation, device, final.cursor))
            assert device.messages == expected
            assert device.answers == final.answers
            assert device.title == final.title
            assert device.kinds.count("ConversationSnapshot") == 1


async def _snapshots(person: Person, conversation: str, devices: list[Device]) -> None:
    """Devices that stopped at each event, up to the third answer's end."""
    async with aclosing(changes(person, conversation)) as events:
        async for event in events:
            device = Device()
            device.__dict__.update(
                {name: value.copy() if hasattr(value, "copy") else value for name, value in vars(devices[-1]).items()}
            )
            device.take(event)
            devices.append(device)
            if len(device.messages) == 6 and device.settled():
                devices.pop(0)
                return


async def _to(person: Person, conversation: str, device: Device, cursor: str | None) -> None:
    async with aclosing(changes(person, conversation, device.cursor)) as events:
        async for event in events:
            device.take(event)
            if event["cursor"] == cursor:
                return


@pytest.mark.long
@pytest.mark.timeout(60)  # several disconnections and a reconnection of the listener, on a shared machine
@pytest.mark.parametrize("seed", [1, 2])
async def test_devices_that_come_and_go_miss_nothing_and_are_told_nothing_twice(
    made: tuple[GeminiServer, Settings], seed: int
) -> None:
    server, settings = made
    server.script = list(ANSWER)
    chance = random.Random(seed)
    async with (
        running_product(settings, worker=False) as one,
        running_product(settings, worker=False, flush=False) as two,
    ):
        person = await one.sign_up()
        conversation = await person.conversation()
        devices = [Device() for _ in range(3)]
        done = asyncio.Event()

        async def come_and_go(device: Device) -> None:
            while not done.is_set():
                place = replace(person, product=chance.choice((one, two)))
                left = chance.randrange(1, 6)
                async with aclosing(changes(place, conversation, device.cursor)) as events:
                    leaving = asyncio.create_task(done.wait())
                    while left and not leaving.done():
                        coming = asyncio.ensure_future(anext(events))
                        await asyncio.wait({coming, leaving}, return_when=asyncio.FIRST_COMPLETED)
                        if not coming.done():
                            coming.cancel()
                            await asyncio.wait({coming})
                            break
                        device.take(coming.result())
                        left -= 1
                    leaving.cancel()

        async with asyncio.TaskGroup() as group:
            for device in devices:
                group.create_task(come_and_go(device))
            for number in range(6):
                place = replace(person, product=chance.choice((one, two)))
                sent = [await asked(place, conversation, QUESTION) for _ in range(chance.randrange(1, 3))]
                if number == 3:
                    await cut_live_channels(one.services.redis)
                await followed(place, sent[-1])
            done.set()
        expected = await stored(settings, conversation)
        for device in devices:
            if len(device.messages) < len(expected) or not device.settled():
                await in_time(device.follow(person, conversation, len(expected), 0))
            assert device.messages == expected
            assert device.kinds.count("ConversationSnapshot") == 1


@pytest.mark.long
async def test_a_device_looks_by_itself_when_nobody_tells_it(own_product: Product) -> None:
    person = await own_product.sign_up()
    conversation, titles = await person.conversation(), []
    async for event in changes(person, conversation):
        titles.append(event["conversation"]["title"])
        if len(titles) == 2:
            break
        # Past the product, which would publish it.
        await as_owner(
            own_product.settings,
            "UPDATE conversations SET title = 'Ferries', version = version + 1, updated_version = version + 1",
        )
    assert titles == ["", "Ferries"]


async def test_a_place_that_is_not_known_or_too_long_ago_gives_a_snapshot(own_product: Product) -> None:
    person, settings = await own_product.sign_up(), own_product.settings
    conversation = await person.conversation()
    first = await anext(changes(person, conversation))
    of, _, rank, id = first["cursor"].split(".")
    ahead = await anext(changes(person, conversation, f"{of}.99.{rank}.{id}"))
    assert ahead == first
    count = MOST_CHANGES + 1
    await as_owner(
        settings,
        "INSERT INTO messages (tenant_id, id, conversation_id, sequence, version, role, text) SELECT tenant_id, "
        f"gen_random_uuid(), id, n, n, 'SYSTEM', 'Message ' || n FROM conversations, generate_series(1, {count}) n",
    )
    await as_owner(settings, f"UPDATE conversations SET version = {count}, last_sequence = {count}")
    again = await anext(changes(person, conversation, first["cursor"]))
    assert (again["__typename"], again["hasEarlierMessages"]) == ("ConversationSnapshot", True)
    assert [message["text"] for message in again["messages"]] == [
        f"Message {number}" for number in range(count - 99, count + 1)
    ]
    of, _, rank, id = again["cursor"].split(".")
    near = await anext(changes(person, conversation, f"{of}.{count - 1}.{rank}.{id}"))
    assert (near["__typename"], near["message"]["text"]) == ("MessageAdded", f"Message {count}")


async def test_what_is_no_cursor_of_this_conversation_is_refused(product: Product) -> None:
    person, stranger = await product.sign_up(), await product.sign_up()
    conversation, other = await person.conversation(), await person.conversation()
    cursor = (await anext(changes(person, conversation)))["cursor"]
    of, version, rank, id = cursor.split(".")
    wrong = ["", "x", f"{of}.{version}.{rank}", f"{of}.+{version}.{rank}.{id}", f"{of}.{2**63}.{rank}.{id}"]
    for after in wrong:
        with pytest.raises(OperationFailed, match="not a cursor of a conversation"):
            await anext(changes(person, conversation, after))
    with pytest.raises(OperationFailed, match="a cursor of another conversation"):
        await anext(changes(person, other, cursor))
    for who, named in ((stranger, conversation), (person, f"cnv_{'0' * 32}")):
        with pytest.raises(OperationFailed, match="There is no such conversation"):
            await anext(changes(who, named))


async def test_a_deleted_conversation_ends_with_that(own_product: Product) -> None:
    person = await own_product.sign_up()
    conversation, seen = await person.conversation(), []
    async for event in changes(person, conversation):
        seen.append(event)
        if len(seen) == 1:
            await as_owner(own_product.settings, "DELETE FROM conversations WHERE id = $1", uuid_of(conversation))
            await own_product.services.news.tell(person.tenant_id, uuid_of(conversation))
    assert [event["__typename"] for event in seen] == ["ConversationSnapshot", "ConversationDeleted"]
    assert seen[-1]["conversationId"] == conversation
