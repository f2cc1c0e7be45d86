"""An OpenAI-compatible server as an embedding provider: OpenAI, Ollama, vLLM, Gemini's compatible endpoint …"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import structlog

from core.errors import ConfigurationError, ErrorCode, ProviderError
from providers import failures
from providers.base import EmbeddingProvider
from providers.http.chunks import count_in
from providers.http.optional import OptionalParameters
from providers.http.refusals import Names, RefusedError
from providers.openai.connection import VENDOR_URL, connect
from providers.vectors import Vectors, check_texts, unit_rows

_NAMES = Names(
    "openai",
    key="OPENAI_EMBEDDING_API_KEY or OPENAI_API_KEY",
    base_url="OPENAI_EMBEDDING_BASE_URL or OPENAI_BASE_URL",
    model="OPENAI_EMBEDDING_MODEL",
)
MAX_DISTANCE = 0.5
"""Of a model that `_MODELS` does not have: the design's general default."""
_MODELS: dict[str, tuple[int, float]] = {
    "text-embedding-3-small": (1536, 0.75),
    "text-embedding-3-large": (3072, 0.75),
    "text-embedding-ada-002": (1536, 0.28),
    "gemini-embedding-001": (3072, MAX_DISTANCE),
    "nomic-embed-text": (768, MAX_DISTANCE),
    "mxbai-embed-large": (1024, MAX_DISTANCE),
    "bge-m3": (1024, 0.6),
    "all-minilm": (384, 0.6),
}
"""By the name before Ollama's tag: numbers of a full vector, from the vendors' pages, and the distance limit.

The limits are estimates by the similarities that are reported of each, not measured here: none of these models can be
reached where this is built. They lean to letting too much pass, which the top-k bounds.
"""
_NAME = re.compile(r"[A-Za-z0-9._:/-]{1,90}")
_NUMBER_BYTES = 32
"""A number of a vector takes less, as text or in base64."""
_MOST_DIMENSIONS = 16_000
"""That are read at all, so that a wrong size can be told; pgvector stores no more."""
_log = structlog.get_logger(__name__)


def space_of(model: str, dimensions: int | None) -> tuple[str, int]:
    """The id of a vector space and its dimensions, by default the model's own. Raises `ConfigurationError`."""
    if not _NAME.fullmatch(model):
        raise ConfigurationError("OPENAI_EMBEDDING_MODEL: expected at most 90 letters, digits and signs of `._:/-`.")
    if dimensions is None:
        dimensions = _own_dimensions(model)
    if dimensions is None:
        raise ConfigurationError(
            f"OPENAI_EMBEDDING_DIMENSIONS: not set, and nothing is known of {model!r}. "
            "Set it to how many numbers a vector of that model has."
        )
    return f"{model}@{dimensions}", dimensions


class OpenAIEmbeddings(EmbeddingProvider):
    """Unit vectors from `POST embeddings`. Nothing is retried here; the caller sees each failure."""

    def __init__(
        self,
        *,
        api_key: str | None,
        model: str,
        dimensions: int | None = None,
        base_url: str = VENDOR_URL,
        batch_size: int = 100,
        max_distance: float | None = None,
        timeout: float = 30.0,
    ) -> None:
        """`timeout` in seconds for one request. `dimensions` is what the model is asked to cut its vectors to.

        Without a key only for a server of one's own. Raises `ConfigurationError`.
        """
        self.model_id, self.dimensions = space_of(model, dimensions)
        self.batch_size = batch_size
        known = _MODELS.get(_untagged(model), (0, MAX_DISTANCE))
        self.max_distance = known[1] if max_distance is None else max_distance
        self._model = model
        self._timeout = timeout
        self._most = batch_size
        """Texts to a request: fewer than `batch_size` once the server has found that too many."""
        self._connection = connect(api_key=api_key, base_url=base_url, timeout=timeout, names=_NAMES)
        # A server that does not know how to cut, or gives text for base64, is taken as it is: the vectors are checked.
        self._optional = OptionalParameters("dimensions", "encoding_format")

    async def embed_documents(self, texts: Sequence[str]) -> Vectors:
        """At most `batch_size` texts, none blank -> float32 array of shape (len(texts), dimensions), rows of length 1.

        Raises `ProviderError`, and ValueError for what the vendor would refuse as a whole.
        """
        if not texts:
            return np.empty((0, self.dimensions), dtype=np.float32)
        check_texts(texts, self.batch_size)
        rows: list[Vectors] = []
        while len(rows) < len(texts):
            some = texts[len(rows) : len(rows) + self._most]
            try:
                rows += await self._embed(some)
            except ProviderError as error:
                if error.code is not ErrorCode.CONTEXT_TOO_LONG or len(some) == 1:
                    raise
                # Servers limit a request's texts, or the tokens of all of them, and each has limits of its own.
                self._most = len(some) // 2
                _log.warning("embedding_batch_halved", model=self._model, texts=self._most)
        return unit_rows(rows, count=len(texts), dimensions=self.dimensions, model=self._model)

    async def embed_query(self, text: str) -> Vectors:
        """One question -> float32 array of shape (dimensions,), length 1. Raises `ProviderError`."""
        row: Vectors = (await self.embed_documents((text,)))[0]
        return row

    async def check_model(self) -> None:
        """For start-up. Raises `ConfigurationError` when key or model are no good; warns when that is not clear."""
        await self._connection.check_model("models", self._model)

    async def aclose(self) -> None:
        """End running calls and close the connections. Safe to call twice."""
        await self._connection.aclose()

    async def _embed(self, texts: Sequence[str]) -> list[Vectors]:
        body: dict[str, Any] = {"model": self._model, "input": list(texts), "encoding_format": "base64"}
        if self.dimensions != _own_dimensions(self._model):
            body["dimensions"] = self.dimensions
        most_bytes = (len(texts) + 1) * _MOST_DIMENSIONS * _NUMBER_BYTES
        while True:
            accepted = self._optional.accepted(body, self._model)
            try:
                received = await self._connection.call(
                    "embeddings", accepted, self._model, seconds=self._timeout, most_bytes=most_bytes
                )
            except RefusedError as refusal:
                if self._optional.left_out(refusal.received, self._model):
                    continue
                status, code = refusal.received.status, refusal.received.code
                _log.info("provider_refused", provider="openai", model=self._model, status=status, code=code)
                raise _told(refusal.error) from None
            rows = _rows(received, len(texts))
            self._check_sizes(rows)
            usage = received.get("usage")
            tokens = count_in(usage, "prompt_tokens") if isinstance(usage, dict) else None
            _log.info("embedded", provider="openai", model=self._model, texts=len(texts), tokens=tokens)
            return rows

    def _check_sizes(self, rows: Sequence[Vectors]) -> None:
        sizes = {row.shape[0] for row in rows}
        if len(sizes) == 1 and (size := sizes.pop()) != self.dimensions:
            # Not a mishap: the model is another one than the setting has in mind.
            _log.warning("vectors_misshapen", model=self._model, asked=self.dimensions, received=size)
            raise ProviderError(
                ErrorCode.PROVIDER_BAD_RESPONSE,
                f"The embedding model gives {size} numbers for a text, and {self.dimensions} were expected. "
                "Set OPENAI_EMBEDDING_DIMENSIONS to what it gives.",
                retryable=False,
            )


def _rows(received: dict[str, Any], count: int) -> list[Vectors]:
    """The vectors in the order of the texts. Raises PROVIDER_BAD_RESPONSE."""
    data = received.get("data")
    if not isinstance(data, list) or len(data) != count:
        raise failures.unreadable()
    rows: dict[int, Vectors] = {}
    for place, item in enumerate(data):
        if not isinstance(item, dict):
            raise failures.unreadable()
        index = item.get("index", place)
        if type(index) is not int or not 0 <= index < count or index in rows:
            raise failures.unreadable()
        rows[index] = _vector(item.get("embedding"))
    return [rows[index] for index in range(count)]


def _vector(value: object) -> Vectors:
    """A vector as base64 of little-endian float32, or as a list of numbers."""
    try:
        if isinstance(value, str):
            return np.frombuffer(base64.b64decode(value, validate=True), dtype="<f4").astype(np.float32)
        if isinstance(value, list):
            with np.errstate(over="ignore"):
                row = np.array(value, dtype=np.float32)
            if row.ndim == 1:
                return row
    except (binascii.Error, ValueError, TypeError, OverflowError):
        pass
    raise failures.unreadable()


def _told(error: ProviderError) -> ProviderError:
    if error.code is not ErrorCode.CONTEXT_TOO_LONG:
        return error
    return ProviderError(error.code, "A text is longer than the embedding model reads.", retryable=False)


def _own_dimensions(model: str) -> int | None:
    known = _MODELS.get(_untagged(model))
    return None if known is None else known[0]


def _untagged(model: str) -> str:
    return model.partition(":")[0]
