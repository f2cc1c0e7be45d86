"""Gemini as an embedding provider."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from providers.base import EmbeddingProvider
from providers.gemini.connection import GeminiConnection
from providers.vectors import Vectors, check_texts, unit_rows

_SETTING = "GEMINI_EMBEDDING_MODEL"


class GeminiEmbeddings(EmbeddingProvider):
    """Unit vectors of text in a hundred languages. The vendor reads 2,048 tokens of a text."""

    # The vendor's limit for one BatchEmbedContents.
    batch_size = 100
    # The design's general default. No key can be used where this is built, so it is not tuned for this model; the
    # model packs unrelated texts closer together than MiniLM does, so the mistake it makes is to let too much pass,
    # which the top-k and "answer only from the context" still bound.
    max_distance = 0.5

    def __init__(
        self,
        *,
        api_key: str,
        model: str = "gemini-embedding-001",
        dimensions: int = 768,
        timeout: float = 30.0,
        endpoint: str | None = None,
        root_certificates: bytes | None = None,
    ) -> None:
        """`timeout` in seconds for one batch; `dimensions` is what the model is asked to cut its vectors to.

        `endpoint` and `root_certificates` as for `GeminiChat`. Raises `ConfigurationError`.
        """
        self.dimensions = dimensions
        self.model_id = f"{model}@{dimensions}"
        self._model = model
        self._connection = GeminiConnection(
            api_key=api_key, timeout=timeout, endpoint=endpoint, root_certificates=root_certificates
        )

    async def embed_documents(self, texts: Sequence[str]) -> Vectors:
        """At most `batch_size` texts, none blank -> float32 array of shape (len(texts), dimensions), rows of length 1.

        Raises `ProviderError`, and ValueError for what the vendor would refuse as a whole.
        """
        return await self._embed(texts, task="RETRIEVAL_DOCUMENT")

    async def embed_query(self, text: str) -> Vectors:
        """One question -> float32 array of shape (dimensions,), length 1. Raises `ProviderError`."""
        rows = await self._embed((text,), task="RETRIEVAL_QUERY")
        row: Vectors = rows[0]
        return row

    async def check_model(self) -> None:
        """For start-up. Raises `ConfigurationError` when the model is dead; warns when the vendor does not answer."""
        await self._connection.check_model(self._model, method="embedContent", setting=_SETTING)

    async def aclose(self) -> None:
        """End running calls and close the channels. Safe to call twice."""
        await self._connection.aclose()

    async def _embed(self, texts: Sequence[str], *, task: str) -> Vectors:
        if not texts:
            return np.empty((0, self.dimensions), dtype=np.float32)
        check_texts(texts, self.batch_size)
        wire = await self._connection.wire()
        rows = await wire.embed(texts, model=self._model, task=task, dimensions=self.dimensions, setting=_SETTING)
        return unit_rows(rows, count=len(texts), dimensions=self.dimensions, model=self._model)
