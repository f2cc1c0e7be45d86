"""Errors as values: what a correct client can run into in the course of its work."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from core.errors import ErrorCode
from datastores.answer_slots import SLOTS
from datastores.rates import Refusal
from datastores.records import DocumentRecord

_TOO_MANY = {
    # An address and an account in the same words: which of them it was is nobody's business.
    "sign-in": "Too many attempts to sign in.",
    "sign-in-account": "Too many attempts to sign in.",
    "change-password": "Too many attempts to change the password.",
    "sign-up": "Too many organisations were founded from here.",
    "sockets": "Too many sockets have been opened from this address.",
    "uploads": "Too many uploads.",
    "mails": "Too many mails.",
    "mails-to": "Too many mails to this address.",
    SLOTS: "Your organisation has as many answers being written as it may have at once.",
}
"""By the limit's name; of the others it is requests that there were too many of."""


@dataclass(frozen=True, slots=True)
class NotFound:
    """Missing, or another tenant's: the answer is the same."""

    message: str
    code: ErrorCode = ErrorCode.NOT_FOUND

    @classmethod
    def of(cls, what: str) -> NotFound:
        return cls(f"There is no such {what}.")


@dataclass(frozen=True, slots=True)
class InvalidInput:
    """A field that cannot be accepted; `field` is its name in the input."""

    message: str
    field: str | None
    code: ErrorCode = ErrorCode.INVALID_INPUT


@dataclass(frozen=True, slots=True)
class Conflict:
    """What was asked for contradicts what is there."""

    message: str
    code: ErrorCode = ErrorCode.CONFLICT


@dataclass(frozen=True, slots=True)
class IdempotencyConflict:
    """The key was used before, for something else."""

    message: str
    code: ErrorCode = ErrorCode.IDEMPOTENCY_CONFLICT


@dataclass(frozen=True, slots=True)
class InvalidCredentials:
    """No such account, or not its password: the answer is the same."""

    message: str
    code: ErrorCode = ErrorCode.INVALID_CREDENTIALS


@dataclass(frozen=True, slots=True)
class RateLimited:
    """It came too often; the same would be admitted after so many milliseconds. Nothing was done."""

    message: str
    retry_after_ms: int
    code: ErrorCode = ErrorCode.RATE_LIMITED

    @classmethod
    def of(cls, refusal: Refusal) -> RateLimited:
        seconds = refusal.retry_after_seconds
        when = "Try again in a second." if seconds <= 1 else f"Try again in {seconds} seconds."
        return cls(f"{_TOO_MANY.get(refusal.limit, 'Too many requests.')} {when}", refusal.retry_after_ms)


class QuotaKind(enum.Enum):
    """What an organisation may keep so much of."""

    DOCUMENTS = "DOCUMENTS"
    BYTES = "BYTES"


@dataclass(frozen=True, slots=True)
class QuotaExceeded:
    """It would be more than the organisation may keep; `actual` is what it would have then. Nothing was kept."""

    message: str
    quota: QuotaKind
    limit: int
    actual: int
    code: ErrorCode = ErrorCode.QUOTA_EXCEEDED

    @classmethod
    def of(cls, quota: QuotaKind, limit: int, actual: int) -> QuotaExceeded:
        what = quota.value.lower()
        text = f"Your organisation may keep {limit:,} {what}; with this file it would be {actual:,}."
        return cls(f"{text} Delete some first.", quota, limit, actual)


@dataclass(frozen=True, slots=True)
class UploadRejected:
    """The file cannot be accepted: TOO_LARGE, UNSUPPORTED_TYPE or EMPTY. Nothing was kept."""

    code: ErrorCode
    message: str


@dataclass(frozen=True, slots=True)
class DuplicateDocument:
    """The same bytes are there already."""

    message: str
    document: DocumentRecord
    code: ErrorCode = ErrorCode.DUPLICATE

    @classmethod
    def of(cls, copy: DocumentRecord) -> DuplicateDocument:
        return cls(f"These bytes are there already, as {copy.name!r}.", copy)
