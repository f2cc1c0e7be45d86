"""The error members of the mutations' unions."""

from __future__ import annotations

import strawberry

from resolvers import results
from schema.enums import ErrorCode, QuotaKind
from schema.interfaces import UserError
from schema.records import backed_by
from schema.types.knowledge import Document


@backed_by(results.NotFound, description="Missing, or not yours: the answer is the same.")
class NotFound(UserError):
    code: ErrorCode
    message: str


@backed_by(results.InvalidInput, description="A field that cannot be accepted.")
class InvalidInput(UserError):
    code: ErrorCode
    message: str
    field: str | None = strawberry.field(description="Its name in the input.")


@backed_by(results.Conflict, description="What was asked for contradicts what is there.")
class Conflict(UserError):
    code: ErrorCode
    message: str


@backed_by(results.IdempotencyConflict, description="The idempotency key was used before, for something else.")
class IdempotencyConflict(UserError):
    code: ErrorCode
    message: str


@backed_by(results.InvalidCredentials, description="No such account, or not its password: the answer is the same.")
class InvalidCredentials(UserError):
    code: ErrorCode
    message: str


@backed_by(results.UploadRejected, description="The file cannot be accepted: TOO_LARGE, UNSUPPORTED_TYPE or EMPTY.")
class UploadRejected(UserError):
    code: ErrorCode
    message: str


@backed_by(results.DuplicateDocument, description="The same bytes are there already.")
class DuplicateDocument(UserError):
    code: ErrorCode
    message: str
    document: Document


@backed_by(
    results.QuotaExceeded,
    description="It would be more than the organisation may keep. Whatever has not been deleted counts, in any status.",
)
class QuotaExceeded(UserError):
    code: ErrorCode
    message: str
    quota: QuotaKind
    limit: float = strawberry.field(description="How many, a whole number.")
    actual: float = strawberry.field(description="How many it would be, a whole number.")


@backed_by(results.RateLimited, description="Too many requests: wait, then send again. Nothing was done.")
class RateLimited(UserError):
    code: ErrorCode
    message: str
    retry_after_ms: int = strawberry.field(description="Milliseconds to wait.")


@strawberry.type(description="The organisation's balance does not cover it.")
class InsufficientCredits(UserError):
    code: ErrorCode
    message: str
