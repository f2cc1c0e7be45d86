"""The live channels: one Redis connection per process listens for all its followers.

A `Listener` is told of each message as it comes. A `LiveFeed` is one that keeps them until they are taken, at most
`FEED_LIMIT`: whoever falls behind further, or was listening while the connection broke, is told that it has a gap.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Any, Protocol

import structlog
from redis.asyncio import Connection, Redis
from redis.asyncio.client import PubSub

from core.tasks import end_tasks
from datastores.pushed_messages import PushedMessages
from datastores.redis_client import REDIS_ERRORS

FEED_LIMIT = 512
CONFIRM_SECONDS = 2.0
PING_SECONDS = 1.0
UNANSWERED_PINGS = 3
_RECONNECT_SECONDS = 0.2
_IDLE_CHANNEL = "colloquy:idle"
log = structlog.get_logger(__name__)


class Listener(Protocol):
    """Who listens to a channel. Both methods are called by the task that reads the connection, and must not wait."""

    def push(self, data: bytes) -> None:
        """A message."""
        ...

    def mark_gap(self) -> None:
        """Something may have been missed."""
        ...


class LiveFeed:
    """The messages of one channel for one follower."""

    __slots__ = ("_gap", "_messages", "_wakeup")

    def __init__(self) -> None:
        self._messages: deque[bytes] = deque()
        self._wakeup = asyncio.Event()
        self._gap = False

    def push(self, data: bytes) -> None:
        """Called by the listener; never waits."""
        if len(self._messages) >= FEED_LIMIT:
            self.mark_gap()
        else:
            self._messages.append(data)
            self._wakeup.set()

    def mark_gap(self) -> None:
        """Something may have been missed: what is queued is worth nothing without it."""
        self._messages.clear()
        self._gap = True
        self._wakeup.set()

    async def take(self, wait: float) -> list[bytes] | None:
        """Everything that waits, after waiting up to `wait` seconds for something; None: there is a gap."""
        if not self._messages and not self._gap:
            # Not wait_for: on Python 3.11 it can swallow a cancellation that comes together with the wake-up.
            with suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._wakeup.wait()
        self._wakeup.clear()
        if self._gap:
            self._gap = False
            self._messages.clear()
            return None
        messages = list(self._messages)
        self._messages.clear()
        return messages


class _OneConnection(PubSub):
    """Raises when its connection is lost, where redis-py would open another in whichever task comes upon it first.

    The overridden method is private to redis-py: `tests/datastores/test_live.py` shows that it is still called.
    """

    async def _disconnect_raise_connect(self, conn: Connection, error: BaseException) -> None:
        await conn.disconnect()
        raise error


class LiveChannels:
    """The process's one listening connection and who follows what.

    Followers come and go, and are cancelled at any moment; redis-py closes a connection whose sender is cancelled, and
    two tasks that find it closed each open one. So followers only note what they want, and one task sends it.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._listeners: dict[str, set[Listener]] = {}
        self._confirmed: dict[str, asyncio.Future[None]] = {}
        self._changed: set[str] = set()
        """Channels that got their first follower, or lost their last, since they were looked at."""
        self._change = asyncio.Event()
        self._subscribed: set[str] = set()
        """What this connection has been told to listen to."""
        self._task: asyncio.Task[None] | None = None
        self._connections = 0
        self._unanswered = 0
        """Pings since something came."""
        self.connected = False
        """Whether there is a connection that hears what is published now, as far as we know."""

    async def start(self) -> None:
        """Begin to listen; the connection is made, and made again, in the background."""
        self._task = asyncio.create_task(self._listen(), name="live-channels")

    async def aclose(self) -> None:
        """Stop listening. Followers see a gap, then silence."""
        if self._task is not None:
            await end_tasks([self._task])
            self._task = None

    @asynccontextmanager
    async def follow(self, channel: str) -> AsyncGenerator[LiveFeed, None]:
        """A feed that misses nothing published from now on, as long as no gap is reported."""
        feed = LiveFeed()
        self.join(channel, feed)
        try:
            if not await self.confirmed(channel):
                feed.mark_gap()
            yield feed
        finally:
            self.leave(channel, feed)

    def join(self, channel: str, listener: Listener) -> None:
        """Have a listener told of the channel's messages, all of them once `confirmed`."""
        self._listeners.setdefault(channel, set()).add(listener)
        if channel not in self._confirmed:
            self._confirmed[channel] = asyncio.get_running_loop().create_future()
        self._look_at(channel)

    async def confirmed(self, channel: str) -> bool:
        """Wait up to two seconds for Redis to confirm a channel that was joined; whether it did."""
        confirmed = self._confirmed[channel]
        if not confirmed.done():
            try:
                async with asyncio.timeout(CONFIRM_SECONDS):
                    await asyncio.shield(confirmed)
            except TimeoutError:
                return False
        return True

    def leave(self, channel: str, listener: Listener) -> None:
        """The end of `join`."""
        listeners = self._listeners[channel]
        listeners.discard(listener)
        if not listeners:
            del self._listeners[channel]
            if channel not in self._subscribed:
                self._confirmed.pop(channel, None)
            self._look_at(channel)

    def lost(self, channel: str) -> None:
        """What was to be said on this channel could not be: who follows it here must look."""
        for listener in tuple(self._listeners.get(channel, ())):
            listener.mark_gap()

    def _look_at(self, channel: str) -> None:
        self._changed.add(channel)
        self._change.set()

    async def _listen(self) -> None:
        while True:
            try:
                await self._listen_once()
            except REDIS_ERRORS as error:
                log.warning("live channels lost", error=type(error).__name__)
            finally:
                self.connected = False
                self._subscribed.clear()
                # Nobody may trust a confirmation that the lost connection gave.
                loop = asyncio.get_running_loop()
                self._confirmed = {
                    channel: loop.create_future() if known.done() else known
                    for channel, known in self._confirmed.items()
                    if channel in self._listeners
                }
                for listeners in self._listeners.values():
                    for listener in tuple(listeners):
                        listener.mark_gap()
            await asyncio.sleep(_RECONNECT_SECONDS)

    async def _listen_once(self) -> None:
        async with _OneConnection(self._redis.connection_pool) as pubsub:
            # A connection that listens to nothing may not be read from: hold one channel that nobody uses.
            await pubsub.subscribe(_IDLE_CHANNEL)
            self._connections += 1
            self._changed.update(self._listeners)
            work = [
                asyncio.create_task(self._receive(pubsub), name="live-channels-receive"),
                asyncio.create_task(self._send(pubsub), name="live-channels-send"),
            ]
            try:
                ended, _ = await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
            finally:
                await end_tasks(work)
            for task in ended:
                task.result()

    async def _receive(self, pubsub: PubSub) -> None:
        """Deliver until the connection is lost."""
        pushed = PushedMessages(pubsub)
        while True:
            for kind, channel, data in await pushed.read():
                self._deliver(kind, channel.decode(), data)
            # Not before it has said something: for one that hangs the kernel takes connections, and what is sent.
            self.connected = True
            self._unanswered = 0

    async def _send(self, pubsub: PubSub) -> None:
        """Tell Redis what is followed and what no longer is, whenever that changes, and ask whether it is there."""
        loop = asyncio.get_running_loop()
        self._unanswered, next_ping = 0, loop.time() + PING_SECONDS
        while True:
            if loop.time() >= next_ping:
                # Pings are counted, not seconds: a process that was held up must not take that for silence.
                if self._unanswered >= UNANSWERED_PINGS:
                    raise TimeoutError("the listening connection is silent")
                self._unanswered, next_ping = self._unanswered + 1, loop.time() + PING_SECONDS
                await pubsub.ping()
            self._change.clear()
            changed, self._changed = self._changed, set()
            ended = [channel for channel in changed if channel in self._subscribed and channel not in self._listeners]
            if ended:
                self._subscribed.difference_update(ended)
                for channel in ended:
                    self._confirmed.pop(channel, None)
                await pubsub.unsubscribe(*ended)
            # Whoever came while that was sent, to a channel that has just ended, is among them, or looked at next.
            begun = [channel for channel in changed if channel in self._listeners and channel not in self._subscribed]
            if begun:
                self._subscribed.update(begun)
                await pubsub.subscribe(*begun)
            with suppress(TimeoutError):
                async with asyncio.timeout_at(next_ping):
                    await self._change.wait()

    def _deliver(self, kind: bytes, name: str, data: Any) -> None:
        if kind == b"message":
            for listener in tuple(self._listeners.get(name, ())):
                try:
                    listener.push(data)
                except Exception:
                    # The connection has other listeners, who are not to go deaf with this one.
                    log.exception("a listener failed", channel=name)
                    listener.mark_gap()
        elif kind == b"subscribe" and (confirmed := self._confirmed.get(name)):
            # Confirmed again: its channel was left and joined in one moment, and what was published between is lost.
            again = confirmed.done()
            if not again:
                confirmed.set_result(None)
            if again or self._connections > 1:
                # What was published before the new connection listened can only be in the log.
                for listener in tuple(self._listeners.get(name, ())):
                    listener.mark_gap()
