"""Viewers that read slowly, or not at all: what is kept for them is bounded, and nobody else is slowed by them."""

from __future__ import annotations

import asyncio
import gc
import time
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from statistics import median
from typing import Any

import pytest

from core.settings import Settings
from datastores.answer_events import Completed, Delta, Started
from held_answer import WATCH, HeldAnswer, Watcher, hold_answer, nobody_watches, watching
from owner import until
from product import Product, running_product
from raw_socket import Closed, RawSocket
from resolvers.following.viewer import AnswerViewer

pytestmark = pytest.mark.timeout(60)  # megabytes go through a process that is shared with their readers
STALL = 1.5
ROOM = 4_096
PIECE = "a word, " * 512  # 4 KiB
VIEWER_BYTES = 256 * 1024


@pytest.fixture
async def impatient(settings: Settings) -> AsyncIterator[Product]:
    """A product that soon ends viewers which read nothing."""
    changed = {"socket_stall_timeout": STALL}
    async with running_product(settings.model_copy(update=changed), worker=False) as product:
        yield product


@pytest.fixture
async def patient(settings: Settings) -> AsyncIterator[Product]:
    """One that lets them be."""
    changed = {"socket_stall_timeout": 600, "socket_ping_timeout": 600}
    async with running_product(settings.model_copy(update=changed), worker=False) as product:
        yield product


@pytest.fixture
async def answer(impatient: Product) -> HeldAnswer:
    """It has begun."""
    return await begun(impatient)


async def begun(product: Product) -> HeldAnswer:
    held = await hold_answer(await product.sign_up())
    await held.begin(Started(held.key[1], 1))
    return held


@asynccontextmanager
async def slow_socket(answer: HeldAnswer, after: str | None = None) -> AsyncIterator[RawSocket]:
    """A viewer of the answer that takes from the network what it reads, and hardly more."""
    async with RawSocket(*answer.person.product.address, room=ROOM) as socket:
        await socket.sign_in(answer.person.token)
        await socket.subscribe("1", WATCH, id=answer.id, after=after)
        yield socket


async def event_of(socket: RawSocket) -> dict[str, Any]:
    """The next event."""
    message = await socket.receive()
    assert message["type"] == "next", message
    return message["payload"]["data"]["answer"]  # type: ignore[no-any-return]


def viewers(answer: HeldAnswer) -> list[AnswerViewer]:
    """Of the answer, in its product's process."""
    topic = answer.person.product.services.topics.topic(*answer.key)
    return [viewer for viewer in topic._viewers() if isinstance(viewer, AnswerViewer)]


async def whole(answer: HeldAnswer, pieces: int) -> str:
    """Say something long, and its end; what has been said."""
    await answer.finish()
    for _ in range(pieces // 40):
        await answer.append(*[Delta(PIECE)] * 40)
    await answer.append(Completed(answer.key[1]))
    return PIECE * pieces


@pytest.mark.long
async def test_a_viewer_that_reads_nothing_is_closed_with_1013_and_goes_on_after_its_cursor(answer: HeldAnswer) -> None:
    async with slow_socket(answer) as socket:
        first = await event_of(socket)
        text = await whole(answer, 400)
        await until(lambda: nobody_watches(answer))
        got, cursor = "", first["cursor"]
        try:
            while True:
                event = await event_of(socket)
                got, cursor = got + event["text"], event["cursor"]
        except Closed as closed:
            code, reason = closed.args
    assert code == 1013
    assert "cursor" in reason
    assert text.startswith(got)
    assert len(got) < len(text)
    async with watching(answer.person) as watcher:
        await watcher.subscribe("1", WATCH, {"id": answer.id, "after": cursor})
        await watcher.until(1_000)
    assert got + "".join(event.get("text", "") for event in watcher.events("1")) == text


@pytest.mark.long
async def test_who_has_taken_a_little_at_first_has_no_second_time(answer: HeldAnswer) -> None:
    loop = asyncio.get_running_loop()
    async with slow_socket(answer) as socket:
        await event_of(socket)
        await whole(answer, 400)
        await asyncio.sleep(STALL / 5)  # nothing is waited for: it takes its time
        for _ in range(8):
            # More than its own buffers have, so that it takes some from the network.
            await event_of(socket)
        taken = loop.time()
        await until(lambda: nobody_watches(answer))
        assert STALL * 0.9 < loop.time() - taken < STALL * 1.6


@pytest.mark.long
async def test_one_that_does_not_even_take_the_close_frame_is_dropped(answer: HeldAnswer) -> None:
    async with slow_socket(answer) as socket:
        await event_of(socket)
        await whole(answer, 400)
        address = socket._writer.get_extra_info("sockname")

        async def dropped() -> bool:
            return address not in _peers(answer.person.product)

        await until(lambda: nobody_watches(answer))
        await until(dropped)


def _peers(product: Product) -> list[Any]:
    assert product.server is not None
    return [connection.client for connection in product.server.server_state.connections]


@pytest.mark.long
async def test_a_viewer_that_reads_a_little_at_a_time_is_kept(answer: HeldAnswer) -> None:
    async with slow_socket(answer) as socket:
        await whole(answer, 200)
        for _ in range(12):
            # The pace of a bad line; nothing is waited for.
            await asyncio.sleep(STALL / 3)
            await event_of(socket)
        assert not await nobody_watches(answer)


async def test_what_waits_for_a_slow_viewer_comes_merged_and_whole(answer: HeldAnswer) -> None:
    async with slow_socket(answer) as socket:
        events = [await event_of(socket)]
        while not any(viewer._pending for viewer in viewers(answer)):
            await answer.append(Delta(PIECE))
        waiting = 40
        for number in range(waiting):
            await answer.append(Delta(f"{number} "))
        await answer.finish()
        await answer.append(Completed(answer.key[1]))
        while events[-1]["__typename"] != "AnswerCompleted":
            events.append(await event_of(socket))
    deltas = events[1:-1]
    assert len(deltas) < answer.sequence - waiting
    expected = 2
    for delta in deltas:
        assert delta["firstSequence"] == expected
        expected = delta["sequence"] + 1
    assert expected == answer.sequence
    assert "".join(delta["text"] for delta in deltas).endswith("".join(f"{number} " for number in range(waiting)))


async def test_what_is_kept_for_a_viewer_is_bounded_whatever_the_answer_s_length(patient: Product) -> None:
    answer = await begun(patient)
    count, megabytes = 8, 4
    async with AsyncExitStack() as stack:
        sockets = [await stack.enter_async_context(slow_socket(answer)) for _ in range(count)]
        for socket in sockets:
            await event_of(socket)
        gc.collect()
        tracemalloc.start()
        try:
            for _ in range(megabytes * 1024 // 16):
                await answer.append(*[Delta(PIECE)] * 4)
            gc.collect()
            kept, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert any(not viewer._in_step for viewer in viewers(answer)), "nobody was behind"
    assert kept < count * VIEWER_BYTES


async def _latency(watcher: Watcher, answer: HeldAnswer, events: int) -> float:
    """Median seconds from an event's publication to its arrival."""
    times = []
    for _ in range(events):
        began = time.perf_counter()
        seen = len(watcher.frames["1"])
        await answer.append(Delta(PIECE))
        await watcher.until(seen + 1)
        times.append(time.perf_counter() - began)
    return median(times)


async def test_viewers_that_read_nothing_do_not_slow_the_others(patient: Product) -> None:
    answer = await begun(patient)
    async with watching(answer.person) as watcher, AsyncExitStack() as stack:
        await watcher.subscribe("1", WATCH, {"id": answer.id})
        await watcher.until(1)
        await _latency(watcher, answer, 50)
        alone = await _latency(watcher, answer, 100)
        sockets = [await stack.enter_async_context(slow_socket(answer)) for _ in range(30)]
        for socket in sockets:
            await event_of(socket)

        async def all_are_behind() -> bool:
            await answer.append(Delta(PIECE))
            return sum(bool(viewer._pending) or not viewer._in_step for viewer in viewers(answer)) >= len(sockets)

        await until(all_are_behind)
        await watcher.until(1)
        beside = await _latency(watcher, answer, 100)
    # A viewer's own work for an event is a small part of the way through Redis and two sockets.
    assert beside < 4 * alone + 0.002
