"""The people of a tenant: who they are, what they may do, and whether they may still come in."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy.exc import DBAPIError

from core.ids import NodeKind, TenantId
from datastores import members, sessions
from datastores.models import Role
from datastores.outages import is_conflict
from datastores.pages import Page, PageRequest
from datastores.people import user_by_id
from datastores.records import UserRecord
from datastores.transactions import WriteTransaction
from resolvers.arguments import input_id
from resolvers.context import Context
from resolvers.permissions import Operation
from resolvers.results import Conflict, InvalidInput, NotFound

REMOVAL_TRIES = 3
_in_charge = Operation.UPDATE_MEMBER.allows
_IN_CHARGE = [role for role in Role if _in_charge(role)]
_LAST = Conflict("Nobody else could manage this organisation: give somebody the role BUSINESS first.")
_LAST_ADMINISTRATOR = Conflict("Nobody else administers the platform: give somebody the role ADMIN first.")


async def all_members(context: Context, page: PageRequest) -> Page[UserRecord]:
    """Everybody in the tenant, oldest first."""
    await context.authorise(Operation.VIEWER_MEMBERS)
    return await members.members(context.reads, page)


async def update_member(
    context: Context, *, user_id: str, role: Role | None, suspended: bool | None
) -> UserRecord | NotFound | InvalidInput | Conflict:
    """Change somebody's role, or suspend or readmit them. It counts on all their sockets within two seconds."""
    await context.authorise(Operation.UPDATE_MEMBER)
    wanted = input_id(NodeKind.USER, user_id, "userId")
    if isinstance(wanted, InvalidInput):
        return wanted
    async with context.write() as tx:
        await members.hold_members(tx)
        await sessions.hold_person(tx, wanted)
        person = await context.authorise_for_good(tx)
        if role is not None and not person.role.covers(role):
            return InvalidInput(f"Only an administrator of the platform gives the role {role.value}.", "role")
        found = await _manageable(tx, person, wanted)
        if not isinstance(found, UserRecord):
            return found
        weaker = role is not None and not role.covers(found.role)
        leaves = (weaker or suspended) and found.suspended_at is None
        if leaves and (refused := await _refused_as_last(tx, found)) is not None:
            return refused
        await members.change_member(tx, wanted, role=role, suspended=suspended)
        changed = await user_by_id(tx, tx.tenant_id, wanted)
        assert changed is not None, "nobody removes a member while we hold them"
        live = await sessions.standing_ids(tx, wanted)
    await context.services.standings.changed(TenantId(person.tenant_id), live)
    return changed


async def remove_member(context: Context, user_id: str) -> NotFound | InvalidInput | Conflict | None:
    """Delete somebody with their conversations, sessions and API keys; None when it is done. Their documents stay."""
    await context.authorise(Operation.REMOVE_MEMBER)
    wanted = input_id(NodeKind.USER, user_id, "userId")
    if isinstance(wanted, InvalidInput):
        return wanted
    for left in reversed(range(REMOVAL_TRIES)):
        try:
            return await _removed(context, wanted)
        except DBAPIError as error:
            # What the person does at the same moment may hold what the removal waits for, and wait for what it holds.
            if not left or not is_conflict(error):
                raise
    raise AssertionError("the last try returns or raises")


async def _removed(context: Context, wanted: UUID) -> NotFound | Conflict | None:
    async with context.write() as tx:
        await members.hold_members(tx)
        await members.hold_leaving(tx, wanted)
        person = await context.authorise_for_good(tx)
        found = await _manageable(tx, person, wanted)
        if not isinstance(found, UserRecord):
            return found
        if (refused := await _refused_as_last(tx, found)) is not None:
            return refused
        live = await sessions.standing_ids(tx, wanted)
        await members.remove_member(tx, wanted)
    await context.services.standings.changed(tx.tenant_id, live)
    return None


async def _manageable(tx: WriteTransaction, person: UserRecord, wanted: UUID) -> UserRecord | NotFound | Conflict:
    found = await user_by_id(tx, tx.tenant_id, wanted)
    if found is None:
        return NotFound.of("member")
    if not person.role.covers(found.role):
        return Conflict(f"Your role {person.role.value} does not manage somebody with the role {found.role.value}.")
    return found


async def _refused_as_last(tx: WriteTransaction, leaving: UserRecord) -> Conflict | None:
    """Why the person cannot go, be suspended or get a weaker role; None where somebody else can do what they do."""
    if leaving.role is Role.ADMIN and not await members.somebody_else(tx, leaving.id, [Role.ADMIN]):
        return _LAST_ADMINISTRATOR
    if _in_charge(leaving.role) and not await members.somebody_else(tx, leaving.id, _IN_CHARGE):
        return _LAST
    return None
