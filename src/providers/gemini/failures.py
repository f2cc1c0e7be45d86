"""What a failed call to Gemini means to the person who waits for it. Knows gRPC's status names, not the SDK."""

from __future__ import annotations

import re
from dataclasses import dataclass

from core.errors import ErrorCode, ProviderError
from providers import failures

# The vendor's INVALID_ARGUMENT texts: "The input token count (1200000) exceeds the maximum number of tokens allowed
# (1048576)." and "Request payload size exceeds the limit: 20971520 bytes."
_TOO_LONG = re.compile(r"token count|number of tokens|payload size exceeds", re.IGNORECASE)
# A wrong key is INVALID_ARGUMENT too ("API key not valid. Please pass a valid API key."), as is an expired one.
_BAD_KEY = re.compile(r"api[ _]key\b.*\b(not valid|invalid|expired|not found)", re.IGNORECASE)
_BAD_KEY_REASONS = frozenset({"API_KEY_INVALID", "API_KEY_EXPIRED", "API_KEY_SERVICE_BLOCKED"})


@dataclass(frozen=True, slots=True)
class Asked:
    """What a call was about, for errors: the model, and the setting that names it."""

    method: str
    model: str
    setting: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """A gRPC status as received. `reason` is google.rpc.ErrorInfo's; `retry_after` is google.rpc.RetryInfo's, in s."""

    status: str
    detail: str
    reason: str | None = None
    retry_after: float | None = None


def refused(refusal: Refusal, asked: Asked) -> ProviderError:
    """The error for a client; the vendor's own text (`refusal.detail`) stays out of it."""
    match refusal.status:
        case "UNAUTHENTICATED" | "PERMISSION_DENIED":
            return failures.bad_key()
        case "INVALID_ARGUMENT":
            return _invalid(refusal)
        case "NOT_FOUND":
            return ProviderError(
                ErrorCode.PROVIDER_BAD_RESPONSE,
                f"The AI provider has no model {asked.model!r}: it never existed or is switched off. "
                f"Choose another, or set {asked.setting} to a living model.",
                retryable=False,
            )
        case "RESOURCE_EXHAUSTED":
            return failures.rate_limited(refusal.retry_after)
        case "DEADLINE_EXCEEDED":
            return failures.timed_out()
        case "FAILED_PRECONDITION" | "UNIMPLEMENTED":
            # "User location is not supported for the API use.", billing, or a gateway without this method.
            return ProviderError(
                ErrorCode.PROVIDER_UNAVAILABLE, "The AI provider does not serve this deployment.", retryable=False
            )
        case "OUT_OF_RANGE" | "ALREADY_EXISTS":
            return failures.not_accepted()
    # UNAVAILABLE, INTERNAL, UNKNOWN, ABORTED, DATA_LOSS, and CANCELLED, which nobody here asked for.
    return failures.unavailable(refusal.retry_after)


def closing() -> ProviderError:
    """This process is shutting down; another may serve the same request."""
    return ProviderError(ErrorCode.PROVIDER_UNAVAILABLE, "The AI provider's connection is closing.", retryable=True)


def _invalid(refusal: Refusal) -> ProviderError:
    if refusal.reason in _BAD_KEY_REASONS or _BAD_KEY.search(refusal.detail):
        return failures.bad_key()
    if _TOO_LONG.search(refusal.detail):
        return failures.too_long()
    return failures.not_accepted()
