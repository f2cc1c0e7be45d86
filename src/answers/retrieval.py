"""From a question to the passages that an answer may be grounded in."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from datastores.passages import find_passages
from datastores.records import PassageRecord
from datastores.transactions import Reads
from providers.base import EmbeddingProvider

MAX_QUERY_CHARS = 2_000
"""Embedding models read no more than a few hundred tokens; the rest would only cost time."""


async def retrieve(
    reads: Reads,
    embeddings: EmbeddingProvider,
    question: str,
    *,
    top_k: int,
    assigned_to: UUID | None,
    within_scopes: bool = False,
) -> list[PassageRecord]:
    """The best `top_k` passages within the model's distance limit, best first. Raises `ProviderError`.

    `within_scopes` leaves out documents that no assistant of the tenant may read.
    """
    query = question[:MAX_QUERY_CHARS]
    vector = await embeddings.embed_query(query)
    return await find_passages(
        reads,
        question=query,
        vector=vector,
        model_id=embeddings.model_id,
        max_distance=embeddings.max_distance,
        top_k=top_k,
        assigned_to=assigned_to,
        within_scopes=within_scopes,
    )


def told(passages: Sequence[PassageRecord]) -> str:
    """What was found, for a person to see."""
    names = list(dict.fromkeys(passage.document_name for passage in passages))
    if not names:
        return "No passage is near enough to the question."
    shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return f"{len(passages)} passage{'s' if len(passages) > 1 else ''} from {shown}"
