"""Sessions and their refresh tokens: PostgreSQL is the authority on who is signed in."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa

from datastores.models import ApiKey, RefreshToken, RevocationReason, Session, Tenant, User
from datastores.pages import Page, PageRequest, keyset_page
from datastores.records import SessionRecord, UserRecord, select_record, table
from datastores.transactions import Reads, WriteTransaction

_sessions, _tokens, _keys = table(Session), table(RefreshToken), table(ApiKey)
_users, _tenants = table(User), table(Tenant)
_LIVE = sa.and_(_sessions.c.revoked_at.is_(None), _sessions.c.expires_at > sa.func.now())


class Refusal(enum.Enum):
    """Why somebody with a genuine token may do nothing."""

    GONE = "GONE"
    SUSPENDED = "SUSPENDED"
    TENANT_SUSPENDED = "TENANT_SUSPENDED"
    SIGNED_OUT = "SIGNED_OUT"
    KEY_REVOKED = "KEY_REVOKED"


@dataclass(slots=True)
class Standing:
    """A session as PostgreSQL has it: the person, and why it does not count, if it does not."""

    person: UserRecord | None
    refusal: Refusal | None


async def standing(reads: Reads, user_id: UUID, session_id: UUID) -> Standing:
    """What the session's access tokens are good for now, in one statement."""
    person_columns = select_record(UserRecord).selected_columns
    statement = (
        sa.select(
            *person_columns,
            _users.c.suspended_at.is_not(None),
            _tenants.c.suspended_at.is_not(None),
            sa.func.coalesce(_LIVE, False),
        )
        .select_from(
            _users.join(_tenants, _tenants.c.id == _users.c.tenant_id).outerjoin(
                _sessions,
                sa.and_(
                    _sessions.c.tenant_id == _users.c.tenant_id,
                    _sessions.c.user_id == _users.c.id,
                    _sessions.c.id == session_id,
                ),
            )
        )
        .where(_users.c.tenant_id == reads.tenant_id, _users.c.id == user_id)
    )
    rows = await reads.rows(statement)
    if not rows:
        return Standing(None, Refusal.GONE)
    *person, suspended, tenant_suspended, live = rows[0]
    refusal = None
    if tenant_suspended:
        refusal = Refusal.TENANT_SUSPENDED
    elif suspended:
        refusal = Refusal.SUSPENDED
    elif not live:
        refusal = Refusal.SIGNED_OUT
    return Standing(UserRecord(*person), refusal)


async def hold_person(tx: WriteTransaction, user_id: UUID) -> None:
    """Let nobody change or remove the person until this transaction ends."""
    person = sa.select(_users.c.id).where(_users.c.tenant_id == tx.tenant_id, _users.c.id == user_id)
    await tx.rows(person.with_for_update(key_share=True))  # not in share: two who change it then would wait for ever


async def add_session(
    tx: WriteTransaction, user_id: UUID, session_id: UUID, *, device: str, address: str, expires_at: datetime
) -> None:
    """A new family, without a token yet."""
    tx.session.add(
        Session(
            tenant_id=tx.tenant_id,
            id=session_id,
            user_id=user_id,
            device=device,
            address=address,
            expires_at=expires_at,
        )
    )
    await tx.session.flush()


async def add_refresh_token(tx: WriteTransaction, session_id: UUID, token_id: UUID, token_hash: bytes) -> None:
    """The family's newest link."""
    tx.session.add(RefreshToken(tenant_id=tx.tenant_id, id=token_id, session_id=session_id, token_hash=token_hash))
    await tx.session.flush()


@dataclass(slots=True)
class TokenFamily:
    """Of which session a refresh token is, and whose."""

    session_id: UUID
    user_id: UUID


async def family_of(reads: Reads, token_id: UUID, token_hash: bytes) -> TokenFamily | None:
    """The session of a refresh token, used or not; None for one that was never given out."""
    statement = (
        sa.select(_tokens.c.session_id, _sessions.c.user_id)
        .join(_sessions, sa.and_(_sessions.c.tenant_id == _tokens.c.tenant_id, _sessions.c.id == _tokens.c.session_id))
        .where(_tokens.c.tenant_id == reads.tenant_id, _tokens.c.id == token_id, _tokens.c.token_hash == token_hash)
    )
    return await reads.first(TokenFamily, statement)


@dataclass(slots=True)
class UsedToken:
    """A refresh token that was presented: `fresh` for the first time."""

    session_id: UUID
    user_id: UUID
    fresh: bool


async def use_refresh_token(tx: WriteTransaction, token_id: UUID, token_hash: bytes) -> UsedToken | None:
    """Use a token up; None for one that was never given out. The update decides between two who come at once."""
    named = (_tokens.c.tenant_id == tx.tenant_id, _tokens.c.id == token_id, _tokens.c.token_hash == token_hash)
    used = await tx.execute(sa.update(_tokens).where(*named, _tokens.c.used_at.is_(None)).values(used_at=sa.func.now()))
    statement = (
        sa.select(_tokens.c.session_id, _sessions.c.user_id, sa.literal(used == 1))
        .join(_sessions, sa.and_(_sessions.c.tenant_id == _tokens.c.tenant_id, _sessions.c.id == _tokens.c.session_id))
        .where(*named)
    )
    return await tx.first(UsedToken, statement)


async def touch(tx: WriteTransaction, session_id: UUID, *, address: str, expires_at: datetime) -> None:
    """The session was refreshed: from where, and how long it may now stay idle."""
    await tx.execute(
        sa.update(_sessions)
        .where(_sessions.c.tenant_id == tx.tenant_id, _sessions.c.id == session_id)
        .values(last_seen_at=sa.func.now(), address=address, expires_at=expires_at)
    )


async def hold_sessions(tx: WriteTransaction, user_id: UUID, session_id: UUID | None = None) -> None:
    """Let nobody else change a person's session, or any of theirs, until this transaction ends."""
    held = sa.select(_sessions.c.id).where(_sessions.c.tenant_id == tx.tenant_id, _sessions.c.user_id == user_id)
    if session_id is not None:
        held = held.where(_sessions.c.id == session_id)
    live = held.where(_sessions.c.revoked_at.is_(None)).order_by(_sessions.c.id)
    await tx.rows(live.with_for_update(key_share=True))


async def revoke(
    tx: WriteTransaction,
    reason: RevocationReason,
    *,
    user_id: UUID,
    session_id: UUID | None = None,
    except_session: UUID | None = None,
) -> list[UUID]:
    """End a person's session, or all of them (but one); the ids of those that were live."""
    statement = (
        sa.update(_sessions)
        .where(_sessions.c.tenant_id == tx.tenant_id, _sessions.c.user_id == user_id, _sessions.c.revoked_at.is_(None))
        .values(revoked_at=sa.func.now(), revocation=reason)
        .returning(_sessions.c.id)
    )
    if session_id is not None:
        statement = statement.where(_sessions.c.id == session_id)
    if except_session is not None:
        statement = statement.where(_sessions.c.id != except_session)
    return [row[0] for row in await tx.rows(statement)]


async def sessions_of(reads: Reads, user_id: UUID, request: PageRequest) -> Page[SessionRecord]:
    """A person's live sessions, newest first."""
    statement = select_record(SessionRecord).where(
        _sessions.c.tenant_id == reads.tenant_id, _sessions.c.user_id == user_id, _LIVE
    )
    keys = [_sessions.c.created_at, _sessions.c.id]
    return await keyset_page(reads, SessionRecord, statement, keys, request, descending=True)


async def standing_ids(reads: Reads, user_id: UUID) -> list[UUID]:
    """A person's live sessions and API keys: whoever must be told that what they are good for has changed."""
    sessions_of_user = sa.select(_sessions.c.id).where(
        _sessions.c.tenant_id == reads.tenant_id, _sessions.c.user_id == user_id, _LIVE
    )
    keys_of_user = sa.select(_keys.c.id).where(
        _keys.c.tenant_id == reads.tenant_id, _keys.c.user_id == user_id, _keys.c.revoked_at.is_(None)
    )
    return [row[0] for row in await reads.rows(sa.union_all(sessions_of_user, keys_of_user))]
