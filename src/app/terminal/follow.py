"""Holding on to a subscription over broken connections, by the stream's law: nothing lost, nothing twice, in order."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TypeVar

from app.terminal.client import ColloquyClient
from app.terminal.events import Delta, Event, Finished, Progress, Restarted
from app.terminal.failures import ClientFailure, Limited, SignedOut, Transient

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to try. The defaults wait about 0.25, 0.5, 1, 2, 4, 5, 5, 5 s: 23 s in all, enough for a server's
    restart (a later start takes 8). Only failures in a row count: what arrives in between starts the count anew."""

    tries: int = 8
    first_wait: float = 0.25
    longest_wait: float = 5.0

    def wait(self, failures: int) -> float:
        """Seconds before the next try; up to a fifth shorter by chance, so that many clients do not come as one."""
        return min(self.longest_wait, self.first_wait * 2.0 ** (failures - 1)) * random.uniform(0.8, 1.0)  # noqa: S311 - jitter


@dataclass(slots=True)
class _Persistence:
    """Counts failures in a row, waits between them, and gives up with the last one."""

    client: ColloquyClient
    patience: Patience
    on_outage: Callable[[str, int, int], None]
    """Hears of every outage: what happened, which failure in a row this is, how many are borne."""
    failures: int = field(default=0, init=False)
    renewed: bool = field(default=False, init=False)

    def succeeded(self) -> None:
        self.failures, self.renewed = 0, False

    async def recover(self, failure: SignedOut | Transient | Limited) -> None:
        """Come back when it is time to try again. Raises the failure when there is no use."""
        if isinstance(failure, SignedOut):
            if self.renewed:
                raise failure
            self.renewed = True
            try:
                await self.client.sign_in()
            except Transient as unreachable:
                self.renewed = False
                failure = unreachable  # the server went away in between: wait for it below
            else:
                return
        self.failures += 1
        if self.failures > self.patience.tries:
            raise ClientFailure(
                f"{str(failure).rstrip('.')}. Given up after {self.patience.tries} tries in a row."
            ) from failure
        if isinstance(failure, Limited):
            await self.client.wait_for(failure)
            return
        self.on_outage(str(failure), self.failures, self.patience.tries)
        await asyncio.sleep(self.patience.wait(self.failures))


async def persist(
    client: ColloquyClient,
    call: Callable[[], Awaitable[T]],
    *,
    patience: Patience,
    on_outage: Callable[[str, int, int], None],
) -> T:
    """The result of a call that may safely be made twice."""
    persistence = _Persistence(client, patience, on_outage)
    while True:
        try:
            return await call()
        except (SignedOut, Transient) as failure:
            await persistence.recover(failure)


async def follow_document(
    client: ColloquyClient, document_id: str, *, patience: Patience, on_outage: Callable[[str, int, int], None]
) -> AsyncGenerator[Progress, None]:
    """Where a document stands, up to READY, FAILED or CANCELLED, over as many connections as it takes."""
    persistence = _Persistence(client, patience, on_outage)
    latest: Progress | None = None
    while True:
        try:
            async with aclosing(client.document_progress(document_id)) as snapshots:
                async for snapshot in snapshots:
                    if snapshot != latest:  # every connection opens with one; only news is progress
                        persistence.succeeded()
                        latest = snapshot
                    yield snapshot
                    if snapshot.finished:
                        return
            raise Transient("The server ended the progress report before the document was done.")
        except (SignedOut, Transient, Limited) as failure:
            await persistence.recover(failure)


async def follow_answer(
    client: ColloquyClient, answer_id: str, *, patience: Patience, on_outage: Callable[[str, int, int], None]
) -> AsyncGenerator[Event, None]:
    """An answer's events from its beginning to its `Finished`, over as many connections as it takes.

    After a break it resumes behind the last event's cursor. A repeated event is dropped. Where events are missing (or
    a merged delta overlaps what is here, and cannot be cut), the answer is read again from its beginning, once, opened
    by a `Restarted` of our own; whoever prints the text compares it with the stored message at the end.
    """
    persistence = _Persistence(client, patience, on_outage)
    cursor: str | None = None
    sequence = 0
    read_again = False
    while True:
        try:
            hole = False
            async with aclosing(client.answer_events(answer_id, cursor)) as events:
                async for event in events:
                    first = event.first_sequence if isinstance(event, Delta) else event.sequence
                    if not isinstance(event, Restarted):
                        if event.sequence <= sequence:
                            continue
                        hole = first != sequence + 1 and not read_again
                        if hole:
                            break
                    persistence.succeeded()
                    cursor, sequence = event.cursor, event.sequence
                    yield event
                    if isinstance(event, Finished):
                        return
            if not hole:
                raise Transient("The server ended the stream before the answer was done.")
            read_again, cursor, sequence = True, None, 0
            yield Restarted(sequence=0, cursor="", attempt=0, reason="events were missing, reading it again")
        except (SignedOut, Transient, Limited) as failure:
            await persistence.recover(failure)
