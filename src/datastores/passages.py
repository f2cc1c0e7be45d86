"""Retrieval in SQL: the nearest vectors and the best lexical matches, fused by reciprocal rank.

Both halves run in one statement, so that they see one snapshot and cost one round trip.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from uuid import UUID

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa

from datastores.lexical import searchable_text
from datastores.records import PassageRecord
from datastores.transactions import Reads
from datastores.vectors import vector_text

CANDIDATES = 40
"""How many each half contributes to the fusion."""
RRF_K = 60
"""Reciprocal rank fusion's constant, from Cormack, Clarke and Büttcher (SIGIR 2009)."""
_MODEL_ID = re.compile(r"[A-Za-z0-9._:@/-]{1,100}")

# The model's id and dimensions are written into the statement: only then does its partial index apply.
# search_chunks limits its rows, so it has to know the scope: one call for each scope that the reader may read, and
# the best of all of them, because a document outside of the scopes must not take the place of one inside.
_STATEMENT = """
WITH readable AS NOT MATERIALIZED (
  SELECT d.id, d.name FROM documents d
  WHERE d.tenant_id = :tenant_id AND d.status = 'READY'
    AND (CAST(:assistant_id AS uuid) IS NULL OR EXISTS (
      SELECT FROM assistant_documents a
      WHERE a.tenant_id = d.tenant_id AND a.assistant_id = :assistant_id AND a.document_id = d.id))
    AND (NOT CAST(:within_scopes AS boolean)
      OR EXISTS (SELECT FROM assistants s WHERE s.tenant_id = :tenant_id AND s.document_scope = 'ALL')
      OR EXISTS (SELECT FROM assistant_documents a WHERE a.tenant_id = d.tenant_id AND a.document_id = d.id))
),
nearest AS (
  SELECT e.chunk_id, CAST(e.vector AS halfvec({dimensions})) <=> CAST(:vector AS halfvec({dimensions})) AS distance
  FROM embeddings e
  JOIN chunks c ON c.tenant_id = e.tenant_id AND c.id = e.chunk_id
  JOIN readable d ON d.id = c.document_id
  WHERE e.tenant_id = :tenant_id AND e.model_id = '{model_id}'
  ORDER BY distance LIMIT CAST(:candidates AS integer)
),
scopes AS (
  SELECT CAST(:assistant_id AS uuid) AS assistant_id
  WHERE CAST(:assistant_id AS uuid) IS NOT NULL OR NOT CAST(:within_scopes AS boolean)
     OR EXISTS (SELECT FROM assistants s WHERE s.tenant_id = :tenant_id AND s.document_scope = 'ALL')
  UNION ALL
  SELECT DISTINCT a.assistant_id FROM assistant_documents a
  WHERE a.tenant_id = :tenant_id AND CAST(:assistant_id AS uuid) IS NULL
    AND CAST(:within_scopes AS boolean)
    AND NOT EXISTS (SELECT FROM assistants s WHERE s.tenant_id = :tenant_id AND s.document_scope = 'ALL')
),
lexical AS (
  SELECT DISTINCT l.rank, l.chunk_id
  FROM scopes s
  CROSS JOIN LATERAL search_chunks(lexical_query(:words), s.assistant_id, CAST(:candidates AS integer)) l
  ORDER BY l.rank DESC, l.chunk_id LIMIT CAST(:candidates AS integer)
),
ranked AS (
  SELECT chunk_id, 1.0 / ({k} + row_number() OVER (ORDER BY distance, chunk_id)) AS score FROM nearest
  UNION ALL
  SELECT chunk_id, 1.0 / ({k} + row_number() OVER (ORDER BY rank DESC, chunk_id)) FROM lexical
),
fused AS (SELECT chunk_id, sum(score) AS score FROM ranked GROUP BY chunk_id),
measured AS (
  SELECT c.id, d.id AS document_id, d.name, c.page, c.text, c.ordinal, c.start, f.score, e.vector,
         CAST(e.vector AS halfvec({dimensions})) <=> CAST(:vector AS halfvec({dimensions})) AS distance
  FROM fused f
  JOIN chunks c ON c.tenant_id = :tenant_id AND c.id = f.chunk_id
  JOIN readable d ON d.id = c.document_id
  JOIN embeddings e ON e.tenant_id = c.tenant_id AND e.chunk_id = c.id AND e.model_id = '{model_id}'
)
SELECT id, document_id, name, page, text, ordinal, start, distance, CAST(score AS float8), halfvec_send(vector)
FROM measured
ORDER BY distance > :max_distance, CASE WHEN distance <= :max_distance THEN score END DESC, distance, id LIMIT :most
"""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A passage, and its unit vector of shape (dimensions,) as it is stored, to half precision."""

    passage: PassageRecord
    vector: npt.NDArray[np.float32]


async def find_candidates(
    reads: Reads,
    *,
    question: str,
    vector: npt.NDArray[np.float32],
    model_id: str,
    max_distance: float,
    most: int,
    assigned_to: UUID | None,
    within_scopes: bool = False,
) -> list[Candidate]:
    """The best passages of the tenant's searchable documents: those within `max_distance`, the best fused rank first,
    then those beyond it, the nearest first. `most` in all, of at most twice `CANDIDATES`.

    `vector` is the question's unit vector in `model_id`'s space, shape (dimensions,). `assigned_to` limits the
    search to that assistant's assigned documents, `within_scopes` to what some assistant of the tenant may read, as
    `datastores.knowledge.readable_by` has it for a role below BUSINESS. The caller says which of the two the
    person needs.
    """
    parameters = {
        "tenant_id": reads.tenant_id,
        "assistant_id": assigned_to,
        "within_scopes": within_scopes,
        "vector": vector_text(vector),
        "words": searchable_text(question),
        "candidates": CANDIDATES,
        "max_distance": max_distance,
        "most": most,
    }
    return await reads.records(_candidate, passages_statement(vector.shape[0], model_id), parameters)


def _candidate(*columns: Any) -> Candidate:
    *passage, vector = columns
    return Candidate(PassageRecord(*passage), _from_binary(vector))


def _from_binary(vector: bytes) -> npt.NDArray[np.float32]:
    # halfvec's wire form: how many numbers, two bytes without use, then the numbers; all of it big-endian.
    return np.frombuffer(vector, dtype=">f2", offset=4).astype(np.float32)


@lru_cache(maxsize=16)
def passages_statement(dimensions: int, model_id: str) -> sa.TextClause:
    """The one statement of a search in that space, with the parameters that `find_candidates` gives it."""
    assert _MODEL_ID.fullmatch(model_id), model_id
    # A colon, which stands before Ollama's tags, would begin a parameter.
    escaped = model_id.replace(":", r"\:")
    return sa.text(_STATEMENT.format(dimensions=dimensions, model_id=escaped, k=RRF_K))
