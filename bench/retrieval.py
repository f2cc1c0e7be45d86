"""What finding passages costs beside its SQL. Run from the repository's root:

    python bench/retrieval.py                                    1,000 organisations of 200 chunks, 3 of 50,000
    python bench/retrieval.py --small 100 --large 1 --large-chunks 20000 --questions 100

It starts a PostgreSQL of its own, fills it by COPY from a fixed seed, makes the index as `colloquy migrate` does, and
asks the same questions of, in turns:

    product   `datastores.passages.find_candidates`, through the product's doors
    raw       the same statement through asyncpg, prepared, in a transaction of its own
    vectors   the vector half alone, through asyncpg
    words     the lexical half alone, through asyncpg

The question's embedding is not in it. Goals: product at most 1.1 of raw; raw at most 1.1 of the slower half.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import asyncpg
import numpy as np
from sqlalchemy.dialects.postgresql import asyncpg as dialect

sys.path.insert(0, str(Path(__file__).parent.parent / "src"))
sys.path.insert(1, str(Path(__file__).parent.parent / "tests"))

from app.embedded.postgres import EmbeddedPostgres
from app.embedded.processes import at_once
from core.settings import Settings
from datastores.lexical import searchable_text
from datastores.migrate import migrate
from datastores.passages import CANDIDATES, find_candidates, passages_statement
from datastores.postgres import Postgres
from datastores.vector_indexes import make_indexes
from datastores.vectors import vector_text
from vector_corpus import Filled, Space, Vectors, fill

_OPEN = (
    "BEGIN READ ONLY; SELECT set_config('colloquy.tenant_id', '{}', true), "
    "set_config('hnsw.iterative_scan', 'strict_order', true), set_config('hnsw.ef_search', '100', true)"
)
_VECTORS = """SELECT e.chunk_id, e.vector::halfvec({d}) <=> $1::text::halfvec({d}) AS distance FROM embeddings e
  JOIN chunks c ON c.tenant_id = e.tenant_id AND c.id = e.chunk_id
  JOIN documents d ON d.tenant_id = $2 AND d.status = 'READY' AND d.id = c.document_id
  WHERE e.tenant_id = $2 AND e.model_id = '{model}' ORDER BY distance LIMIT 40"""
_WORDS = "SELECT * FROM search_chunks(lexical_query($1), NULL, 40)"
_SPARE = 20


def texts_of(seed: int, count: int) -> tuple[list[str], list[str]]:
    """Passages of some 500 characters, and questions, of words that are as common as in a language."""
    random = np.random.default_rng(seed)
    words = ["".join(random.choice(list("abcdefghiklmnoprstuvw"), size=size)) for size in random.integers(3, 10, 8_000)]
    weights = 1.0 / np.arange(1, len(words) + 1)
    weights /= weights.sum()

    def some(size: int) -> str:
        return " ".join(words[n] for n in random.choice(len(words), size=size, p=weights))

    return [some(75) for _ in range(count)], [some(8) for _ in range(count)]


class Bench:
    def __init__(self, settings: Settings, raw: asyncpg.Connection, model: str, space: Space) -> None:
        self.postgres = Postgres(settings)
        self.raw = raw
        compiled = passages_statement(space.dimensions, model).compile(dialect=dialect.dialect())
        self.statement, self.names = compiled.string, list(compiled.positiontup or ())
        self.vectors = _VECTORS.format(d=space.dimensions, model=model)
        self.model = model

    async def product(self, tenant: Filled, question: str, vector: Vectors) -> None:
        async with self.postgres.read(tenant.id) as tx:
            found = await find_candidates(
                tx,
                question=question,
                vector=vector,
                model_id=self.model,
                max_distance=2.0,
                most=_SPARE,
                assigned_to=None,
            )
        assert len(found) == _SPARE

    async def whole(self, tenant: Filled, question: str, vector: Vectors) -> None:
        values = {
            "tenant_id": tenant.id,
            "assistant_id": None,
            "within_scopes": False,
            "vector": vector_text(vector),
            "words": searchable_text(question),
            "candidates": CANDIDATES,
            "max_distance": 2.0,
            "most": _SPARE,
        }
        assert len(await self._fetch(tenant, self.statement, *(values[name] for name in self.names))) == _SPARE

    async def nearest(self, tenant: Filled, question: str, vector: Vectors) -> None:
        await self._fetch(tenant, self.vectors, vector_text(vector), tenant.id)

    async def words(self, tenant: Filled, question: str, vector: Vectors) -> None:
        await self._fetch(tenant, _WORDS, searchable_text(question))

    async def _fetch(self, tenant: Filled, statement: str, *values: object) -> list[asyncpg.Record]:
        await self.raw.execute(_OPEN.format(tenant.id))
        rows: list[asyncpg.Record] = await self.raw.fetch(statement, *values)
        await self.raw.execute("COMMIT")
        return rows


Way = Callable[[Filled, str, Vectors], Awaitable[None]]


async def measured(
    ways: dict[str, Way], tenants: list[Filled], space: Space, questions: list[str], count: int
) -> dict[str, np.ndarray]:
    """Milliseconds of each way, the same questions in the same order, and each way first as often as the others."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    names = list(ways)
    for number in range(-len(names), count):  # the first ones warm up
        tenant = tenants[number % len(tenants)]
        (vector,) = space.questions(tenant.vectors, 1)
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            began = time.perf_counter()
            await ways[name](tenant, questions[number % len(questions)], vector)
            if number >= 0:
                times[name].append(1_000 * (time.perf_counter() - began))
    return {name: np.array(values) for name, values in times.items()}


def report(title: str, times: dict[str, np.ndarray]) -> None:
    at = {p: {name: float(np.percentile(values, p)) for name, values in times.items()} for p in (10, 50, 99)}
    print(f"\n{title}: {len(times['product'])} questions\n{'ms':10}{'p10':>10}{'p50':>10}{'p99':>10}")
    for name in times:
        print(f"{name:10}" + "".join(f"{at[p][name]:10.2f}" for p in at))
    slower = max(("vectors", "words"), key=lambda name: at[50][name])
    # On a busy machine the tenth percentile is what was least disturbed.
    for label, part, whole in (("product to raw", "product", "raw"), (f"raw to {slower} alone", "raw", slower)):
        print(f"{label:24}" + "  ".join(f"p{p} {at[p][part] / at[p][whole]:.2f}" for p in at) + "  (goal 1.1)")
    both = "  ".join(f"p{p} {at[p]['raw'] / (at[p]['vectors'] + at[p]['words']):.2f}" for p in at)
    print(f"{'raw to both in turn':24}{both}")


async def run(arguments: argparse.Namespace, folder: Path, server: EmbeddedPostgres) -> None:
    settings = Settings(
        database_owner_url=server.owner_url,
        database_url=server.app_url,
        database_platform_url=server.platform_url,
        data_dir=folder,
    )
    await migrate(settings)
    space, model = Space(arguments.dimensions, arguments.seed), f"bench@{arguments.dimensions}"
    passages, questions = texts_of(arguments.seed, 2_000)
    owner = await asyncpg.connect(server.owner_url)
    sizes = [arguments.small_chunks] * arguments.small + [arguments.large_chunks] * arguments.large
    began = time.perf_counter()
    tenants = await fill(owner, space, model, sizes, passages)
    filled = time.perf_counter()
    await owner.execute("ALTER ROLE CURRENT_USER SET maintenance_work_mem = '512MB'")
    await owner.close()
    await make_indexes(settings, [model])
    indexed = time.perf_counter()
    print(f"{sum(sizes)} chunks of {arguments.dimensions} numbers: {filled - began:.0f} s to fill, ", end="")
    print(f"{indexed - filled:.0f} s to index; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    raw = await asyncpg.connect(server.app_url)
    bench = Bench(settings, raw, model, space)
    ways: dict[str, Way] = {
        "product": bench.product,
        "raw": bench.whole,
        "vectors": bench.nearest,
        "words": bench.words,
    }
    for title, some in (("small", tenants[: arguments.small]), ("large", tenants[arguments.small :])):
        if some:
            report(title, await measured(ways, some, space, questions, arguments.questions))
    print(f"load {os.getloadavg()[0]:.1f}")
    await bench.postgres.aclose()
    await raw.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", type=int, default=1_000, help="organisations")
    parser.add_argument("--small-chunks", type=int, default=200)
    parser.add_argument("--large", type=int, default=3, help="organisations")
    parser.add_argument("--large-chunks", type=int, default=50_000)
    parser.add_argument("--dimensions", type=int, default=384)
    parser.add_argument("--questions", type=int, default=300, help="of each kind of organisation")
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="colloquy-bench-") as name:
        server = EmbeddedPostgres(Path(name), scratch=True)
        server.start()
        try:
            asyncio.run(run(arguments, Path(name), server))
        finally:
            server.stop(at_once)


if __name__ == "__main__":
    main()
