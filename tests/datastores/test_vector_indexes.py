"""Each vector space gets its index, once, from the owner alone."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from core.ids import TenantId
from core.settings import Settings
from datastores.postgres import Postgres
from datastores.vector_indexes import is_indexed, make_indexes
from owner import as_owner, until

LOCAL = "all-MiniLM-L6-v2"
INDEXES = """SELECT pg_get_indexdef(indexrelid) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
  WHERE indrelid = 'embeddings'::regclass AND relname LIKE 'ix_embeddings_hnsw_%' AND indisvalid"""

LEFT = "SELECT count(*) FROM pg_index WHERE indrelid = 'embeddings'::regclass AND NOT indisvalid"


async def _count(settings: Settings) -> int:
    return len(await as_owner(settings, INDEXES))


async def test_spaces_in_use_and_spaces_set_up_get_theirs_once(
    settings: Settings, postgres: Postgres, tenant: TenantId
) -> None:
    await as_owner(settings, "UPDATE tenants SET embedding_model_id = 'text-embedding-3-large@3072'")
    shipped = await _count(settings)
    spaces = ["nomic-embed-text:v1.5@768", "gemini-embedding-001@768", LOCAL]
    assert await make_indexes(settings, spaces) == ["nomic-embed-text:v1.5@768", "text-embedding-3-large@3072"]
    assert await make_indexes(settings, spaces) == []
    assert await _count(settings) == shipped + 2
    async with postgres.read(tenant) as reads:
        assert await is_indexed(reads, LOCAL)
        assert await is_indexed(reads, "text-embedding-3-large@3072")
        assert await is_indexed(reads, "nomic-embed-text:v1.5@768")
        assert not await is_indexed(reads, "text-embedding-3-large@1024")


async def test_what_a_killed_run_has_left_is_made_anew(
    settings: Settings, postgres: Postgres, tenant: TenantId
) -> None:
    space = "bge-m3@1024"
    # Who writes holds up the last step, in the middle of which the run is killed.
    writer = await asyncpg.connect(settings.database_owner_url)
    writing = writer.transaction()
    await writing.start()
    await writer.execute("DELETE FROM embeddings")
    run = asyncio.create_task(make_indexes(settings, [space]))

    async def waits() -> bool:
        return bool(await as_owner(settings, "SELECT 1 FROM pg_locks WHERE NOT granted AND locktype = 'virtualxid'"))

    await until(waits)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    await writing.rollback()
    await writer.close()
    assert await as_owner(settings, LEFT) == [(1,)]
    async with postgres.read(tenant) as reads:
        assert not await is_indexed(reads, space)
    before = await _count(settings)
    assert await make_indexes(settings, []) == []
    assert await make_indexes(settings, [space]) == [space]
    assert await _count(settings) == before + 1
    assert await as_owner(settings, LEFT) == [(0,)]
    async with postgres.read(tenant) as reads:
        assert await is_indexed(reads, space)


@pytest.mark.parametrize("space", ["huge@4001", "none@0", "no-dimensions", "x' OR true --@3", LOCAL])
async def test_what_cannot_be_indexed_is_passed_over(settings: Settings, tenant: TenantId, space: str) -> None:
    assert await make_indexes(settings, [space]) == []


async def test_two_runs_at_once_make_one(settings: Settings) -> None:
    both = await asyncio.gather(make_indexes(settings, ["one@8"]), make_indexes(settings, ["one@8"]))
    assert sorted(both) == [[], ["one@8"]]
