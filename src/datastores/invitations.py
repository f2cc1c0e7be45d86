"""Invitations: good for as long as whoever made one could make it again."""

from __future__ import annotations

from dataclasses import fields
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from datastores.models import Invitation, Role, Tenant, User
from datastores.pages import Page, PageRequest, keyset_page
from datastores.records import InvitationRecord, select_record, table
from datastores.transactions import PlatformTransaction, Reads, WriteTransaction

_invitations, _users, _tenants = table(Invitation), table(User), table(Tenant)


async def put_invitation(
    tx: WriteTransaction,
    invitation_id: UUID,
    *,
    email: str,
    name: str | None,
    role: Role,
    invited_by_id: UUID,
    token_hash: bytes,
    expires_at: datetime,
) -> InvitationRecord:
    """A new invitation, in the place of an earlier one to the address."""
    values = {
        "id": invitation_id,
        "name": name,
        "role": role,
        "invited_by_id": invited_by_id,
        "token_hash": token_hash,
        "expires_at": expires_at,
    }
    adding = insert(_invitations).values(tenant_id=tx.tenant_id, email=email, **values)
    await tx.execute(
        adding.on_conflict_do_update(
            index_elements=["tenant_id", "email"], set_={**values, "created_at": sa.func.now()}
        )
    )
    found = await tx.first(InvitationRecord, _of_tenant(tx).where(_invitations.c.id == invitation_id))
    assert found is not None, "it has just been written"
    return found


async def open_invitations(reads: Reads, request: PageRequest) -> Page[InvitationRecord]:
    """The tenant's invitations that could be accepted now, newest first."""
    keys = [_invitations.c.created_at, _invitations.c.id]
    return await keyset_page(
        reads, InvitationRecord, _of_tenant(reads).where(*_open(reads)), keys, request, descending=True
    )


async def open_invitation(reads: Reads, invitation_id: UUID, token_hash: bytes) -> InvitationRecord | None:
    """The invitation of a token; None for one that is not good, or not any more."""
    statement = _of_tenant(reads).where(*_open(reads), *_named(invitation_id, token_hash))
    return await reads.first(InvitationRecord, statement)


async def use_invitation(tx: WriteTransaction, invitation_id: UUID, token_hash: bytes) -> InvitationRecord | None:
    """Use the invitation up; None as above. The deletion decides between two who come at once."""
    return await _take(tx, *_named(invitation_id, token_hash))


async def hold_invitation(tx: WriteTransaction, invitation_id: UUID) -> None:
    """Let nobody else use the invitation, or change it, until this transaction ends."""
    named = (_invitations.c.tenant_id == tx.tenant_id, _invitations.c.id == invitation_id)
    await tx.rows(sa.select(_invitations.c.id).where(*named).with_for_update())


async def revoke_invitation(tx: WriteTransaction, invitation_id: UUID) -> InvitationRecord | None:
    """Take an invitation back; None when there is none that could be accepted."""
    return await _take(tx, _invitations.c.id == invitation_id)


async def sweep_invitations(tx: PlatformTransaction) -> int:
    """Delete what has expired, of all tenants; how many there were."""
    return await tx.execute(sa.delete(_invitations).where(_invitations.c.expires_at <= sa.func.now()))


async def _take(tx: WriteTransaction, *which: sa.ColumnElement[bool]) -> InvitationRecord | None:
    """Delete an open invitation, and nothing else; which it was."""
    columns = [_invitations.c[field.name] for field in fields(InvitationRecord)]
    statement = sa.delete(_invitations).where(_invitations.c.tenant_id == tx.tenant_id, *_open(tx), *which)
    return await tx.first(InvitationRecord, statement.returning(*columns))


def _of_tenant(reads: Reads) -> sa.Select[tuple[object, ...]]:
    return select_record(InvitationRecord).where(_invitations.c.tenant_id == reads.tenant_id)


def _named(invitation_id: UUID, token_hash: bytes) -> tuple[sa.ColumnElement[bool], ...]:
    return (_invitations.c.id == invitation_id, _invitations.c.token_hash == token_hash)


def _open(reads: Reads) -> tuple[sa.ColumnElement[bool], ...]:
    """Not expired, of a tenant that is not suspended, and by somebody who may still invite to that role."""
    may_give = sa.or_(
        *(
            sa.and_(
                _invitations.c.role == role,
                _users.c.role.in_([one for one in Role if one.covers(role) and one.covers(Role.BUSINESS)]),
            )
            for role in Role
        )
    )
    inviter = sa.exists().where(
        _users.c.tenant_id == reads.tenant_id,
        _users.c.id == _invitations.c.invited_by_id,
        _users.c.suspended_at.is_(None),
        may_give,
    )
    standing = sa.exists().where(_tenants.c.id == reads.tenant_id, _tenants.c.suspended_at.is_(None))
    return (_invitations.c.expires_at > sa.func.now(), inviter, standing)
