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
    PROVIDER_KEY = "pky"
    PROMPT = "prm"
    AUDIT_ENTRY = "aud"


class ListKind(enum.Enum):
    """Which list a keyset cursor belongs to; the value is the cursor's first part."""

    ASSISTANTS = "assistants"
    CONVERSATIONS = "conversations"
    DOCUMENTS = "documents"
    MESSAGES = "messages"
    MEMBERS = "members"
    SESSIONS = "sessions"
    API_KEYS = "api-keys"
    TENANTS = "tenants"
    INVITATIONS = "invitations"
    AUDIT_LOG = "audit-log"
    PROMPTS = "prompts"
    PROMPT_VERSIONS = "prompt-versions"


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
        raise InvalidIdError("This is not an id of this API.")
    try:
        return kind, UUID(hex=rest)
    except ValueError:
        raise InvalidIdError("This is not an id of this API.") from None


def parse_id(kind: NodeKind, text: str) -> UUID:
    """The UUID of an opaque id of that kind. Raises `InvalidIdError` for another kind or a malformed id."""
    found, value = parse_global(text)
    if found is not kind:
        raise InvalidIdError("This is the id of another kind of object than is asked for here.")
    return value


def cursor_of_time(kind: ListKind, moment: datetime, value: UUID) -> str:
    """The cursor of a row in a list of that kind that is ordered by a time and then the id. Opaque to clients."""
    # Microseconds since 1970, exactly: a float of seconds would lose the last digit.
    delta = moment - _EPOCH
    return _cursor(kind, (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds, value)


def cursor_of_message(conversation_id: UUID, sequence: int) -> str:
    """The cursor of a message in its conversation's list. Opaque to clients."""
    return _cursor(ListKind.MESSAGES, sequence, conversation_id)


def parse_time_cursor(kind: ListKind, cursor: str) -> tuple[datetime, UUID]:
    """Time and id of a cursor that a list of that kind gave out. Raises `InvalidIdError` for any other."""
    number, value = _parsed_cursor(kind, cursor)
    try:
        return _EPOCH + timedelta(microseconds=number), value
    except OverflowError:
        raise _not_a_cursor() from None


def parse_message_cursor(conversation_id: UUID, cursor: str) -> int:
    """The message's number, up to 2**31 - 1, of a cursor of that conversation. Raises `InvalidIdError` for others."""
    number, found = _parsed_cursor(ListKind.MESSAGES, cursor)
    if found != conversation_id or not 0 <= number < 2**31:
        raise _not_a_cursor()
    return number


def _cursor(kind: ListKind, number: int, value: UUID) -> str:
    return base64.urlsafe_b64encode(f"{kind.value}|{number}|{value.hex}".encode()).decode().rstrip("=")


def _parsed_cursor(kind: ListKind, cursor: str) -> tuple[int, UUID]:
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        _, number, value = raw.decode().split("|")
        parts = int(number), UUID(hex=value)
    except (binascii.Error, UnicodeError, ValueError):
        raise _not_a_cursor() from None
    # int() and UUID() take more than we ever write, such as `1_0`: only what we would write again is ours.
    if _cursor(kind, *parts) != cursor:
        raise _not_a_cursor()
    return parts


def _not_a_cursor() -> InvalidIdError:
    return InvalidIdError("This is not a cursor of this connection.")
