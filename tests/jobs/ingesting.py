"""Ingest jobs as tests run them: uploaded through the product, run by hand or by a worker, seen from behind."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil

from app.services import job_services
from app.worker import run_worker
from core.ids import NodeKind, TenantId, to_global
from core.settings import Settings
from jobs.ingest_document import ingest
from jobs.services import JobServices
from owner import as_owner, until, uuid_of
from product import Person, Product
from wire import GeminiServer, Step

SOURCES = Path(__file__).parents[2] / "src"
STATE = """SELECT status, epoch, failure_code, failure_message, failure_retryable, pages_done, chunks_done,
  chunks_total, pages_total FROM documents WHERE id = $1"""
STORED = """SELECT (SELECT count(*) FROM document_pages WHERE document_id = $1),
  (SELECT count(*) FROM chunks WHERE document_id = $1),
  (SELECT count(DISTINCT (page, start)) FROM chunks WHERE document_id = $1),
  (SELECT count(*) FROM embeddings e JOIN chunks c ON c.id = e.chunk_id WHERE c.document_id = $1)"""


@dataclass
class State:
    """A document's row."""

    status: str
    epoch: int
    code: str | None
    message: str | None
    retryable: bool | None
    pages_done: int
    chunks_done: int
    chunks_total: int | None
    pages_total: int | None

    @property
    def claims(self) -> tuple[int, int]:
        """How many workers claimed it, and how many of those vanished."""
        return self.epoch % 65_536, self.epoch // 65_536


@dataclass
class Queued:
    """An uploaded document that nobody has read yet."""

    settings: Settings
    tenant: TenantId
    id: UUID

    @property
    def name(self) -> str:
        """Its id as clients see it."""
        return to_global(NodeKind.DOCUMENT, self.id)

    async def state(self) -> State:
        """Its row, as it is now."""
        (row,) = await as_owner(self.settings, STATE, self.id)
        return State(*row)

    async def stored(self) -> tuple[int, int]:
        """How many pages and chunks it has; that no chunk is there twice or without its vector."""
        ((pages, chunks, distinct, embeddings),) = await as_owner(self.settings, STORED, self.id)
        assert chunks == distinct == embeddings
        return pages, chunks

    async def rows(self) -> dict[str, int]:
        """How many rows there are of it, whole or not."""
        ((pages, chunks, _, embeddings),) = await as_owner(self.settings, STORED, self.id)
        return {"pages": pages, "chunks": chunks, "embeddings": embeddings}

    async def chunk_ids(self) -> list[tuple[Any, ...]]:
        """Its chunks' ids, in order."""
        return await as_owner(self.settings, "SELECT id FROM chunks WHERE document_id = $1 ORDER BY ordinal", self.id)

    async def text(self) -> str:
        """Of its first passage, which a question in the same words finds."""
        statement = "SELECT text FROM chunks WHERE document_id = $1 ORDER BY ordinal LIMIT 1"
        ((text,),) = await as_owner(self.settings, statement, self.id)
        return text  # type: ignore[no-any-return]

    async def age(self) -> None:
        """As if its job had not been heard of for an hour."""
        await self.change("heartbeat_at = now() - interval '1 hour'")

    async def change(self, assignment: str) -> None:
        """Change its row behind everybody's back."""
        await as_owner(self.settings, f"UPDATE documents SET {assignment} WHERE id = $1", self.id)

    async def until(self, *statuses: str) -> State:
        """Look until it stands there."""

        async def there() -> bool:
            return (await self.state()).status in statuses

        await until(there)
        return await self.state()

    async def run(self, services: JobServices) -> None:
        """Run the job here and now."""
        await ingest(services, self.tenant, self.id)


class OneByOne(list[Step]):
    """A script whose nth call is played the nth of these, and whose further calls are answered."""

    def __init__(self, *calls: Sequence[Step]) -> None:
        super().__init__()
        self._calls = iter(calls)

    def __iter__(self) -> Iterator[Step]:
        return iter(next(self._calls, ()))


def batches(server: GeminiServer) -> list[int]:
    """How many texts each call for documents had."""
    asked = [one.message for one in server.asked if one.method == "BatchEmbedContents"]
    documents = [message for message in asked if message.requests[0].task_type.name == "RETRIEVAL_DOCUMENT"]
    return [len(message.requests) for message in documents]


async def queued(product: Product, content: bytes, name: str = "notes.txt", person: Person | None = None) -> Queued:
    """Upload a document to a product without a worker."""
    person = person or await product.sign_up()
    result = await person.upload(content, name)
    assert result["__typename"] == "UploadDocumentPayload", result
    ((tenant,),) = await as_owner(product.settings, "SELECT tenant_id FROM users WHERE email = $1", person.email)
    return Queued(product.settings, TenantId(tenant), uuid_of(result["document"]["id"]))


@asynccontextmanager
async def worker(settings: Settings) -> AsyncIterator[None]:
    """A worker in this process."""
    stop = asyncio.Event()
    working = asyncio.create_task(run_worker(settings, stop))
    try:
        yield
    finally:
        stop.set()
        await working


@asynccontextmanager
async def worker_process(
    settings: Settings, *, program: Sequence[str] = ("-m", "app.cli", "work"), **more: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A worker in a process of its own, as an operator starts it; killed at the end if it still runs.

    `program` is what Python is to run instead; `more` are further variables of its environment.
    """
    names = ("database_url", "database_platform_url", "redis_url", "data_dir")
    values = {name.upper(): str(getattr(settings, name)) for name in names}
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *program),
        env=kept | values | more | {"PYTHONPATH": str(SOURCES), "SECRET_KEY": "x" * 32},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@contextmanager
def log_lines(name: str) -> Iterator[list[logging.LogRecord]]:
    """What a logger says inside the block."""
    lines: list[logging.LogRecord] = []

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record)

    handler = Lines()
    logging.getLogger(name).addHandler(handler)
    try:
        yield lines
    finally:
        logging.getLogger(name).removeHandler(handler)


async def a_parser() -> psutil.Process:
    """The parser's process that a job of this process has started, once it is there."""
    found: list[psutil.Process] = []

    async def there() -> bool:
        for child in psutil.Process(os.getpid()).children(recursive=True):
            with suppress(psutil.Error):  # it may end while it is looked at
                if "ingest.child" in " ".join(child.cmdline()):
                    found.append(child)
        return bool(found)

    await until(there)
    return found[0]


__all__ = [
    "OneByOne",
    "Queued",
    "State",
    "a_parser",
    "batches",
    "job_services",
    "log_lines",
    "queued",
    "worker",
    "worker_process",
]
