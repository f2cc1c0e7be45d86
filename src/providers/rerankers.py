"""Who judges found passages anew, by the space that they were found in."""

from __future__ import annotations

from collections.abc import Callable

from core.settings import Settings
from providers.base import EmbeddingProvider, RerankProvider


class Rerankers:
    """Those of one process."""

    def __init__(self, settings: Settings, local_model: str, embeddings: Callable[[str], EmbeddingProvider]) -> None:
        """`embeddings` stay the caller's to close. Raises `ConfigurationError` for a server without a model."""
        self._settings, self._local_model, self._embeddings = settings, local_model, embeddings
        self._server: RerankProvider | None = None
        self._sentences: RerankProvider | None = None
        if settings.rerank_base_url is not None:
            from providers.rerank import reranker_of

            self._server = reranker_of(settings)

    def of(self, model_id: str) -> RerankProvider | None:
        """The deployment's own server, else in the local model's space that model, by sentence; None: nobody."""
        if self._server is not None or model_id != self._local_model or not self._settings.local_rerank:
            return self._server
        if self._sentences is None:
            from providers.minilm import MiniLmEmbeddings
            from providers.sentence_rerank import SentenceReranker

            local = self._embeddings(model_id)
            assert isinstance(local, MiniLmEmbeddings)
            self._sentences = SentenceReranker(local)
        return self._sentences

    async def aclose(self) -> None:
        """Safe to call twice."""
        for reranker in (self._server, self._sentences):
            if reranker is not None:
                await reranker.aclose()
