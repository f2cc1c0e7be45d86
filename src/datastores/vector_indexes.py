"""The HNSW index of each vector space: partial, on the one column of all spaces, made by the owner of the tables.

The application's role may not make one. `colloquy migrate` does, for the spaces that are in use or set up: at the end,
without locking anybody out (CONCURRENTLY). A space without one is searched exactly, tenant by tenant, which is slower
and never wrong.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Iterable

import sqlalchemy as sa
import structlog
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from core.settings import Settings
from datastores.postgres_url import connect_arguments, engine_url, owner_url
from datastores.transactions import Reads

MOST_DIMENSIONS = 4_000
"""That pgvector indexes of halfvec."""
_LOCK = 0x76656374
"""Any fixed number: whoever makes indexes waits for whoever does so already."""
_AGAIN_SECONDS = 0.2
_SPACE = re.compile(r"[A-Za-z0-9._:/-]{1,90}@(\d{1,5})")
_INDEXES = """
SELECT c.relname, i.indisvalid, pg_get_expr(i.indpred, i.indrelid) AS predicate
FROM pg_index i
JOIN pg_class c ON c.oid = i.indexrelid
JOIN pg_am a ON a.oid = c.relam
WHERE i.indrelid = CAST('embeddings' AS regclass) AND a.amname = 'hnsw'
"""
_IN_USE = """
SELECT embedding_model_id FROM tenants UNION SELECT model_id FROM reembeddings WHERE status = 'RUNNING'
"""
_TAKE = sa.text("SELECT pg_try_advisory_lock(:lock)")
log = structlog.get_logger(__name__)


async def is_indexed(reads: Reads, model_id: str) -> bool:
    """Whether that space has an index that may be used."""
    return any(row.indisvalid and _is_of(row.predicate, model_id) for row in await reads.rows(sa.text(_INDEXES)))


async def make_indexes(settings: Settings, spaces: Iterable[str]) -> list[str]:
    """Make what is missing for these spaces and for all that are in use; the spaces that got one.

    One that a killed run has left unfinished is made anew. Takes minutes for a million vectors, and more memory than
    `maintenance_work_mem` has makes it faster.
    """
    owner = owner_url(settings)
    engine = create_async_engine(
        engine_url(owner), connect_args=connect_arguments(settings, owner), isolation_level="AUTOCOMMIT"
    )
    try:
        async with engine.connect() as connection:
            # A lock of the session, because CONCURRENTLY cannot run in a transaction; it ends with the connection.
            # Asked for again and again, because CONCURRENTLY waits for all statements that began before it, and so for
            # one that waits for this lock.
            while not await connection.scalar(_TAKE, {"lock": _LOCK}):  # noqa: ASYNC110 - of another process
                await asyncio.sleep(_AGAIN_SECONDS)
            in_use = {row[0] for row in await connection.execute(sa.text(_IN_USE))}
            made = [space for space in sorted(in_use | set(spaces)) if await _make(connection, space)]
    finally:
        await engine.dispose()
    return made


async def _make(connection: AsyncConnection, space: str) -> bool:
    parsed = _SPACE.fullmatch(space)
    if parsed is None or not 1 <= int(parsed[1]) <= MOST_DIMENSIONS:
        # The local model's comes with the migrations; more dimensions than these cannot be indexed.
        return False
    found = [row for row in await connection.execute(sa.text(_INDEXES)) if _is_of(row.predicate, space)]
    if any(row.indisvalid for row in found):
        return False
    for row in found:
        # Nobody else makes one now, so it is what a killed run has left.
        await connection.execute(sa.text(f'DROP INDEX CONCURRENTLY IF EXISTS "{row.relname}"'))
    log.info("vector index begun", space=space)
    digest = hashlib.sha256(space.encode()).hexdigest()[:12]
    escaped = space.replace(":", r"\:")
    await connection.execute(
        sa.text(
            f"CREATE INDEX CONCURRENTLY ix_embeddings_hnsw_{digest} ON embeddings "
            f"USING hnsw ((CAST(vector AS halfvec({int(parsed[1])}))) halfvec_cosine_ops) WHERE model_id = '{escaped}'"
        )
    )
    return True


def _is_of(predicate: str | None, space: str) -> bool:
    """Whether the index's condition names this space: `((model_id)::text = 'name'::text)`, as PostgreSQL writes it."""
    return predicate is not None and f"'{space}'" in predicate
