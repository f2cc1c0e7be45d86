"""What went wrong with something that outlives its request."""

from __future__ import annotations

from typing import Any

import strawberry

from schema.enums import ErrorCode


@strawberry.type(description="Why a document or an answer failed.")
class Failure:
    code: ErrorCode
    message: str = strawberry.field(description="Written for people; may be shown.")
    retryable: bool = strawberry.field(description="Whether trying again may help.")


def failure_of(record: Any) -> Failure | None:
    """The failure stored on a document or an answer, if it failed."""
    if record.failure_code is None:
        return None
    return Failure(
        code=record.failure_code, message=record.failure_message or "", retryable=bool(record.failure_retryable)
    )
