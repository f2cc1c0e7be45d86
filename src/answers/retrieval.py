"""From a question to the passages that an answer may be grounded in."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from uuid import UUID

import numpy as np
import numpy.typing as npt
import structlog

from answers.sources import Source
from answers.variety import repeats_last
from core.errors import ProviderError
from core.ids import TenantId
from datastores.passages import Candidate, find_candidates
from datastores.query_vectors import QueryVectors
from datastores.records import PassageRecord
from datastores.transactions import LazyRead
from providers.base import EmbeddingProvider, RerankProvider
from providers.registry import Providers

MAX_QUERY_CHARS = 2_000
"""Embedding models read no more than a few hundred tokens; the rest would only cost time."""
SPARE = 15
"""Candidates beyond those that are wanted, for when some of them repeat others."""
RERANK_CANDIDATES = 30
"""That are judged anew where there is a reranker."""
RERANK_SECONDS = 2.0
"""How long it may take: a person waits for the answer, and there is an order already."""
NEAREST = 3
"""Passages that are named where none is near enough."""
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Found:
    """The passages within the model's distance limit, best first; where there are none, the nearest beyond it."""

    passages: list[PassageRecord]
    nearest: list[PassageRecord]


class Retriever:
    """Finds passages. One per process."""

    def __init__(self, queries: QueryVectors, providers: Providers) -> None:
        self._queries, self._providers = queries, providers

    async def find(
        self,
        reads: LazyRead,
        embeddings: EmbeddingProvider,
        question: str,
        *,
        top_k: int,
        assigned_to: UUID | None,
        within_scopes: bool = False,
    ) -> Found:
        """The best `top_k` passages. Raises `ProviderError`.

        By reciprocal rank of words and meaning fused, or as the reranker has it; those that repeat a better one come
        last. `within_scopes` leaves out documents that no assistant of the tenant may read.
        """
        query = question[:MAX_QUERY_CHARS]
        reranker = self._providers.reranker(embeddings.model_id)
        candidates = await find_candidates(
            reads,
            question=query,
            vector=await self._vector(reads, embeddings, query),
            model_id=embeddings.model_id,
            max_distance=embeddings.max_distance,
            most=max(top_k + SPARE, RERANK_CANDIDATES if reranker else 0),
            assigned_to=assigned_to,
            within_scopes=within_scopes,
        )
        near = [candidate for candidate in candidates if candidate.passage.distance <= embeddings.max_distance]
        if not near:
            return Found([], [candidate.passage for candidate in candidates[:NEAREST]])
        if reranker is not None:
            # The model may be a network away: no connection of the pool waits for it.
            await reads.aclose()
            near = await _reranked(reranker, reads.tenant_id, query, near)
        varied = repeats_last(near, embeddings.max_distance)
        return Found([candidate.passage for candidate in varied[:top_k]], [])

    async def _vector(self, reads: LazyRead, embeddings: EmbeddingProvider, query: str) -> npt.NDArray[np.float32]:
        model_id = embeddings.model_id
        known = await self._queries.get(reads.tenant_id, model_id, embeddings.dimensions, query)
        if known is not None:
            return known
        vector = await embeddings.embed_query(query)
        await self._queries.put(reads.tenant_id, model_id, query, vector)
        return vector


async def _reranked(
    reranker: RerankProvider, tenant_id: TenantId, query: str, near: Sequence[Candidate]
) -> list[Candidate]:
    """The reranker's order, its scores with it; the order given where it fails, or takes too long."""
    try:
        async with asyncio.timeout(RERANK_SECONDS):
            scores = await reranker.rerank(query, [candidate.passage.text for candidate in near], tenant_id=tenant_id)
    except (ProviderError, TimeoutError) as error:
        log.warning("not reranked", error=type(error).__name__, code=getattr(getattr(error, "code", None), "value", ""))
        return list(near)
    order = sorted(range(len(near)), key=lambda place: (-scores[place], place))
    return [replace(near[at], passage=replace(near[at].passage, score=scores[at])) for at in order]


def told(sources: Sequence[Source]) -> str:
    """What was found, for a person to see."""
    names = list(dict.fromkeys(source.document_name for source in sources))
    if not names:
        return "No passage is near enough to the question."
    shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return f"{len(sources)} passage{'s' if len(sources) > 1 else ''} from {shown}"


def told_nearest(passages: Sequence[PassageRecord]) -> str:
    """Where a person may look where nothing answers: documents and pages, each once, the nearest first."""
    places = (
        passage.document_name if passage.page is None else f"{passage.document_name}, page {passage.page}"
        for passage in passages
    )
    return "; ".join(dict.fromkeys(places))
