"""The way of a tenant's documents into another vector space: what is missing there, and the moment of the switch.

The old vectors serve until `tenants.embedding_model_id` names the new space, in one transaction, when every chunk that
can be searched has a vector there. Documents that are read meanwhile are found by that transaction if they are READY
before it, and find out about it themselves if they are not (`datastores.ingestion.make_ready`). Every statement of a
worker is fenced by the row's epoch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa

from core.errors import FailureError
from core.ids import TenantId, new_id
from datastores.ingestion import STALE_AFTER
from datastores.knowledge import existing_chunks
from datastores.models import Chunk, Document, DocumentStatus, Embedding, Reembedding, ReembeddingStatus, Tenant
from datastores.records import ReembeddingRecord, select_record, table
from datastores.tenants import suspended
from datastores.transactions import PlatformTransaction, Reads, WriteTransaction
from datastores.vectors import StoredChunk, add_embeddings, has_vector

_rows, _tenants, _embeddings = table(Reembedding), table(Tenant), table(Embedding)
_chunks, _documents = table(Chunk), table(Document)
LEFTOVERS_AFTER = timedelta(minutes=10)
"""How long vectors of the space before stay: an answer that was begun before the switch may search them yet."""
_LONG_AGO = sa.func.now() - 2 * STALE_AFTER
_REASON = ("failure_code", "failure_message", "failure_retryable")
_WORK = sa.or_(_rows.c.status == ReembeddingStatus.RUNNING, _rows.c.leftovers)


class ReembeddingTakenError(Exception):
    """Another worker has it, or a person has asked for another one: stop."""


@dataclass(slots=True)
class ClaimedReembedding:
    """What a worker has to know. One that is not RUNNING has leftovers to be removed."""

    epoch: int
    model_id: str
    status: ReembeddingStatus
    failures: int
    searched: str
    """The space that is searched."""


async def current(reads: Reads) -> ReembeddingRecord | None:
    """The tenant's last one."""
    return await reads.first(
        ReembeddingRecord, select_record(ReembeddingRecord).where(_rows.c.tenant_id == reads.tenant_id)
    )


async def ask(tx: WriteTransaction, model_id: str) -> tuple[UUID, int] | None:
    """Have the documents led into that space: the id and the epoch to wake a worker for; None: they are there.

    One that leads elsewhere ends. Where it has led so far is tidied up, when there is nothing better to do.
    """
    searched = await _held(tx)
    found = await tx.rows(sa.select(_rows.c.id, _rows.c.status, _rows.c.model_id, _rows.c.epoch).where(_of(tx)))
    row = found[0] if found else None
    running = row is not None and row.status is ReembeddingStatus.RUNNING
    if row is not None and running and row.model_id == model_id:
        return row.id, row.epoch
    if model_id == searched and not running:
        return None
    values: dict[str, Any] = {
        "model_id": model_id,
        "heartbeat_at": _LONG_AGO,
        "failures": 0,
        **dict.fromkeys(_REASON),
    }
    if row is None:
        made = new_id()
        first = {"tenant_id": tx.tenant_id, "id": made, "epoch": 0, **_BEGUN}
        await tx.execute(sa.insert(_rows).values(first | values))
        return made, 0
    if model_id == searched:
        # What was asked for last is what there is: the one that runs is called off, and says where it led.
        del values["model_id"]
        values |= {"status": ReembeddingStatus.CANCELLED, "finished_at": sa.func.now(), "leftovers": True}
    else:
        values |= {**_BEGUN, "leftovers": True, "created_at": sa.func.now(), "finished_at": None}
    await tx.execute(sa.update(_rows).where(_of(tx)).values(epoch=_rows.c.epoch + 1, **values))
    return row.id, row.epoch + 1


_BEGUN = {"status": ReembeddingStatus.RUNNING, "leftovers": False, "chunks_done": 0, "chunks_total": 0}


async def claim(tx: WriteTransaction, reembedding_id: UUID) -> ClaimedReembedding | None:
    """Take it over as its next epoch; None: nothing to do, or in good hands, or the tenant is suspended."""
    statement = (
        sa.update(_rows)
        .where(
            _of(tx),
            _rows.c.id == reembedding_id,
            _WORK,
            _rows.c.heartbeat_at < sa.func.now() - STALE_AFTER,
            ~suspended(_rows.c.tenant_id),
        )
        .values(epoch=_rows.c.epoch + 1, heartbeat_at=sa.func.clock_timestamp())
        .returning(_rows.c.epoch, _rows.c.model_id, _rows.c.status, _rows.c.failures, _searched(tx))
    )
    return await tx.first(ClaimedReembedding, statement)


async def record(tx: WriteTransaction, epoch: int, **values: Any) -> None:
    """Set columns of one that is still ours, and its sign of life. Raises `ReembeddingTakenError`."""
    statement = sa.update(_rows).where(_of(tx), _rows.c.epoch == epoch, _WORK)
    if not await tx.execute(statement.values({"heartbeat_at": sa.func.clock_timestamp(), **values})):
        raise ReembeddingTakenError


async def release(tx: WriteTransaction, epoch: int) -> None:
    """Let any worker go on at once. May raise as above."""
    await record(tx, epoch, heartbeat_at=_LONG_AGO)


async def pause(tx: WriteTransaction, epoch: int, failures: int, error: FailureError, after: timedelta) -> None:
    """Say why it pauses, and let any worker go on when `after` has passed. May raise as above."""
    stale_then = sa.func.now() + after - STALE_AFTER
    await record(tx, epoch, failures=failures, **_reason(error), heartbeat_at=stale_then)


async def fail(tx: WriteTransaction, epoch: int, error: FailureError) -> None:
    """End it as FAILED. What has been embedded stays, for when it is asked for again. May raise as above."""
    await record(tx, epoch, status=ReembeddingStatus.FAILED, finished_at=sa.func.now(), **_reason(error))


async def count(tx: WriteTransaction, epoch: int, model_id: str) -> None:
    """Count anew how many chunks there are to embed, and how many have been. May raise as above."""
    embedded = sa.select(sa.func.count()).where(
        _embeddings.c.tenant_id == tx.tenant_id, _embeddings.c.model_id == model_id
    )
    every = sa.select(sa.func.count()).select_from(_searchable()).where(_chunks.c.tenant_id == tx.tenant_id)
    await record(tx, epoch, chunks_done=embedded.scalar_subquery(), chunks_total=every.scalar_subquery())


async def missing_chunks(reads: Reads, model_id: str, after: UUID | None, limit: int) -> list[StoredChunk]:
    """The next chunks behind `after` of documents that are READY, without a vector in that space, by their ids."""
    statement = _missing(reads, model_id).order_by(_chunks.c.id).limit(limit)
    return await reads.records(StoredChunk, statement if after is None else statement.where(_chunks.c.id > after))


async def add_vectors(
    tx: WriteTransaction, epoch: int, model_id: str, chunk_ids: Sequence[UUID], vectors: npt.NDArray[np.float32]
) -> None:
    """Store unit vectors, shape (len(chunk_ids), dimensions), of those chunks that still exist. May raise as above."""
    alive = await existing_chunks(tx, chunk_ids)
    places = [place for place, chunk_id in enumerate(chunk_ids) if chunk_id in alive]
    done = _rows.c.chunks_done + len(places)
    await record(tx, epoch, chunks_done=done, failures=0, **dict.fromkeys(_REASON))
    await add_embeddings(tx, model_id, [chunk_ids[place] for place in places], vectors[places])


async def switch(tx: WriteTransaction, epoch: int, model_id: str) -> bool:
    """Have the new space searched from now on, if nothing is missing there; else nothing is changed, and False.

    Documents become READY before this, and are looked at here, or behind it, and know of it. May raise as above.
    """
    await _held(tx)
    if await tx.rows(_missing(tx, model_id).limit(1)):
        return False
    await record(
        tx,
        epoch,
        status=ReembeddingStatus.COMPLETED,
        finished_at=sa.func.now(),
        leftovers=True,
        chunks_total=_rows.c.chunks_done,
        heartbeat_at=sa.func.now() + LEFTOVERS_AFTER,
    )
    await tx.execute(sa.update(_tenants).where(_tenants.c.id == tx.tenant_id).values(embedding_model_id=model_id))
    return True


async def remove_leftovers(tx: WriteTransaction, epoch: int, keep: Sequence[str], limit: int) -> bool:
    """Remove up to `limit` vectors of other spaces; whether none are left. May raise as above."""
    some = (
        sa.select(_embeddings.c.id)
        .where(_embeddings.c.tenant_id == tx.tenant_id, _embeddings.c.model_id.not_in(keep))
        .limit(limit)
    )
    removed = await tx.execute(
        sa.delete(_embeddings).where(_embeddings.c.tenant_id == tx.tenant_id, _embeddings.c.id.in_(some))
    )
    none_left = removed < limit
    await record(tx, epoch, leftovers=not none_left)
    return none_left


async def unfinished(tx: PlatformTransaction, limit: int) -> list[tuple[TenantId, UUID, int]]:
    """Tenant, id and epoch of those that nobody works at, of every tenant that is not suspended."""
    statement = (
        sa.select(_rows.c.tenant_id, _rows.c.id, _rows.c.epoch)
        .where(_WORK, _rows.c.heartbeat_at < sa.func.now() - STALE_AFTER, ~suspended(_rows.c.tenant_id))
        .order_by(_rows.c.heartbeat_at)
        .limit(limit)
    )
    return [(TenantId(row[0]), row[1], row[2]) for row in await tx.rows(statement)]


def _of(reads: Reads) -> sa.ColumnElement[bool]:
    return _rows.c.tenant_id == reads.tenant_id


def _searched(reads: Reads) -> sa.ColumnElement[Any]:
    return sa.select(_tenants.c.embedding_model_id).where(_tenants.c.id == reads.tenant_id).scalar_subquery()


async def _held(tx: WriteTransaction) -> str:
    """The space that is searched, which nobody changes until this transaction ends, nor makes a document READY."""
    statement = sa.select(_tenants.c.embedding_model_id).where(_tenants.c.id == tx.tenant_id)
    return str(await tx.scalar(statement.with_for_update(key_share=True)))


def _searchable() -> sa.FromClause:
    return _chunks.join(
        _documents,
        (_documents.c.tenant_id == _chunks.c.tenant_id)
        & (_documents.c.id == _chunks.c.document_id)
        & (_documents.c.status == DocumentStatus.READY),
    )


def _missing(reads: Reads, model_id: str) -> sa.Select[Any]:
    return (
        sa.select(_chunks.c.id, _chunks.c.ordinal, _chunks.c.text)
        .select_from(_searchable())
        .where(_chunks.c.tenant_id == reads.tenant_id, ~has_vector(model_id))
    )


def _reason(error: FailureError) -> dict[str, Any]:
    return dict(zip(_REASON, (error.code, error.message, error.retryable), strict=True))
