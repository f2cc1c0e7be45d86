"""A reranker on the local embedding model: a passage is as near to the question as its nearest sentence.

A passage of 500 characters speaks of several things, and its vector of none of them; one sentence is what answers.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from uuid import UUID

from core.errors import ErrorCode, ProviderError
from providers.base import RerankProvider
from providers.minilm import MiniLmEmbeddings, Vectors
from providers.sentences import split_sentences
from providers.words import content_words, stem

_WORDS = 0.2
"""What the share of the question's words that a passage has counts beside a cosine: a name or a number is not alike to
another, it is the same or not. Chosen on the tuning parts of bench/local_quality, where 0.05 to 0.3 are as good."""
_MOST_SENTENCES = 24
"""Of one passage; more are lines of a table, which say less about each other than the first do of all."""
_KEPT = 4_096
"""Sentences whose vectors are kept: 6 MB."""
_PART = 16
"""Sentences that are read together: some 40 ms."""
_AT_ONCE = 4
"""Questions that are judged at once. One takes up to 0.4 s of a core, and nobody waits for an order for long."""


class SentenceReranker(RerankProvider):
    """Judges by sentence. It costs no call, but processor time: some 2.5 ms for each sentence that is not known yet."""

    def __init__(self, embeddings: MiniLmEmbeddings) -> None:
        """`embeddings` stays the caller's to close."""
        self._embeddings = embeddings
        self._kept: OrderedDict[tuple[UUID, str], Vectors] = OrderedDict()
        self._judging = 0

    async def rerank(self, question: str, texts: Sequence[str], *, tenant_id: UUID) -> list[float]:
        """Scores of -1 to 1.2. Raises PROVIDER_RATE_LIMITED while others are being judged."""
        if self._judging >= _AT_ONCE:
            raise ProviderError(ErrorCode.PROVIDER_RATE_LIMITED, "The local model is busy.", retryable=True)
        self._judging += 1
        try:
            asked = await self._embeddings.embed_query(question)
            sentences = [_sentences(text) for text in texts]
            known = await self._vectors(tenant_id, dict.fromkeys(one for of in sentences for one in of))
        finally:
            self._judging -= 1
        topic = {stem(word) for word in content_words(question)}
        near = (max((float(known[one] @ asked) for one in of), default=-1.0) for of in sentences)
        return [cosine + _WORDS * _share(topic, text) for cosine, text in zip(near, texts, strict=True)]

    async def _vectors(self, tenant_id: UUID, sentences: dict[str, None]) -> dict[str, Vectors]:
        """Of each sentence its unit vector. What is kept is an organisation's own: how long an answer takes would
        tell another what it has asked about."""
        known = {one: self._kept[tenant_id, one] for one in sentences if (tenant_id, one) in self._kept}
        for one in known:
            self._kept.move_to_end((tenant_id, one))
        unknown = [one for one in sentences if one not in known]
        # In parts: what has been read is kept, also where nobody waits for the rest any more.
        for start in range(0, len(unknown), _PART):
            part = unknown[start : start + _PART]
            for one, vector in zip(part, await self._embeddings.embed_sentences(part), strict=True):
                known[one] = self._kept[tenant_id, one] = vector.copy()  # a row alone would hold all of them
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return known

    async def aclose(self) -> None:
        """Nothing is held but memory."""
        self._kept.clear()


def _sentences(text: str) -> list[str]:
    """Each under its heading, as a reader of the page understands it; headings where there is nothing else."""
    found = split_sentences(text)
    told = [one for one in found if not one.is_heading] or found
    return [_told(one.heading, text[one.start : one.end]) for one in told[:_MOST_SENTENCES]]


def _told(heading: str, sentence: str) -> str:
    normalised = " ".join(sentence.split())
    return f"{heading}: {normalised}" if heading else normalised


def _share(topic: set[str], text: str) -> float:
    if not topic:
        return 0.0
    return len(topic & {stem(word) for word in content_words(text)}) / len(topic)
