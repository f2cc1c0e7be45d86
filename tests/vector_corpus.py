"""Tenants with many chunks and their vectors, made by COPY from a fixed seed, faster than any embedding model."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import asyncpg
import numpy as np
import numpy.typing as npt

from core.ids import TenantId

_LATENT = 24
"""Directions that differ between texts: embeddings of real text lie near a surface of some twenty dimensions."""
_TOPICS = 40
"""That all tenants share: organisations have offers, contracts and minutes alike."""
_HEADER, _TRAILER = b"PGCOPY\n\xff\r\n\x00" + bytes(8), b"\xff\xff"

Vectors = npt.NDArray[np.float32]


class Space:
    """Where the vectors lie. Every call goes on in the one sequence of its seed."""

    def __init__(self, dimensions: int, seed: int = 7) -> None:
        self.dimensions = dimensions
        self._random = np.random.default_rng(seed)
        self._onto = self._random.normal(size=(_LATENT, dimensions))
        self._topics = self._random.normal(size=(_TOPICS, _LATENT))

    def texts(self, count: int) -> Vectors:
        """Unit vectors of so many texts, each near one of the topics, rounded as halfvec does."""
        topics = self._topics[self._random.integers(_TOPICS, size=count)]
        latent = topics + 0.6 * self._random.normal(size=(count, _LATENT))
        rows = latent @ self._onto + 0.3 * self._random.normal(size=(count, self.dimensions))
        return _unit(rows).astype(np.float16).astype(np.float32)

    def questions(self, texts: Vectors, count: int) -> Vectors:
        """Unit vectors of so many questions: each on one of the texts, about 0.3 of a cosine away from it."""
        chosen = texts[self._random.integers(len(texts), size=count)]
        noise = _unit(self._random.normal(size=chosen.shape))
        return _unit(chosen + 0.9 * noise).astype(np.float16).astype(np.float32)


@dataclass
class Filled:
    """A tenant, and what has been stored for it: row `n` of `vectors` is chunk `chunk_ids[n]`'s."""

    id: TenantId
    chunk_ids: list[UUID]
    vectors: Vectors


def exact_distances(vectors: Vectors, question: Vectors) -> npt.NDArray[np.float64]:
    """The cosine distances of all of them, shape (len(vectors),), in double precision."""
    rows, asked = vectors.astype(np.float64), question.astype(np.float64)
    result: npt.NDArray[np.float64] = 1.0 - (rows @ asked) / (np.linalg.norm(rows, axis=1) * np.linalg.norm(asked))
    return result


async def fill(
    owner: asyncpg.Connection, space: Space, model_id: str, sizes: Sequence[int], texts: Sequence[str] = ("",)
) -> list[Filled]:
    """A tenant of each size with one document that is READY; its chunks have the texts in turn."""
    filled = []
    for number, size in enumerate(sizes):
        tenant, document = UUID(int=(number + 1) << 64), UUID(int=((number + 1) << 64) + 1)
        await owner.execute(
            "INSERT INTO tenants (id, name, embedding_model_id, keep_originals) VALUES ($1, $2, $3, true)",
            *(tenant, f"Org {number}", model_id),
        )
        await owner.execute(
            "INSERT INTO documents (tenant_id, id, name, content_type, byte_size, sha256, stored, status, pages_done, "
            "chunks_done, epoch) VALUES ($1, $2, 'all.txt', 'text/plain', 1, $3, false, 'READY', 1, $4, 1)",
            *(tenant, document, document.hex * 2, size),
        )
        chunk_ids = [UUID(int=document.int + 1 + n) for n in range(size)]
        async with owner.transaction():
            await owner.execute("CREATE TEMPORARY TABLE staged (id uuid, ordinal integer, text text) ON COMMIT DROP")
            rows = [(chunk, n, texts[n % len(texts)]) for n, chunk in enumerate(chunk_ids)]
            await owner.copy_records_to_table("staged", records=rows)
            await owner.execute(
                'INSERT INTO chunks (tenant_id, id, document_id, ordinal, text, start, "end", lexemes) '
                "SELECT $1, id, $2, ordinal, text, 0, length(text), chunk_lexemes(text) FROM staged",
                *(tenant, document),
            )
        vectors = space.texts(size)
        await owner.copy_to_table(
            "embeddings",
            source=io.BytesIO(_embeddings(tenant, chunk_ids, model_id, vectors)),
            columns=["tenant_id", "id", "chunk_id", "model_id", "vector"],
            format="binary",
        )
        filled.append(Filled(TenantId(tenant), chunk_ids, vectors))
    await owner.execute("ANALYZE tenants, documents, chunks, embeddings")
    return filled


def _embeddings(tenant: UUID, chunk_ids: Sequence[UUID], model_id: str, vectors: Vectors) -> bytes:
    """PostgreSQL's binary COPY format: for each row its number of fields, then each field's length and bytes."""
    name, dimensions = model_id.encode(), vectors.shape[1]
    uuid = [("length", ">i4"), ("value", "V16")]
    row = np.dtype(
        [
            ("fields", ">i2"),
            *((field, uuid) for field in ("tenant_id", "id", "chunk_id")),
            ("model_length", ">i4"),
            ("model_id", f"V{len(name)}"),
            ("vector_length", ">i4"),
            ("dimensions", ">i2"),
            ("unused", ">i2"),
            ("numbers", ">f2", (dimensions,)),
        ]
    )
    rows = np.zeros(len(chunk_ids), dtype=row)
    ids = np.frombuffer(b"".join(chunk.bytes for chunk in chunk_ids), dtype="V16")
    rows["fields"] = 5
    for field, values in (("tenant_id", np.frombuffer(tenant.bytes, dtype="V16")), ("id", ids), ("chunk_id", ids)):
        rows[field]["length"], rows[field]["value"] = 16, values
    rows["model_length"], rows["model_id"] = len(name), np.frombuffer(name, dtype=f"V{len(name)}")
    rows["vector_length"], rows["dimensions"] = 4 + 2 * dimensions, dimensions
    rows["numbers"] = vectors
    return _HEADER + rows.tobytes() + _TRAILER


def _unit(rows: npt.NDArray[np.float64]) -> Vectors:
    unit: Vectors = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return unit
