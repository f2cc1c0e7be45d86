"""Which documents a worker has in hand, so that a tenant with many, or with a large one, holds nobody else up.

A wake-up names a document, and stands for any: whoever is woken takes the document whose turn it is, and the next one,
for as long as there is a place for one. So the queue is empty but for the moment in which a worker looks, and how many
documents a tenant has uploaded before says nothing about when another's is read.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

from core.ids import TenantId
from datastores.document_turns import Turn, next_turn
from datastores.outages import when_back
from datastores.postgres import Purpose
from jobs.ingest_document import ingest
from jobs.services import JobServices

PLACES: Final = 4
"""Documents at once in a process. Each may have a parser's process of its own."""
TENANT_PLACES: Final = 2
"""Of them for one tenant: as one is embedded the next is read, which is what two cores can do at once."""
SLICE_SECONDS = 10.0
"""After which a document whose text is stored makes room, where all places are taken and a tenant has none."""
STINT_SECONDS = 600.0
"""After which a job has another one go on in its place: arq bounds a job, and means one document by it."""
AFTER_FAULT_SECONDS = 1.0
REMEMBERED: Final = 500
"""Tenants whose last turn a process knows of: far more than wait at once where there is a worker to spare."""


class Places:
    """The documents in hand of one process."""

    def __init__(self, places: int = PLACES, of_tenant: int = TENANT_PLACES) -> None:
        self._places, self._of_tenant = places, of_tenant
        self._taken: Counter[TenantId] = Counter()
        self._served: dict[TenantId, None] = {}

    @property
    def all_taken(self) -> bool:
        return self._taken.total() >= self._places

    @property
    def holders(self) -> list[TenantId]:
        """Tenants with a place."""
        return list(self._taken)

    @property
    def barred(self) -> list[TenantId]:
        """Tenants that get no other place."""
        return [tenant for tenant, count in self._taken.items() if count >= self._of_tenant]

    @property
    def served(self) -> list[TenantId]:
        """Tenants that had a turn, the last of them last."""
        return list(self._served)

    @contextmanager
    def taken(self, tenant_id: TenantId) -> Iterator[None]:
        """A place of the tenant's for as long as the block lasts."""
        self._taken[tenant_id] += 1
        self._served.pop(tenant_id, None)
        self._served[tenant_id] = None
        if len(self._served) > REMEMBERED:
            del self._served[next(iter(self._served))]
        try:
            yield
        finally:
            self._taken[tenant_id] -= 1
            self._taken += Counter()  # those without a place are no longer in it


async def ingest_in_turn(ctx: dict[str, Any], *_named: str) -> None:
    """The arq job: read documents, one after the other, until none may be taken. Raises what reading one raises."""
    services: JobServices = ctx["services"]
    places: Places = ctx["places"]
    until = time.monotonic() + STINT_SECONDS
    while not places.all_taken:
        turn = await when_back(partial(_next_turn, services, places.barred, places.served))
        # Whoever was woken beside this one has looked at the same time, and may have begun meanwhile.
        if places.all_taken or (turn is not None and turn.tenant_id in places.barred):
            continue
        if turn is None:
            return
        with places.taken(turn.tenant_id):
            gives_way = partial(_somebody_waits, services, places, time.monotonic() + SLICE_SECONDS)
            try:
                await ingest(services, turn.tenant_id, turn.document_id, gives_way)
            except Exception:
                # A fault of ours with this one is none of the others'; but the next one may have it again.
                await services.queue.next_document(in_seconds=AFTER_FAULT_SECONDS)
                raise
        if time.monotonic() >= until:
            await services.queue.next_document()
            return


async def _next_turn(services: JobServices, without: list[TenantId], served: Sequence[TenantId] = ()) -> Turn | None:
    async with services.postgres.platform(Purpose.SWEEP) as tx:
        return await next_turn(tx, without, served)


async def _somebody_waits(services: JobServices, places: Places, since: float) -> bool:
    """Whether a document that has had its place until then (on the monotonic clock) is to give it up."""
    if time.monotonic() < since or not places.all_taken:
        return False
    return await _next_turn(services, places.holders) is not None
