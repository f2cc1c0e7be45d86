"""One-time tokens: written with the mail that carries them, and used up by a deletion."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from core.ids import TenantId, new_id
from core.mail import Mail
from datastores.models import OneTimeToken, OutboxEntry, Tenant, TokenPurpose, User
from datastores.outbox import MAIL
from datastores.records import UserRecord, select_record, table
from datastores.transactions import PlatformTransaction, Reads, WriteTransaction

PAUSES = {TokenPurpose.PASSWORD_RESET: timedelta(minutes=10), TokenPurpose.EMAIL_VERIFICATION: timedelta(minutes=1)}
"""No person gets two mails of one purpose within it: a mailbox cannot be flooded in somebody's name. Anybody may ask
for a new password, so that its link is left alone for longer: it is good for an hour, whoever has asked for it."""

_tokens, _users, _tenants, _outbox = table(OneTimeToken), table(User), table(Tenant), table(OutboxEntry)


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token to be stored; its secret is in the mail."""

    tenant_id: TenantId
    id: UUID
    user_id: UUID
    purpose: TokenPurpose
    hash: bytes
    expires_at: datetime


async def mail_token(tx: WriteTransaction | PlatformTransaction, token: NewToken, mail: Mail) -> bool:
    """Store the token in the place of the person's earlier one, and its mail; False, and nothing, within its pause.

    One statement, whether or not there is such a person: a stranger cannot tell by the time it takes.
    """
    person = sa.select(
        _users.c.tenant_id,
        sa.literal(token.id, sa.Uuid),
        _users.c.id,
        sa.literal(token.purpose, _tokens.c.purpose.type),
        sa.literal(token.hash, sa.LargeBinary),
        sa.literal(token.expires_at, sa.DateTime(timezone=True)),
    ).where(_users.c.tenant_id == token.tenant_id, _users.c.id == token.user_id)
    names = ["tenant_id", "id", "user_id", "purpose", "token_hash", "expires_at"]
    # Not `excluded`: the platform's role may write hashes, not read them.
    values: Mapping[str, Any] = {"id": token.id, "token_hash": token.hash, "expires_at": token.expires_at}
    stored = (
        insert(_tokens)
        .from_select(names, person)
        .on_conflict_do_update(
            index_elements=["tenant_id", "user_id", "purpose"],
            set_={**values, "created_at": sa.func.now()},
            where=_tokens.c.created_at <= sa.func.now() - PAUSES[token.purpose],
        )
        .returning(_tokens.c.tenant_id)
        .cte("stored")
    )
    entry = sa.select(
        stored.c.tenant_id,
        sa.literal(new_id(), sa.Uuid),
        sa.literal(MAIL, sa.Text),
        sa.literal(asdict(mail), _outbox.c.payload.type),
    )
    return bool(await tx.execute(sa.insert(_outbox).from_select(["tenant_id", "id", "topic", "payload"], entry)))


async def holder(reads: Reads, purpose: TokenPurpose, token_id: UUID, token_hash: bytes) -> UserRecord | None:
    """Whose token it is; None for one that is not good, or not any more."""
    statement = select_record(UserRecord).join(
        _tokens, sa.and_(_tokens.c.tenant_id == _users.c.tenant_id, _tokens.c.user_id == _users.c.id)
    )
    return await reads.first(UserRecord, statement.where(*_good(reads, purpose, token_id, token_hash)))


async def use_token(tx: WriteTransaction, purpose: TokenPurpose, token_id: UUID, token_hash: bytes) -> UUID | None:
    """Use the token up; whose it was, or None. The deletion decides between two who come at once."""
    rows = await tx.rows(
        sa.delete(_tokens)
        .where(
            _tokens.c.user_id == _users.c.id,
            _users.c.tenant_id == tx.tenant_id,
            *_good(tx, purpose, token_id, token_hash),
        )
        .returning(_tokens.c.user_id)
    )
    return rows[0][0] if rows else None


async def drop_tokens(tx: WriteTransaction, user_id: UUID, purpose: TokenPurpose | None = None) -> None:
    """Make a person's tokens worthless: all, or those of one purpose."""
    statement = sa.delete(_tokens).where(_tokens.c.tenant_id == tx.tenant_id, _tokens.c.user_id == user_id)
    await tx.execute(statement if purpose is None else statement.where(_tokens.c.purpose == purpose))


async def sweep_tokens(tx: PlatformTransaction) -> int:
    """Delete what has expired, of all tenants; how many there were."""
    return await tx.execute(sa.delete(_tokens).where(_tokens.c.expires_at <= sa.func.now()))


def _good(reads: Reads, purpose: TokenPurpose, token_id: UUID, token_hash: bytes) -> tuple[sa.ColumnElement[bool], ...]:
    """Not expired, and of somebody who may come in; the statement has the person's row, too."""
    standing = sa.exists().where(_tenants.c.id == reads.tenant_id, _tenants.c.suspended_at.is_(None))
    return (
        _tokens.c.tenant_id == reads.tenant_id,
        _tokens.c.id == token_id,
        _tokens.c.token_hash == token_hash,
        _tokens.c.purpose == purpose,
        _tokens.c.expires_at > sa.func.now(),
        _users.c.suspended_at.is_(None),
        standing,
    )
