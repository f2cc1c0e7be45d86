"""Errors as values: what a correct client can run into in the course of its work."""

from __future__ import annotations

from dataclasses import dataclass

from core.errors import ErrorCode
from datastores.records import DocumentRecord


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
