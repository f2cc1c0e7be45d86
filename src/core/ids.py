"""Identifiers: UUIDv7 inside, opaque typed ids (`doc_0198…`) outside, and keyset cursors."""

from __future__ import annotations

import base64
import binascii
import enum
from datetime import UTC, datetime, timedelta
from typing import NewType
from uuid import UUID

import uuid_utils.compat

TenantId = NewType("TenantId", UUID)


class InvalidIdError(ValueError):
    """An id or cursor that this API never gave out. The message may be shown to the client."""


class NodeKind(enum.Enum):
    """What an opaque id names; the value is the id's prefix and never changes."""

    TENANT = "ten"
    USER = "usr"
    ASSISTANT = "ast"
    DOCUMENT = "doc"
    CHUNK = "chk"
    CONVERSATION = "cnv"
    MESSAGE = "msg"
    ANSWER = "ans"
    SESSION = "ses"
    API_KEY = "key"
    INVITATION = "inv"
    AUDIT_ENTRY = "aud"


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_BY_PREFIX = {kind.value: kind for kind in NodeKind}


def new_id() -> UUID:
    """A new UUIDv7 (RFC 9562): sorts by creation time to the millisecond."""
    return uuid_utils.compat.uuid7()


def to_global(kind: NodeKind, value: UUID) -> str:
    """The opaque id that clients see."""
    return f"{kind.value}_{value.hex}"


def parse_global(text: str) -> tuple[NodeKind, UUID]:
    """Kind and UUID of an opaque id. Raises `InvalidIdError` for anything this API never gave out."""
    prefix, _, rest = text.partition("_")
    kind = _BY_PREFIX.get(prefix)
    if kind is None or len(rest) != 32 or not rest.isascii() or not rest.isalnum() or rest != rest.lower():
        raise InvalidIdError(f"{_shown(text)} is not an id of this API.")
    try:
        return kind, UUID(hex=rest)
    except ValueError:
        raise InvalidIdError(f"{_shown(text)} is not an id of this API.") from None


def parse_id(kind: NodeKind, text: str) -> UUID:
    """The UUID of an opaque id of that kind. Raises `InvalidIdError` for another kind or a malformed id."""
    found, value = parse_global(text)
    if found is not kind:
        raise InvalidIdError(f"{_shown(text)} is the id of another kind of object than asked for here.")
    return value


def encode_cursor(*parts: str | int | datetime | UUID) -> str:
    """A keyset cursor: the sort key of one row, opaque to clients."""
    return base64.urlsafe_b64encode("|".join(map(_part, parts)).encode()).decode().rstrip("=")


def decode_cursor(cursor: str, count: int) -> list[str]:
    """The `count` parts of a keyset cursor, as text. Raises `InvalidIdError` when it is not one of ours."""
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        parts = raw.decode().split("|")
    except (binascii.Error, UnicodeError, ValueError):
        parts = []
    if len(parts) != count:
        raise InvalidIdError(f"{_shown(cursor)} is not a cursor of this connection.")
    return parts


def cursor_time_and_id(cursor: str) -> tuple[datetime, UUID]:
    """The parts of a cursor over (timestamp, id). Raises `InvalidIdError`."""
    time, value = decode_cursor(cursor, 2)
    try:
        return _EPOCH + timedelta(microseconds=int(time)), UUID(hex=value)
    except (ValueError, OverflowError):
        raise InvalidIdError(f"{_shown(cursor)} is not a cursor of this connection.") from None


def cursor_number(cursor: str) -> int:
    """The part of a cursor over one whole number (up to 2**31 - 1). Raises `InvalidIdError`."""
    (number,) = decode_cursor(cursor, 1)
    if not number.isascii() or not number.isdigit() or len(number) > 10 or int(number) > 2**31 - 1:
        raise InvalidIdError(f"{_shown(cursor)} is not a cursor of this connection.")
    return int(number)


def _part(part: str | int | datetime | UUID) -> str:
    if isinstance(part, datetime):
        # Microseconds since 1970, exactly: a float of seconds would lose the last digit.
        delta = part - _EPOCH
        return str((delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds)
    return part.hex if isinstance(part, UUID) else str(part)


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")
