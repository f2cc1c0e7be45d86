"""A document's vectors: which of its chunks have one of a model, and storing them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import numpy as np
import numpy.typing as npt
import orjson
import sqlalchemy as sa

from core.ids import new_id
from datastores.bulk_insert import bulk_insert
from datastores.models import Chunk, Embedding
from datastores.records import table
from datastores.transactions import Reads, WriteTransaction

_chunks, _embeddings = table(Chunk), table(Embedding)


@dataclass(slots=True)
class StoredChunk:
    """What embedding needs of a chunk."""

    id: UUID
    ordinal: int
    text: str


def has_vector(model_id: str) -> sa.ColumnElement[bool]:
    """Whether the model has made a vector of a chunk, as a condition of a statement about chunks."""
    return sa.exists().where(
        _embeddings.c.tenant_id == _chunks.c.tenant_id,
        _embeddings.c.model_id == model_id,
        _embeddings.c.chunk_id == _chunks.c.id,
    )


async def chunks_without_vector(
    reads: Reads, document_id: UUID, model_id: str, after: int, limit: int
) -> list[StoredChunk]:
    """The document's next chunks after number `after` that the model has made no vector of, in order."""
    statement = (
        sa.select(_chunks.c.id, _chunks.c.ordinal, _chunks.c.text)
        .where(
            _chunks.c.tenant_id == reads.tenant_id,
            _chunks.c.document_id == document_id,
            _chunks.c.ordinal > after,
            ~has_vector(model_id),
        )
        .order_by(_chunks.c.ordinal)
        .limit(limit)
    )
    return await reads.records(StoredChunk, statement)


async def vectors_stored(reads: Reads, document_id: UUID, model_id: str) -> int:
    """How many of the document's chunks the model has made a vector of."""
    statement = sa.select(sa.func.count()).where(
        _chunks.c.tenant_id == reads.tenant_id,
        _chunks.c.document_id == document_id,
        _embeddings.c.tenant_id == _chunks.c.tenant_id,
        _embeddings.c.chunk_id == _chunks.c.id,
        _embeddings.c.model_id == model_id,
    )
    return int(await reads.scalar(statement))


def vector_text(vector: npt.NDArray[np.float32]) -> str:
    """The vector as PostgreSQL reads it, in the precision in which it is stored."""
    # pgvector's own classes take fifteen times as long; JSON's array is the type's text.
    return orjson.dumps(vector.astype(np.float16), option=orjson.OPT_SERIALIZE_NUMPY).decode()


async def add_embeddings(
    tx: WriteTransaction, model_id: str, chunk_ids: Sequence[UUID], vectors: npt.NDArray[np.float32]
) -> None:
    """Store unit vectors, shape (len(chunk_ids), dimensions), as halfvec: one COPY and one INSERT, however many."""
    rows = [
        (tx.tenant_id, new_id(), chunk_id, model_id, vector_text(vector))
        for chunk_id, vector in zip(chunk_ids, vectors, strict=True)
    ]
    columns = ["tenant_id", "id", "chunk_id", "model_id", "vector"]
    await bulk_insert(tx, "embeddings", columns, rows, {"vector": "text"}, {"vector": "halfvec"})


async def drop_embeddings(tx: WriteTransaction, document_id: UUID, model_id: str) -> None:
    """Remove the document's vectors of that space, which nobody searches any more."""
    of_document = sa.select(_chunks.c.id).where(
        _chunks.c.tenant_id == tx.tenant_id, _chunks.c.document_id == document_id
    )
    await tx.execute(
        sa.delete(_embeddings).where(
            _embeddings.c.tenant_id == tx.tenant_id,
            _embeddings.c.model_id == model_id,
            _embeddings.c.chunk_id.in_(of_document),
        )
    )
