"""The outbox: what is to be carried elsewhere, committed or rolled back together with its cause.

An entry is delivered at least once. Whoever claims one has it to itself for `LEASE`; the number of its attempts is the
claim's fence. A delivered entry is deleted, because mails have one-time links in them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from core.ids import TenantId, new_id
from core.mail import Mail
from datastores.models import OutboxEntry
from datastores.records import table
from datastores.transactions import PlatformTransaction, WriteTransaction

MAIL = "mail"
LEASE = timedelta(seconds=45)
"""Longer than a delivery can take: a mail is bounded at 30 s."""

_outbox = table(OutboxEntry)


@dataclass(slots=True)
class ClaimedEntry:
    """An entry and the claim on it."""

    tenant_id: UUID
    id: UUID
    payload: dict[str, Any]
    created_at: datetime
    attempts: int
    """Which attempt this is, from 1."""


@dataclass(slots=True)
class GivenUp:
    """An entry that nobody will try again."""

    id: UUID
    payload: dict[str, Any]
    last_error: str | None


async def add(
    tx: WriteTransaction | PlatformTransaction, tenant_id: TenantId, topic: str, payload: Mapping[str, Any]
) -> UUID:
    """Write an entry; its id. Nothing happens unless the transaction commits."""
    entry_id = new_id()
    values = {"tenant_id": tenant_id, "id": entry_id, "topic": topic, "payload": dict(payload)}
    await tx.execute(sa.insert(_outbox).values(values))
    return entry_id


async def add_mail(tx: WriteTransaction | PlatformTransaction, tenant_id: TenantId, mail: Mail) -> UUID:
    """Have the mail sent once the transaction has committed; call `JobQueue.deliver_mail` then. The entry's id."""
    return await add(tx, tenant_id, MAIL, asdict(mail))


async def claim(tx: PlatformTransaction, topic: str) -> ClaimedEntry | None:
    """Take the entry that has been due for longest, of whatever tenant; None when there is none that is free.

    One at a time: a worker that is killed keeps one entry waiting, and two that claim at once never wait for each
    other.
    """
    due = (
        sa.select(_outbox.c.tenant_id, _outbox.c.id)
        .where(_outbox.c.topic == topic, _outbox.c.next_try_at <= sa.func.now())
        .order_by(_outbox.c.next_try_at, _outbox.c.id)
        .limit(1)
        .with_for_update(skip_locked=True)
        .cte("due")
    )
    statement = (
        sa.update(_outbox)
        .where(_outbox.c.tenant_id == due.c.tenant_id, _outbox.c.id == due.c.id)
        .values(attempts=_outbox.c.attempts + 1, next_try_at=sa.func.now() + LEASE)
        .returning(_outbox.c.tenant_id, _outbox.c.id, _outbox.c.payload, _outbox.c.created_at, _outbox.c.attempts)
    )
    return await tx.first(ClaimedEntry, statement)


async def delivered(tx: PlatformTransaction, entry: ClaimedEntry) -> None:
    """Delete the entry, whoever has claimed it since: it has arrived."""
    await tx.execute(sa.delete(_outbox).where(*_is(entry)))


async def postpone(tx: PlatformTransaction, entry: ClaimedEntry, delay: timedelta, reason: str) -> None:
    """Try again after the delay, unless somebody else has claimed it since."""
    values = {"next_try_at": sa.func.now() + delay, "last_error": reason}
    await tx.execute(sa.update(_outbox).where(*_claimed(entry)).values(values))


async def release(tx: PlatformTransaction, entry: ClaimedEntry) -> None:
    """Give the claim back as if it had not been made."""
    values = {"next_try_at": sa.func.now(), "attempts": entry.attempts - 1}
    await tx.execute(sa.update(_outbox).where(*_claimed(entry)).values(values))


async def give_up(tx: PlatformTransaction, entry: ClaimedEntry, reason: str) -> None:
    """Never try again. What is left says what it was and why, without the text of a mail."""
    statement = sa.update(_outbox).where(*_claimed(entry)).values(last_error=reason, **_GIVEN_UP)
    await tx.execute(statement)


async def give_up_overdue(tx: PlatformTransaction, topic: str, age: timedelta) -> list[GivenUp]:
    """Give up what is older and has been tried in vain; what was never tried gets its one try."""
    overdue = (
        _outbox.c.topic == topic,
        _outbox.c.next_try_at.is_not(None),
        _outbox.c.attempts > 0,
        _outbox.c.created_at < sa.func.now() - age,
    )
    statement = (
        sa.update(_outbox)
        .where(*overdue)
        .values(**_GIVEN_UP)
        .returning(_outbox.c.id, _outbox.c.payload, _outbox.c.last_error)
    )
    return await tx.records(GivenUp, statement)


async def forget_given_up(tx: PlatformTransaction, topic: str, age: timedelta) -> int:
    """Delete what was given up and is older: its addresses are of no use any more. How many there were."""
    old = (_outbox.c.topic == topic, _outbox.c.next_try_at.is_(None), _outbox.c.created_at < sa.func.now() - age)
    return await tx.execute(sa.delete(_outbox).where(*old))


async def is_due(tx: PlatformTransaction, topic: str) -> bool:
    """Whether there is anything to claim."""
    due = sa.exists().where(_outbox.c.topic == topic, _outbox.c.next_try_at <= sa.func.now())
    return bool(await tx.scalar(sa.select(due)))


_GIVEN_UP: Mapping[str, Any] = {"next_try_at": None, "payload": _outbox.c.payload.op("-")(sa.literal("text", sa.Text))}


def _is(entry: ClaimedEntry) -> tuple[sa.ColumnElement[bool], ...]:
    return (_outbox.c.tenant_id == entry.tenant_id, _outbox.c.id == entry.id)


def _claimed(entry: ClaimedEntry) -> tuple[sa.ColumnElement[bool], ...]:
    return (*_is(entry), _outbox.c.attempts == entry.attempts, _outbox.c.next_try_at.is_not(None))
