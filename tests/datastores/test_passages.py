"""Retrieval in SQL: whose documents the candidates are taken from."""

from __future__ import annotations

from uuid import UUID

import numpy as np
import pytest

from core.ids import TenantId, new_id
from datastores.ingestion import NewChunk, add_chunks
from datastores.models import Assistant, AssistantDocument, Document, DocumentScope, DocumentStatus
from datastores.passages import CANDIDATES, find_candidates
from datastores.postgres import Postgres
from datastores.transactions import WriteTransaction
from datastores.vectors import add_embeddings, chunks_without_vector

NEAR, FAR = np.array([[1.0, 0.0, 0.0]]), np.array([[0.6, 0.8, 0.0]])
MODEL = "three"


async def test_documents_out_of_scope_take_no_place_among_the_lexical_candidates(
    postgres: Postgres, tenant: TenantId
) -> None:
    async with postgres.write(tenant) as tx:
        assigned = await _assistant(tx, DocumentScope.ASSIGNED)
        other = await _assistant(tx, DocumentScope.ASSIGNED)
        # All places of the nearest: only its words can find the document in scope.
        for number in range(CANDIDATES):
            await _document(tx, f"Nothing of it {number}", NEAR, assigned)
        wanted = await _document(tx, "Among much else the zebra is named in these many words", FAR, assigned, other)
        for _ in range(CANDIDATES + 5):
            await _document(tx, "Zebra zebra", FAR)
    assert await _first(postgres, tenant, assigned_to=None, within_scopes=False) != wanted
    assert await _first(postgres, tenant, assigned_to=None, within_scopes=True) == wanted
    assert await _first(postgres, tenant, assigned_to=other, within_scopes=True) == wanted
    assert await _first(postgres, tenant, assigned_to=assigned, within_scopes=False) == wanted


@pytest.mark.parametrize("scope", list(DocumentScope))
async def test_with_an_assistant_for_everything_every_document_may_be_found(
    postgres: Postgres, tenant: TenantId, scope: DocumentScope
) -> None:
    async with postgres.write(tenant) as tx:
        await _assistant(tx, DocumentScope.ASSIGNED)
        await _assistant(tx, scope)
        unassigned = await _document(tx, "A zebra", FAR)
    found = await _first(postgres, tenant, assigned_to=None, within_scopes=True)
    assert found == (unassigned if scope is DocumentScope.ALL else None)


async def test_what_is_too_far_comes_behind_what_is_near_the_nearest_first(
    postgres: Postgres, tenant: TenantId
) -> None:
    farther = np.array([[-1.0, 0.0, 0.0]])
    async with postgres.write(tenant) as tx:
        # The words would put the farthest first.
        last = await _document(tx, "Zebra zebra", farther)
        second = await _document(tx, "Nothing of it", FAR)
        first = await _document(tx, "Nothing of it either", NEAR)
    for limit in (0.1, -1.0):
        async with postgres.read(tenant) as tx:
            found = await find_candidates(
                tx,
                question="Which zebra?",
                vector=NEAR[0],
                model_id=MODEL,
                max_distance=limit,
                most=10,
                assigned_to=None,
            )
        assert [candidate.passage.document_id for candidate in found] == [first, second, last]
    assert [candidate.passage.distance for candidate in found] == pytest.approx([0.0, 0.4, 2.0], abs=1e-3)
    np.testing.assert_allclose(
        np.stack([candidate.vector for candidate in found]), np.concatenate([NEAR, FAR, farther]), atol=1e-3
    )


async def _first(postgres: Postgres, tenant: TenantId, *, assigned_to: UUID | None, within_scopes: bool) -> UUID | None:
    """The best passage's document, of those that the words alone can have found."""
    async with postgres.read(tenant) as tx:
        found = await find_candidates(
            tx,
            question="Which zebra?",
            vector=NEAR[0],
            model_id=MODEL,
            max_distance=2.0,
            most=100,
            assigned_to=assigned_to,
            within_scopes=within_scopes,
        )
    passages = [candidate.passage for candidate in found]
    return next((passage.document_id for passage in passages if "ebra" in passage.text), None)


async def _assistant(tx: WriteTransaction, scope: DocumentScope) -> UUID:
    assistant = Assistant(
        tenant_id=tx.tenant_id, id=new_id(), name="A", instructions="", temperature=0.0, document_scope=scope
    )
    tx.session.add(assistant)
    await tx.session.flush()
    return assistant.id


async def _document(tx: WriteTransaction, text: str, vector: np.ndarray, *assistants: UUID) -> UUID:
    document = new_id()
    tx.session.add(
        Document(
            tenant_id=tx.tenant_id,
            id=document,
            name=text,
            content_type="text/plain",
            byte_size=1,
            sha256=document.hex * 2,
            status=DocumentStatus.READY,
        )
    )
    await tx.session.flush()
    for assistant in assistants:
        tx.session.add(AssistantDocument(tenant_id=tx.tenant_id, assistant_id=assistant, document_id=document))
    await add_chunks(tx, document, [NewChunk(0, None, text, 0, len(text))])
    (chunk,) = await chunks_without_vector(tx, document, MODEL, -1, 1)
    await add_embeddings(tx, MODEL, [chunk.id], vector.astype(np.float32))
    return document
