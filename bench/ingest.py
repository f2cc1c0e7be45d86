"""Documents through the whole product, beside what their parts cost alone. From the repository's root:

    python bench/ingest.py                       PDFs of 10, 200 and 2,000 pages; about eight minutes
    python bench/ingest.py --pages 10 200        fewer; --only hosted or --only local for one of the two

The product is `colloquy run` as it stands, with its worker and Redis, on a PostgreSQL that the bench starts, so that it
can be looked into. It runs twice: with embeddings of the tests' stand-in for a vendor, which takes 50 ms to a batch of
100 passages of 384 numbers, and with the local model.

Of each file, from the response to the upload until the client is told that it is READY: the wall beside PyMuPDF alone
(a process that extracts the text and no more) plus the calls one after the other plus a COPY of the same rows by the
owner of the tables; processor time of the worker with its parser beside PyMuPDF's; the worker's and the parser's memory
together. Then how long an upload waits until a worker claims it, how long a page takes and an answer takes, alone and
beside a document of 500 pages of another organisation, and what the local model embeds in a second of an upload beside
its bare forward. Each file is made for the bench, and the peers run in turn with the product.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import aiohttp
import asyncpg
import numpy as np
import psutil
from ingest_parts import peers
from ingest_parts.usage import Processes
from product_parts.running import own_product, process
from quality_parts.client import Client

import pdfs
from app.embedded.postgres import EmbeddedPostgres
from app.embedded.processes import at_once
from providers.base import EmbeddingProvider
from providers.minilm import MiniLmEmbeddings
from providers.openai import OpenAIEmbeddings

DIMENSIONS, CALL_SECONDS = 384, 0.05
LARGE_PAGES = 500
PICK_UPS, SMALL_UPLOADS, QUESTIONS = 60, 6, 6
READY_SECONDS = 300
QUESTION = pdfs.TOPICS[0].question


@dataclass
class Running:
    """A product, and what is behind it."""

    url: str
    http: aiohttp.ClientSession
    owner: asyncpg.Connection
    processes: Processes
    provider: EmbeddingProvider
    folder: Path
    people: int = 0
    files: int = 0

    async def person(self) -> Client:
        """The first person of a new organisation."""
        self.people += 1
        return await Client.sign_up(self.http, self.url, f"{type(self.provider).__name__}{self.people}".lower())

    def pdf(self, pages: int) -> bytes:
        """A file that the product has not seen before."""
        self.files += 1
        return pdfs.manual(pages) + b"\n%% %d\n" % self.files


async def uploaded(person: Client, name: str, content: bytes) -> tuple[str, float]:
    """The id of a document that is searchable, and the seconds it took from the response to the upload."""
    async with asyncio.timeout(READY_SECONDS):
        document = await person.keep(name, content)
        began = time.monotonic()
        await person.until_ready(document)
    return document, time.monotonic() - began


async def whole_files(running: Running, sizes: list[int]) -> None:
    print(
        "pages chunks   wall s  parse  calls   COPY   wall/sum  |  worker CPU s  PyMuPDF CPU s  ratio  postgres CPU s"
        "  |  peak MiB  chunks/s"
    )
    person = await running.person()
    await uploaded(person, "warm.pdf", running.pdf(1))
    for pages in sizes:
        content = running.pdf(pages)
        file = running.folder / f"{pages}.pdf"
        file.write_bytes(content)
        async with running.processes.watched() as usage:
            document, wall = await uploaded(person, file.name, content)
        parse = await peers.raw_parse(file)
        id_ = UUID(document.removeprefix("doc_"))
        texts = await peers.texts_of(running.owner, id_)
        calls = await peers.raw_calls(running.provider, texts)
        copy = await peers.raw_copy(running.owner, id_)
        ratio = wall / (parse.wall + calls + copy)
        print(
            f"{pages:5} {len(texts):6} {wall:8.2f} {parse.wall:6.2f} {calls:6.2f} {copy:6.2f} {ratio:10.2f}"
            f"  | {usage.worker_cpu:13.2f} {parse.cpu:14.2f} {usage.worker_cpu / parse.cpu:6.2f}"
            f" {usage.postgres_cpu:15.2f}  | {usage.peak_mib:9.0f} {len(texts) / wall:9.0f}"
            f"   bare forward {len(texts) / calls:.0f} chunks/s",
            flush=True,
        )


async def pick_ups(running: Running) -> None:
    """How long a document that is there waits for a worker: from when its row is seen to when its status changes."""
    person, waited = await running.person(), []
    for number in range(PICK_UPS):
        looking = asyncio.create_task(_claimed(running.owner))
        await person.keep(f"{number}.txt", b"Ferry %d of %d leaves at noon.\n" % (number, time.monotonic_ns()))
        waited.append(1_000 * await looking)
        await _until_nothing_is_left(running.owner)
    p50, p99 = np.percentile(waited, (50, 99))
    print(f"pick-up of {PICK_UPS} uploads: p50 {p50:.0f} ms (goal 100), p99 {p99:.0f} ms", flush=True)


async def _claimed(owner: asyncpg.Connection) -> float:
    """Seconds from a new document's row to its claim, to some 3 ms."""
    statement = "SELECT status FROM documents ORDER BY created_at DESC, id DESC LIMIT 1"
    count = "SELECT count(*) FROM documents"
    before = await owner.fetchval(count)
    while await owner.fetchval(count) == before:  # noqa: ASYNC110 - in another process
        await asyncio.sleep(0.001)
    began = time.monotonic()
    while await owner.fetchval(statement) == "QUEUED":  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    return time.monotonic() - began


async def _until_nothing_is_left(owner: asyncpg.Connection) -> None:
    while await owner.fetchval("SELECT count(*) FROM documents WHERE status NOT IN ('READY', 'FAILED')"):  # noqa: ASYNC110
        await asyncio.sleep(0.02)


async def beside_a_large_one(running: Running) -> None:
    """A page, and an answer, of one organisation: alone, and beside another's 500 pages, in turns."""
    small, large = await running.person(), await running.person()
    await uploaded(small, "known.pdf", running.pdf(20))
    ways: dict[str, Callable[[], Awaitable[float]]] = {
        "a one-page upload": lambda: _small_upload(running, small),
        "an answer": lambda: _answer(small),
    }
    for way in ways.values():
        await way()
    for name, way in ways.items():
        alone = [await way() for _ in range(SMALL_UPLOADS)]
        beside: list[float] = []
        while len(beside) < QUESTIONS:
            document = await large.keep("large.pdf", running.pdf(LARGE_PAGES))
            reading = asyncio.create_task(large.until_ready(document))
            try:
                while not reading.done() and len(beside) < QUESTIONS:
                    seconds = await way()
                    if not reading.done():
                        beside.append(seconds)
                async with asyncio.timeout(READY_SECONDS):
                    await reading
            finally:
                reading.cancel()
                with suppress(asyncio.CancelledError):
                    await reading
        before, after = statistics.median(alone), statistics.median(beside)
        print(
            f"{name}: alone {before:.2f} s, beside {LARGE_PAGES} pages of another organisation {after:.2f} s"
            f" (at most {max(beside):.2f}): {after / before:.2f} x (goal 2)",
            flush=True,
        )


async def _small_upload(running: Running, person: Client) -> float:
    return (await uploaded(person, "small.pdf", running.pdf(1)))[1]


async def _answer(person: Client) -> float:
    """A question that has not been asked, so that no answer or vector is at hand."""
    began = time.monotonic()
    await person.answer(f"{QUESTION} ({time.monotonic_ns()})")
    return time.monotonic() - began


@asynccontextmanager
async def running(folder: Path, provider: EmbeddingProvider, **settings: str) -> AsyncIterator[Running]:
    """The product with that provider's vectors, on a PostgreSQL of its own; all ends with the block."""
    server = EmbeddedPostgres(folder, scratch=True)
    server.start()
    try:
        urls = {
            "DATABASE_OWNER_URL": server.owner_url,
            "DATABASE_URL": server.app_url,
            "DATABASE_PLATFORM_URL": server.platform_url,
            "LOCAL_TOKEN_INTERVAL_MS": "0",
        }
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=1)
        async with (
            aiohttp.ClientSession(connector=connector) as http,
            own_product(http, str(folder), **urls, **settings) as (url, supervisor),
        ):
            owner = await asyncpg.connect(server.owner_url)
            assert server.pid is not None
            processes = Processes(supervisor, server.pid)
            try:
                yield Running(url, http, owner, processes, provider, folder)
            finally:
                await owner.close()
                await provider.aclose()
    finally:
        server.stop(at_once)


async def hosted(folder: Path, sizes: list[int]) -> None:
    async with process("-m", "ingest_parts.embedder", str(CALL_SECONDS), str(DIMENSIONS)) as (vendor, _):
        assert vendor.stdout is not None
        base_url = (await vendor.stdout.readline()).decode().strip()
        model = "text-embedding-3-small"
        provider = OpenAIEmbeddings(api_key=None, model=model, dimensions=DIMENSIONS, base_url=base_url)
        settings = {
            "EMBEDDING_PROVIDER": "openai",
            "CHAT_PROVIDER": "local",
            "OPENAI_EMBEDDING_BASE_URL": base_url,
            "OPENAI_EMBEDDING_DIMENSIONS": str(DIMENSIONS),
        }
        print(f"A vendor that takes {1_000 * CALL_SECONDS:.0f} ms to a batch of {provider.batch_size}", flush=True)
        async with running(folder / "hosted", provider, **settings) as product:
            await pick_ups(product)
            await whole_files(product, sizes)
            await beside_a_large_one(product)


async def local(folder: Path, sizes: list[int]) -> None:
    print("The local model", flush=True)
    provider = MiniLmEmbeddings(folder / "models")
    await provider.prepare()
    async with running(folder / "local", provider) as product:
        await whole_files(product, sizes)
        await beside_a_large_one(product)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=int, nargs="+", default=[10, 200, 2_000])
    parser.add_argument("--only", choices=("hosted", "local"))
    arguments = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="colloquy-bench-", ignore_cleanup_errors=True) as name:
        for way, run in (("hosted", hosted), ("local", local)):
            if arguments.only in (None, way):
                (Path(name) / way).mkdir()
                asyncio.run(run(Path(name), arguments.pages))
    print(f"{time.monotonic() - began:.0f} s; load {os.getloadavg()[0]:.1f} on {psutil.cpu_count()} cores")


if __name__ == "__main__":
    main()
