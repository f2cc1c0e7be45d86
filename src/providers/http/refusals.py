"""What a server's error means, whoever's it is: read from its status, its headers and its body.

The texts that are looked for are those of OpenAI, Azure, vLLM, llama.cpp, Ollama and Anthropic.
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
from providers import failures

_TOO_LONG = re.compile(
    r"context_length_exceeded|exceed_context_size|maximum context length|context (length|size|window|limit)"
    r"|prompt is too long|too many tokens|reduce the length",
    re.IGNORECASE,
)
_FILTERED = re.compile(r"content_filter|content_policy|content management policy|content filtering", re.IGNORECASE)
_USED_UP = re.compile(r"insufficient_quota|billing_error|credit balance", re.IGNORECASE)
_NO_MODEL = re.compile(r"model", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Names:
    """What a provider is called in logs, and its settings in what an operator is told."""

    provider: str
    key: str
    base_url: str
    model: str


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


class RefusedError(Exception):
    """The server answered with an error: `received` is what it said, `error` what it means to a client."""

    def __init__(self, received: Refusal, model: str, names: Names) -> None:
        super().__init__(received.status)
        self.received = received
        self.error = refused(received, model, names)


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


def refused(received: Refusal, model: str, names: Names) -> ProviderError:
    """The error for a client."""
    status = received.status
    if status in (401, 403):
        return failures.bad_key()
    if status < 500 and _USED_UP.search(received.words):
        return failures.used_up()
    if status == 429 or (not status and "rate_limit" in received.words):
        return failures.rate_limited(received.retry_after)
    if status == 413 or (status < 500 and _TOO_LONG.search(received.words)):
        return failures.too_long()
    if status < 500 and _FILTERED.search(received.words):
        return failures.filtered()
    if status == 404 or "model_not_found" in received.code:
        return _not_found(received, model, names)
    if status in (408, 504):
        return failures.timed_out()
    if status >= 500 or status in (0, 409, 425):
        return failures.unavailable(received.retry_after)
    if 300 <= status < 400:
        # A key must not follow wherever a server points.
        return ProviderError(
            ErrorCode.PROVIDER_UNAVAILABLE,
            f"The AI provider has moved: {names.base_url} is not its address any more.",
            retryable=False,
        )
    return failures.not_accepted()


def names_model(received: Refusal) -> bool:
    """Whether a 404 is about the model, and not about the address."""
    return _NO_MODEL.search(received.words) is not None


def _not_found(received: Refusal, model: str, names: Names) -> ProviderError:
    if names_model(received):
        return ProviderError(
            ErrorCode.PROVIDER_BAD_RESPONSE,
            f"The AI provider has no model {model!r}. Choose another, or set {names.model} to one that it has.",
            retryable=False,
        )
    return ProviderError(
        ErrorCode.PROVIDER_UNAVAILABLE,
        f"There is no such model's service at the AI provider's address. Check {names.base_url}.",
        retryable=False,
    )


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
