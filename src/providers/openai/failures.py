"""What a failed call to an OpenAI-compatible server means to the person who waits for it. The server's text stays out.

The texts that are looked for are those of OpenAI, Azure, vLLM, llama.cpp and Ollama.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

import orjson

from core.errors import ErrorCode, ProviderError

_TOO_LONG = re.compile(
    r"context_length_exceeded|exceed_context_size|maximum context length|context (length|size|window)"
    r"|prompt is too long|too many tokens|reduce the length",
    re.IGNORECASE,
)
_FILTERED = re.compile(r"content_filter|content_policy|content management policy", re.IGNORECASE)
_NO_MODEL = re.compile(r"model", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error as received: its HTTP status (0 inside a stream), and what its body says."""

    status: int
    code: str = ""
    detail: str = ""
    parameter: str = ""
    retry_after: float | None = None
    """Seconds that the server wants to be left alone."""

    keys: frozenset[str] = frozenset()
    """The names in the outermost object, where there is one."""

    @property
    def words(self) -> str:
        """All that may tell what it is about."""
        return f"{self.code} {self.detail}"


def refusal(status: int, body: bytes, headers: Mapping[str, str]) -> Refusal:
    """Read an error response, whatever its body is."""
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError:
        content = body[:1_000].decode("utf-8", "replace")
    return refusal_of(content, status, _retry_after(headers))


def refusal_of(content: Any, status: int = 0, retry_after: float | None = None) -> Refusal:
    """Read an error's JSON: `{"error": {…}}`, `{"error": "…"}`, `{"detail": …}`, the error itself, or anything."""
    keys = frozenset(content) if isinstance(content, dict) else frozenset()
    error = content.get("error", content) if isinstance(content, dict) else content
    if not isinstance(error, dict):
        return Refusal(status, detail=str(error), retry_after=retry_after, keys=keys)
    code = error.get("code")
    if not status and isinstance(code, int) and 400 <= code < 600:
        status = code
    return Refusal(
        status,
        code=f"{code or ''} {error.get('type') or ''}",
        detail=str(error.get("message") or error.get("detail") or ""),
        parameter=str(error.get("param") or ""),
        retry_after=retry_after,
        keys=keys,
    )


def refused(received: Refusal, model: str) -> ProviderError:
    """The error for a client."""
    status = received.status
    if status in (401, 403):
        return _error(ErrorCode.PROVIDER_AUTH, "The AI provider refused this deployment's key.")
    if status == 429 or (not status and "rate_limit" in received.words):
        return _rate_limited(received)
    if status == 413 or (status < 500 and _TOO_LONG.search(received.words)):
        return _error(
            ErrorCode.CONTEXT_TOO_LONG,
            "The question with its context is longer than the model can read. Ask more briefly, "
            "or start a new conversation.",
        )
    if status < 500 and _FILTERED.search(received.words):
        return _error(ErrorCode.CONTENT_FILTERED, "The AI provider's filter refused this question.")
    if status == 404 or "model_not_found" in received.code:
        return _not_found(received, model)
    if status in (408, 504):
        return _error(ErrorCode.TIMED_OUT, "The AI provider did not answer in time. Try again.", retryable=True)
    if status >= 500 or status in (0, 409, 425):
        return unavailable(received.retry_after)
    if 300 <= status < 400:
        # A key must not follow wherever a server points.
        return _error(
            ErrorCode.PROVIDER_UNAVAILABLE, "The AI provider has moved: OPENAI_BASE_URL is not its address any more."
        )
    return _error(ErrorCode.PROVIDER_BAD_RESPONSE, "The AI provider did not accept the request.")


def names_model(received: Refusal) -> bool:
    """Whether a 404 is about the model, and not about the address."""
    return _NO_MODEL.search(received.words) is not None


def unavailable(retry_after: float | None = None) -> ProviderError:
    """Nobody answers there, the connection broke, or the server is in trouble."""
    return _error(
        ErrorCode.PROVIDER_UNAVAILABLE,
        "The AI provider is not available at the moment. Try again.",
        retryable=True,
        retry_after=retry_after,
    )


def unreadable() -> ProviderError:
    """The answer is empty, cut off or not what the protocol says."""
    return _error(
        ErrorCode.PROVIDER_BAD_RESPONSE, "The AI provider's answer could not be read. Try again.", retryable=True
    )


def _rate_limited(received: Refusal) -> ProviderError:
    if "insufficient_quota" in received.words:
        return _error(ErrorCode.PROVIDER_RATE_LIMITED, "The AI provider's quota for this deployment is used up.")
    return _error(
        ErrorCode.PROVIDER_RATE_LIMITED,
        "The AI provider's limit for this deployment is reached. Try again later.",
        retryable=True,
        retry_after=received.retry_after,
    )


def _not_found(received: Refusal, model: str) -> ProviderError:
    if names_model(received):
        return _error(
            ErrorCode.PROVIDER_BAD_RESPONSE,
            f"The AI provider has no model {model!r}. Set OPENAI_CHAT_MODEL to one that it has.",
        )
    return _error(
        ErrorCode.PROVIDER_UNAVAILABLE, "There is no chat model at the AI provider's address. Check OPENAI_BASE_URL."
    )


def _error(
    code: ErrorCode, message: str, *, retryable: bool = False, retry_after: float | None = None
) -> ProviderError:
    return ProviderError(code, message, retryable=retryable, retry_after=retry_after)


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds, from `retry-after-ms` (OpenAI) or `Retry-After` (seconds or a date)."""
    milliseconds, text = headers.get("retry-after-ms"), headers.get("retry-after")
    try:
        if milliseconds is not None:
            return max(0.0, float(milliseconds) / 1000)
        if text is None:
            return None
        if text.strip().replace(".", "", 1).isdigit():
            return float(text)
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None
