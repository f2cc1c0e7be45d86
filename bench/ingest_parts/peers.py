"""What each part of the work takes by itself, on the same machine in the same run."""

from __future__ import annotations

import asyncio
import io
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import asyncpg

from core.ids import new_id
from providers.base import EmbeddingProvider

BENCH = Path(__file__).parents[1]
MOST_SECONDS = 15.0
_NEW = "md5({}::text || '{}')::uuid"
"""Another id for each row of a copy."""
_TABLES = {
    "document_pages": (("tenant_id", "id", "document_id", "number", "text", "source_map"), "t.document_id = '{}'"),
    "chunks": (
        ("tenant_id", "id", "document_id", "ordinal", "page", "text", "start", "end", "lexemes"),
        "t.document_id = '{}'",
    ),
    "embeddings": (
        ("tenant_id", "id", "chunk_id", "model_id", "vector"),
        "t.chunk_id IN (SELECT id FROM chunks WHERE document_id = '{}')",
    ),
}


@dataclass(frozen=True, slots=True)
class Parse:
    """Seconds of PyMuPDF's process, of processor time and of the clock, its start with them."""

    wall: float
    cpu: float


async def raw_parse(file: Path) -> Parse:
    before, began = os.times(), time.monotonic()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "ingest_parts.raw_parse", str(file)), cwd=BENCH, stdout=asyncio.subprocess.DEVNULL
    )
    if await process.wait():
        raise AssertionError("PyMuPDF could not read the file")
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return Parse(time.monotonic() - began, cpu)


async def raw_calls(provider: EmbeddingProvider, texts: list[str]) -> float:
    """Seconds of one call after the other with full batches; of many texts, `MOST_SECONDS` are measured and the rest
    reckoned from them."""
    began, done = time.monotonic(), 0
    while done < len(texts) and time.monotonic() - began < MOST_SECONDS:
        batch = texts[done : done + provider.batch_size]
        await provider.embed_documents(batch)
        done += len(batch)
    return (time.monotonic() - began) * len(texts) / done


async def texts_of(owner: asyncpg.Connection, document: UUID) -> list[str]:
    rows = await owner.fetch("SELECT text FROM chunks WHERE document_id = $1 ORDER BY ordinal", document)
    return [row["text"] for row in rows]


async def raw_copy(owner: asyncpg.Connection, document: UUID) -> float:
    """Seconds to COPY a document's rows once more, by the tables' owner and so past row-level security: one COPY to a
    table, in one transaction, with its indexes and keys. The copy is removed."""
    copy, salt = new_id(), new_id().hex
    columns = ", ".join(
        f'"{row["column_name"]}"'
        for row in await owner.fetch(
            "SELECT column_name FROM information_schema.columns WHERE table_name = 'documents'"
            " AND is_generated = 'NEVER' AND table_schema = current_schema()"
        )
    )
    values = columns.replace('"id"', f"'{copy}'::uuid").replace('"sha256"', f"md5('{salt}') || md5('{salt}')")
    await owner.execute(f"INSERT INTO documents ({columns}) SELECT {values} FROM documents WHERE id = $1", document)
    data: dict[str, io.BytesIO] = {}
    for name, (names, where) in _TABLES.items():
        chosen = {column: f't."{column}"' for column in names} | {"id": _NEW.format("t.id", salt)}
        if "document_id" in chosen:
            chosen["document_id"] = f"'{copy}'::uuid"
        if "chunk_id" in chosen:
            chosen["chunk_id"] = _NEW.format("t.chunk_id", salt)
        data[name] = io.BytesIO()
        query = f"SELECT {', '.join(chosen.values())} FROM {name} t WHERE {where.format(document)}"
        await owner.copy_from_query(query, output=data[name])
        data[name].seek(0)
    began = time.monotonic()
    async with owner.transaction():
        for name, (names, _) in _TABLES.items():
            await owner.copy_to_table(name, source=data[name], columns=names)
    seconds = time.monotonic() - began
    await owner.execute("DELETE FROM documents WHERE id = $1", copy)
    return seconds
