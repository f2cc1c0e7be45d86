"""The error vocabulary shared by every layer, and the few exceptions that cross layers."""

from __future__ import annotations

import enum


class ErrorCode(enum.Enum):
    """What went wrong, in words that a client may act on (`ErrorCode` in the schema)."""

    NOT_FOUND = "NOT_FOUND"
    INVALID_INPUT = "INVALID_INPUT"
    CONFLICT = "CONFLICT"
    IDEMPOTENCY_CONFLICT = "IDEMPOTENCY_CONFLICT"
    DUPLICATE = "DUPLICATE"
    RATE_LIMITED = "RATE_LIMITED"
    INSUFFICIENT_CREDITS = "INSUFFICIENT_CREDITS"
    QUOTA_EXCEEDED = "QUOTA_EXCEEDED"
    INVALID_CREDENTIALS = "INVALID_CREDENTIALS"
    TOO_LARGE = "TOO_LARGE"
    UNSUPPORTED_TYPE = "UNSUPPORTED_TYPE"
    ENCRYPTED = "ENCRYPTED"
    NO_TEXT = "NO_TEXT"
    EMPTY = "EMPTY"
    CORRUPT = "CORRUPT"
    TOO_MANY_PAGES = "TOO_MANY_PAGES"
    TIMED_OUT = "TIMED_OUT"
    CANCELLED = "CANCELLED"
    PROVIDER_AUTH = "PROVIDER_AUTH"
    PROVIDER_RATE_LIMITED = "PROVIDER_RATE_LIMITED"
    PROVIDER_UNAVAILABLE = "PROVIDER_UNAVAILABLE"
    PROVIDER_BAD_RESPONSE = "PROVIDER_BAD_RESPONSE"
    CONTEXT_TOO_LONG = "CONTEXT_TOO_LONG"
    CONTENT_FILTERED = "CONTENT_FILTERED"
    INTERRUPTED = "INTERRUPTED"
    INTERNAL = "INTERNAL"


class ConfigurationError(Exception):
    """A setting is missing or wrong. The message names the setting and says what to do; it is shown at start-up."""


class FailureError(Exception):
    """A failure that is recorded and shown to a client: `message` is written for the client, never an internal text."""

    def __init__(self, code: ErrorCode, message: str, *, retryable: bool = False) -> None:
        super().__init__(f"{code.value}: {message}")
        self.code = code
        self.message = message
        self.retryable = retryable


class ProviderError(FailureError):
    """A provider refused, broke off or answered nonsense. `retry_after` is in seconds where the provider said so."""

    def __init__(self, code: ErrorCode, message: str, *, retryable: bool, retry_after: float | None = None) -> None:
        super().__init__(code, message, retryable=retryable)
        self.retry_after = retry_after


class DocumentError(FailureError):
    """A document cannot be read: ENCRYPTED, NO_TEXT, EMPTY, CORRUPT, TOO_LARGE, TOO_MANY_PAGES, TIMED_OUT …"""


class RequestErrorCode(enum.Enum):
    """`extensions.code` of a top-level GraphQL error."""

    UNAUTHENTICATED = "UNAUTHENTICATED"
    FORBIDDEN = "FORBIDDEN"
    BAD_USER_INPUT = "BAD_USER_INPUT"
    GRAPHQL_PARSE_FAILED = "GRAPHQL_PARSE_FAILED"
    GRAPHQL_VALIDATION_FAILED = "GRAPHQL_VALIDATION_FAILED"
    LIMIT_EXCEEDED = "LIMIT_EXCEEDED"
    RATE_LIMITED = "RATE_LIMITED"
    PERSISTED_QUERY_NOT_FOUND = "PERSISTED_QUERY_NOT_FOUND"
    PERSISTED_QUERY_ONLY = "PERSISTED_QUERY_ONLY"
    INTERNAL = "INTERNAL"


class RequestError(Exception):
    """A request that a correct client would not have made, or may not make. The message is shown to the client."""

    def __init__(self, code: RequestErrorCode, message: str, *, retry_after_ms: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retry_after_ms = retry_after_ms

    def extensions(self, request_id: str) -> dict[str, object]:
        """What a client's program reads of it."""
        found: dict[str, object] = {"code": self.code.value, "requestId": request_id}
        return found if self.retry_after_ms is None else found | {"retryAfterMs": self.retry_after_ms}

    @classmethod
    def unauthenticated(cls, message: str = "Sign in first.") -> RequestError:
        """Nobody is signed in, or the token is no good."""
        return cls(RequestErrorCode.UNAUTHENTICATED, message)

    @classmethod
    def forbidden(cls, message: str) -> RequestError:
        """The person's role does not allow it."""
        return cls(RequestErrorCode.FORBIDDEN, message)

    @classmethod
    def rate_limited(cls, message: str, retry_after_ms: int) -> RequestError:
        """Too many requests; the same would be admitted after so many milliseconds."""
        return cls(RequestErrorCode.RATE_LIMITED, message, retry_after_ms=retry_after_ms)

    @classmethod
    def bad_input(cls, message: str) -> RequestError:
        """An argument that no correct client sends."""
        return cls(RequestErrorCode.BAD_USER_INPUT, message)


class ResponseTooLargeError(RequestError):
    """What has been asked for has more text than a response may have: the operation fails as a whole."""

    def __init__(self) -> None:
        super().__init__(RequestErrorCode.LIMIT_EXCEEDED, "The response is too large.")
