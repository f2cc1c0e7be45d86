"""Filtered search by vectors: each tenant gets its own nearest, all of them, whoever else shares the index.

Pgvector's index knows no tenants, so a filtered query reads it until enough rows have passed the filter. These are the
figures of the design: recall@10 of 1.00 for small tenants, which are searched exactly, and 0.98 for large ones.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import numpy as np
import pytest
import sqlalchemy as sa

from core.settings import Settings
from datastores.passages import CANDIDATES, Candidate, find_candidates
from datastores.postgres import Postgres
from datastores.transactions import ReadTransaction
from vector_corpus import Filled, Space, Vectors, exact_distances, fill

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]  # 80,000 vectors are stored and indexed

MODEL, DIMENSIONS = "recall@128", 128
SMALL, LARGE = [200] * 200, [20_000] * 2
K = 10
ROUNDING = 1e-5
"""Of a distance, in the server's single precision: what is as near as the tenth is as good."""


class _Explained:
    """A transaction that tells what plan a query has, in the place of its rows."""

    def __init__(self, tx: ReadTransaction) -> None:
        self.tenant_id, self._tx, self.plan = tx.tenant_id, tx, ""

    async def records(self, _record: object, statement: sa.TextClause, parameters: dict[str, object]) -> list[object]:
        rows = await self._tx.rows(sa.text("EXPLAIN " + statement.text), parameters)
        self.plan = "\n".join(row[0] for row in rows)
        return []


@pytest.fixture
async def space() -> Space:
    return Space(DIMENSIONS)


@pytest.fixture
async def filled(settings: Settings, space: Space) -> AsyncIterator[list[Filled]]:
    owner = await asyncpg.connect(settings.database_owner_url)
    filled = await fill(owner, space, MODEL, [*SMALL, *LARGE])
    await owner.execute("SET maintenance_work_mem = '256MB'")
    await owner.execute(
        f"CREATE INDEX ix_embeddings_hnsw_recall ON embeddings "
        f"USING hnsw ((vector::halfvec({DIMENSIONS})) halfvec_cosine_ops) WHERE model_id = '{MODEL}'"
    )
    yield filled
    await owner.close()


async def _search(reads: ReadTransaction | _Explained, question: Vectors) -> list[Candidate]:
    return await find_candidates(
        reads,  # type: ignore[arg-type]
        question="",
        vector=question,
        model_id=MODEL,
        max_distance=2.0,
        most=CANDIDATES,
        assigned_to=None,
    )


async def _recall(postgres: Postgres, tenant: Filled, question: Vectors) -> float:
    async with postgres.read(tenant.id) as tx:
        found = await _search(tx, question)
    assert len(found) == CANDIDATES
    ids = [candidate.passage.chunk_id for candidate in found]
    assert len(set(ids)) == CANDIDATES
    distances = exact_distances(tenant.vectors, question)
    tenth = np.partition(distances, K - 1)[K - 1]
    place = {chunk: number for number, chunk in enumerate(tenant.chunk_ids)}
    # A foreign chunk would be a KeyError.
    return sum(bool(distances[place[chunk]] <= tenth + ROUNDING) for chunk in ids[:K]) / K


async def test_small_tenants_are_searched_exactly_and_large_ones_nearly_so_on_the_same_connection(
    single: Postgres, filled: list[Filled], space: Space
) -> None:
    small, large = filled[: len(SMALL)], filled[len(SMALL) :]
    # `single` has one connection: a statement that is prepared for a large tenant serves small ones, too.
    of_small: list[float] = []
    of_large: list[float] = []
    for number, tenant in enumerate(small):
        (question,) = space.questions(tenant.vectors, 1)
        of_small.append(await _recall(single, tenant, question))
        big = large[number % len(large)]
        (question,) = space.questions(big.vectors, 1)
        of_large.append(await _recall(single, big, question))
    assert np.mean(of_small) == 1.0
    assert np.mean(of_large) >= 0.98
    plans = []
    for tenant in (small[7], large[0]):
        async with single.read(tenant.id) as tx:
            explained = _Explained(tx)
            await _search(explained, space.questions(tenant.vectors, 1)[0])
            plans.append("ix_embeddings_hnsw_recall" in explained.plan)
    # The planner's own choice: nothing forces either.
    assert plans == [False, True]
