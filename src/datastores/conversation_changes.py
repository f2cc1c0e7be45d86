"""What has happened in a conversation since a place in its history: read from the versions that changed rows carry.

Versions are committed in their order (see `Conversation.version`), so whoever has read everything up to one misses
nothing below it. A row that changes again moves to its newest version: what comes of it is how it stands now.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

import sqlalchemy as sa

from core.ids import InvalidIdError
from datastores.models import Answer, Conversation, Message
from datastores.records import AnswerRecord, ConversationRecord, MessageRecord, select_record, table
from datastores.transactions import Reads

MOST_CHANGES = 200
"""Messages, or answers, that are sent one by one; whoever has missed more gets a snapshot."""
SNAPSHOT_MESSAGES = 100
_conversations, _messages, _answers = table(Conversation), table(Message), table(Answer)
_NOBODY = UUID(int=0)
_ADDED, _CHANGED, _UPDATED, _ALL = 1, 2, 3, 4
"""The order of the changes of one version, and the place behind all of them."""


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A place in a conversation's history: behind one change of a version."""

    version: int
    rank: int
    id: UUID


@dataclass(slots=True)
class Snapshot:
    """The conversation with its newest messages, oldest first."""

    conversation: ConversationRecord
    messages: list[MessageRecord]
    has_earlier: bool


@dataclass(slots=True)
class Deleted:
    """There is no such conversation any more."""

    conversation_id: UUID


@dataclass(slots=True)
class Change:
    """One event: a message that was added, an answer or a conversation that was changed, or one of the above."""

    place: Place
    body: Snapshot | MessageRecord | AnswerRecord | ConversationRecord | Deleted


def encode_place(conversation_id: UUID, place: Place) -> str:
    """The cursor that clients see."""
    return f"{conversation_id.hex}.{place.version}.{place.rank}.{place.id.hex}"


def decode_place(text: str) -> tuple[UUID, Place]:
    """The conversation and the place that a cursor names. Raises `InvalidIdError` when it is not one of ours."""
    try:
        conversation, version, rank, id = text.split(".")
        decoded = UUID(hex=conversation), Place(int(version), int(rank), UUID(hex=id))
    except ValueError:
        decoded = None
    # int() and UUID() take more than we ever write.
    if decoded is None or encode_place(*decoded) != text or decoded[1].version >= 2**63:
        raise InvalidIdError("`after` is not a cursor of a conversation.")
    return decoded


class History:
    """Reads one person's conversation from a place on. Each look is one statement, or three where something is new."""

    def __init__(self, owner_id: UUID, conversation_id: UUID, place: Place | None) -> None:
        self._owner_id = owner_id
        self._id = conversation_id
        self._place = place

    async def news(self, reads: Reads) -> list[Change]:
        """What has happened since the last look, in order; a snapshot where that cannot be told."""
        found = await reads.rows(self._conversation(reads))
        if not found:
            return [Change(self._place or Place(0, _ALL, _NOBODY), Deleted(self._id))]
        *columns, version, updated_version = found[0]
        conversation = ConversationRecord(*columns)
        end = Place(version, _ALL, _NOBODY)
        changes = None
        if self._place is not None and self._place <= end:
            changes = [] if self._place == end else await self._changes(reads, self._place, version)
        if changes is None:
            changes = [Change(end, await self._snapshot(reads, conversation, version))]
        elif self._place is not None and Place(updated_version, _UPDATED, self._id) > self._place:
            changes.append(Change(Place(updated_version, _UPDATED, self._id), conversation))
        self._place = end
        return sorted(changes, key=lambda change: change.place)

    def _conversation(self, reads: Reads) -> sa.Select[tuple[object, ...]]:
        return (
            select_record(ConversationRecord)
            .add_columns(_conversations.c.version, _conversations.c.updated_version)
            .where(
                _conversations.c.tenant_id == reads.tenant_id,
                _conversations.c.id == self._id,
                _conversations.c.owner_id == self._owner_id,
            )
        )

    async def _changes(self, reads: Reads, after: Place, version: int) -> list[Change] | None:
        """Messages and answers behind a place, up to a version; None: too many."""
        found: list[Change] = []
        for record, columns, rank in ((MessageRecord, _messages.c, _ADDED), (AnswerRecord, _answers.c, _CHANGED)):
            statement = (
                select_record(record)
                .add_columns(columns.version)
                .where(
                    columns.tenant_id == reads.tenant_id,
                    columns.conversation_id == self._id,
                    columns.version.between(after.version, version),
                )
                .limit(MOST_CHANGES + 1)
            )
            rows = await reads.rows(statement)
            if len(rows) > MOST_CHANGES:
                return None
            for *values, changed in rows:
                body: MessageRecord | AnswerRecord = record(*values)
                found.append(Change(Place(changed, rank, body.id), body))
        return [change for change in found if change.place > after]

    async def _snapshot(self, reads: Reads, conversation: ConversationRecord, version: int) -> Snapshot:
        statement = (
            select_record(MessageRecord)
            .where(
                _messages.c.tenant_id == reads.tenant_id,
                _messages.c.conversation_id == self._id,
                # What came since the conversation was read comes as an event.
                _messages.c.version <= version,
            )
            .order_by(_messages.c.sequence.desc())
            .limit(SNAPSHOT_MESSAGES + 1)
        )
        newest = await reads.records(MessageRecord, statement)
        return Snapshot(conversation, newest[:SNAPSHOT_MESSAGES][::-1], len(newest) > SNAPSHOT_MESSAGES)
