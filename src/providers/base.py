"""The provider interfaces. A provider is made once per process and used by many answers at once."""

from __future__ import annotations

import enum
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol
from uuid import UUID

import numpy as np
import numpy.typing as npt


class StopReason(enum.Enum):
    """Why the model stopped, in one vocabulary for all vendors."""

    COMPLETE = "COMPLETE"
    LENGTH = "LENGTH"
    CONTENT_FILTERED = "CONTENT_FILTERED"


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One turn as the model sees it."""

    role: Literal["user", "assistant"]
    text: str


@dataclass(frozen=True, slots=True)
class ContextPassage:
    """A passage that the answer may use; the model cites it as `[number]`, counted from 1 in the order given."""

    number: int
    document_name: str
    page: int | None
    text: str


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """What is asked of a model.

    `system` and `messages` are the rendered prompt (the last message is the user's, with context and question);
    `question` and `passages` are its structured source, for a provider that works on them directly.
    """

    model: str
    temperature: float
    system: str
    messages: tuple[ChatMessage, ...]
    question: str
    passages: tuple[ContextPassage, ...]


@dataclass(frozen=True, slots=True)
class TextDelta:
    """A piece of the answer, never empty."""

    text: str


@dataclass(frozen=True, slots=True)
class ChatThinking:
    """The model is at work on what is no text of its answer: a sign of life."""


@dataclass(frozen=True, slots=True)
class ChatFinished:
    """The last event of a stream. Token counts as the vendor counts them; None where it does not say."""

    stop_reason: StopReason
    input_tokens: int | None
    output_tokens: int | None


ChatEvent = TextDelta | ChatThinking | ChatFinished


class ChatProvider(Protocol):
    """Streams one answer."""

    name: str
    default_model: str
    highest_temperature: float = 2.0
    """The lowest is 0."""

    def stream(self, request: ChatRequest) -> AsyncGenerator[ChatEvent, None]:
        """Yield text as it comes and end with exactly one `ChatFinished`.

        Closing the iterator (`aclose`) or cancelling its task ends the vendor's call. Raises `ProviderError`,
        also after some text has been yielded.
        """
        ...

    async def count_tokens(self, text: str, *, model: str) -> int | None:
        """The text's tokens, as the model ("" for the default one) counts them; None where the provider has no counter.

        Raises `ProviderError`.
        """
        return None

    async def has_model(self, model: str) -> bool | None:
        """Whether the provider has it for this key; None where nobody can tell now.

        Raises `ProviderError` PROVIDER_AUTH where the key is refused.
        """
        return None

    async def aclose(self) -> None:
        """Release connections and threads. Safe to call twice."""
        ...


class EmbeddingProvider(Protocol):
    """Turns text into unit vectors.

    `model_id` names the vector space and is stored beside each vector; `max_distance` is the cosine distance
    (0 same direction, 2 opposite) above which a passage does not count as relevant in this space.
    """

    model_id: str
    dimensions: int
    batch_size: int
    max_distance: float

    async def embed_documents(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """At most `batch_size` texts -> float32 array of shape (len(texts), dimensions), rows of length 1.

        Raises `ProviderError`.
        """
        ...

    async def embed_query(self, text: str) -> npt.NDArray[np.float32]:
        """One question -> float32 array of shape (dimensions,), length 1. Raises `ProviderError`."""
        ...

    async def aclose(self) -> None:
        """Release connections and threads. Safe to call twice."""
        ...


class RerankProvider(Protocol):
    """Judges passages beside a question, more closely than vectors can."""

    async def rerank(self, question: str, texts: Sequence[str], *, tenant_id: UUID) -> list[float]:
        """A score for each text, in their order; higher is better, and only the order means something.

        `tenant_id` says whose they are: what is remembered of them serves nobody else.
        Raises `ProviderError`.
        """
        ...

    async def aclose(self) -> None:
        """Release connections. Safe to call twice."""
        ...
