"""A reranker over HTTP, as Cohere, Jina, vLLM, llama.cpp and gateways have it: `POST rerank`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from core.errors import ConfigurationError
from core.settings import Settings
from providers import failures
from providers.base import RerankProvider
from providers.http.connection import HttpConnection, header_key
from providers.http.refusals import Names, RefusedError

_NAMES = Names("rerank", key="RERANK_API_KEY", base_url="RERANK_BASE_URL", model="RERANK_MODEL")
_RESULT_BYTES = 4_096
"""Of one score in the answer, where a server sends its document along."""
_CALL_SECONDS = 10.0
"""For a caller without a patience of its own."""


def reranker_of(settings: Settings) -> HttpReranker:
    """The deployment's reranker, at RERANK_BASE_URL. Raises `ConfigurationError`."""
    assert settings.rerank_base_url is not None
    if settings.rerank_model is None:
        raise ConfigurationError("RERANK_MODEL: not set, and RERANK_BASE_URL is. Set it to a model of that server.")
    key = None if settings.rerank_api_key is None else settings.rerank_api_key.get_secret_value()
    return HttpReranker(base_url=settings.rerank_base_url, api_key=key, model=settings.rerank_model)


class HttpReranker(RerankProvider):
    """Scores of `{"results": [{"index": …, "relevance_score": …}]}`. Nothing is retried: there is an order already."""

    def __init__(self, *, base_url: str, api_key: str | None, model: str) -> None:
        """Raises `ConfigurationError`."""
        headers = {} if api_key is None else {"Authorization": f"Bearer {header_key(api_key, _NAMES.key)}"}
        self._connection = HttpConnection(base_url=base_url, headers=headers, names=_NAMES, timeout=_CALL_SECONDS)
        self._model = model

    async def rerank(self, question: str, texts: Sequence[str], *, tenant_id: UUID) -> list[float]:
        if not texts:
            return []
        body = {"model": self._model, "query": question, "documents": list(texts), "top_n": len(texts)}
        most_bytes = sum(6 * len(text) + _RESULT_BYTES for text in texts)
        try:
            received = await self._connection.call(
                "rerank", body, self._model, seconds=_CALL_SECONDS, most_bytes=most_bytes
            )
        except RefusedError as refusal:
            raise refusal.error from None
        return _scores(received.get("results"), len(texts))

    async def aclose(self) -> None:
        await self._connection.aclose()


def _scores(results: Any, count: int) -> list[float]:
    """One score for each text. Raises PROVIDER_BAD_RESPONSE."""
    if not isinstance(results, list) or len(results) != count:
        raise failures.unreadable()
    scores: dict[int, float] = {}
    for result in results:
        index = result.get("index") if isinstance(result, dict) else None
        score = result.get("relevance_score") if isinstance(result, dict) else None
        if type(index) is not int or not 0 <= index < count or index in scores:
            raise failures.unreadable()
        if isinstance(score, bool) or not isinstance(score, int | float) or not math.isfinite(score):
            raise failures.unreadable()
        scores[index] = float(score)
    return [scores[index] for index in range(count)]
