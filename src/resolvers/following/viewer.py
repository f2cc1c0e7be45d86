"""One viewer's way through an answer.

The rule that keeps the stream whole: listen first, then read what lies behind, then pass on what is live and next. Of
whatever does not fit together (a hole, another generation, a gap, silence) no more is believed than the place after
the last event that fits, and what follows is read from there.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final
from uuid import UUID

from core.ids import TenantId
from datastores.answer_events import LogEvent, merge_deltas
from resolvers.following.outlet import Encoder, Outlet
from resolvers.following.past import Place
from resolvers.following.topic import AnswerTopic, AnswerTopics

PENDING_BYTES: Final = 32 * 1024
"""Of live events that wait for a viewer. Of more only the place is kept: they are read again, from the log. With what
may have been read before, and Python's four bytes for each character of some texts, a viewer has 256 KiB at most."""
EVENT_BYTES: Final = 256
"""What an event takes in memory besides its text."""
MERGE_FROM: Final = 32
"""Waiting events from which deltas are merged for a viewer without an outlet: it is behind."""


class AnswerViewer:
    """An async iterator of an answer's events after a place, which ends with the terminal one.

    With an outlet, events that it can be sent as they are rendered go there and are not iterated. Either way they go in
    order: while the consumer has an event in hand, and as long as earlier ones wait, later ones wait, too.
    """

    __slots__ = (
        "_encoder",
        "_ended",
        "_generation",
        "_held",
        "_in_hand",
        "_in_step",
        "_joined",
        "_key",
        "_outlet",
        "_pending",
        "_pending_bytes",
        "_sequence",
        "_topic",
        "_topics",
        "_waiter",
    )

    def __init__(self, topics: AnswerTopics, tenant_id: TenantId, answer_id: UUID, place: Place) -> None:
        self._topics, self._key = topics, (tenant_id, answer_id)
        self._generation, self._sequence = place
        """Of the last event that was passed on."""
        self._outlet: Outlet | None = None
        self._encoder: Encoder | None = None
        self._topic: AnswerTopic | None = None
        self._joined = 0
        self._pending: deque[LogEvent] = deque()
        """Events that follow that one, without a hole."""
        self._pending_bytes = 0
        self._in_step = False
        """Whether what is heard next follows what waits; else it must be read."""
        self._held: list[LogEvent] | None = None
        """What is heard while the past is read; None: it is not read, or something was missed meanwhile."""
        self._in_hand = False
        """Whether the consumer is at work on an event."""
        self._ended = False
        self._waiter: asyncio.Future[None] | None = None

    def send_through(self, outlet: Outlet, encoder: Encoder) -> None:
        """Before the first event: give the outlet whatever the encoder can make of events."""
        self._outlet, self._encoder = outlet, encoder

    def __aiter__(self) -> AnswerViewer:
        return self

    async def __anext__(self) -> LogEvent:
        """The next event that the outlet does not get."""
        self._in_hand = False
        try:
            while not self._ended:
                if self._pass_on():
                    self._in_hand = True
                    return self._take()
                if self._ended:
                    break  # the last event went to the outlet
                if self._in_step or self._pending:
                    await self._sleep()
                elif self._outlet is not None and not self._outlet.writable:
                    # Nothing is read for a socket that takes nothing.
                    self._outlet.when_drained(self)
                    await self._sleep()
                else:
                    await self._catch_up()
        except BaseException:
            self._leave()
            raise
        self._leave()
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Stop following."""
        self._ended = True
        self._leave()

    @property
    def standing(self) -> Place | None:
        """Where it waits for what is live."""
        return Place(self._generation, self._sequence) if self._in_step and not self._pending else None

    def hear(self, event: LogEvent, encoded: bytes | None) -> None:
        """Pass on at once what is next, or keep it where that is not possible."""
        if not self._in_step:
            if self._held is not None:
                self._hold(event)
            return
        generation, sequence = self._last() if self._pending else (self._generation, self._sequence)
        if event.generation != generation or event.sequence != sequence + 1:
            if event.generation != generation or event.sequence > sequence:
                self.look()
            return
        outlet = self._outlet
        if encoded is None or outlet is None or self._pending or self._in_hand or not outlet.write(encoded):
            self._keep(event)
            return
        self._sequence = event.sequence
        if event.terminal:
            self._ended = True
            self._wake()

    def look(self) -> None:
        """Read what comes next: something may have been missed."""
        self._held = None
        if self._in_step:
            self._in_step = False
            self._wake()

    def drained(self) -> None:
        """The outlet takes events again. The consumer is needed only for what must be executed, or read."""
        if self._in_hand:
            return  # and it comes back for the rest
        self._merge()
        if self._pass_on() or self._ended or not self._in_step:
            self._wake()

    def _pass_on(self) -> bool:
        """Write what waits as long as the outlet takes it; whether the next event is the consumer's."""
        outlet, encoder = self._outlet, self._encoder
        if outlet is None or encoder is None:
            if len(self._pending) >= MERGE_FROM:
                self._merge()
            return bool(self._pending)
        while self._pending:
            if not outlet.writable:
                self._merge()
                outlet.when_drained(self)
                return False
            encoded = encoder(self._key[1], self._pending[0])
            if encoded is None:
                return True
            outlet.write(encoded)
            self._take()
        return False

    async def _catch_up(self) -> None:
        """Read on from the place, and find out whether what was heard meanwhile follows."""
        topic = self._topic
        if topic is None:
            topic = self._topic = self._topics.topic(*self._key)
            topic.join(self, self._encoder)
            self._joined = topic.heard
            await topic.listening()
        self._held = []
        page = await topic.after(Place(self._generation, self._sequence), self._joined)
        held, self._held, self._pending_bytes = self._held, None, 0
        for event in page.events:
            self._append(event)
        if page.more or held is None:
            return
        for event in held:
            generation, sequence = self._last()
            if event.generation == generation and event.sequence <= sequence:
                continue
            if event.generation != generation or event.sequence != sequence + 1:
                return
            self._append(event)
        self._in_step = True

    def _last(self) -> tuple[str | None, int]:
        """What the next event must follow."""
        if not self._pending:
            return self._generation, self._sequence
        last = self._pending[-1]
        return last.generation, last.sequence

    def _append(self, event: LogEvent) -> None:
        self._pending.append(event)
        self._pending_bytes += event.size + EVENT_BYTES

    def _keep(self, event: LogEvent) -> None:
        """Have an event wait, for the outlet or for the consumer."""
        self._append(event)
        if self._pending_bytes > PENDING_BYTES and len(self._pending) > 1:
            self._pending.clear()
            self._pending_bytes = 0
            self._in_step = False
        if self._in_hand:
            return
        if self._outlet is not None and not self._outlet.writable:
            self._outlet.when_drained(self)
        else:
            self._wake()

    def _hold(self, event: LogEvent) -> None:
        """Keep what is heard until it is known where the past ends. Nothing waits meanwhile, so its count is free."""
        assert self._held is not None
        self._held.append(event)
        self._pending_bytes += event.size + EVENT_BYTES
        if self._pending_bytes > PENDING_BYTES:
            self._held, self._pending_bytes = None, 0

    def _merge(self) -> None:
        merged = merge_deltas(self._pending)
        self._pending.clear()
        self._pending_bytes = 0
        for event in merged:
            self._append(event)

    def _take(self) -> LogEvent:
        event = self._pending.popleft()
        self._pending_bytes -= event.size + EVENT_BYTES
        self._passed(event)
        return event

    def _passed(self, event: LogEvent) -> None:
        self._generation, self._sequence = event.generation, event.sequence
        if event.terminal:
            self._ended = True

    async def _sleep(self) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _leave(self) -> None:
        if self._topic is not None:
            self._topic.leave(self, self._encoder)
            self._topic = None
        if self._outlet is not None:
            self._outlet.forget(self)
        self._pending.clear()
