"""Invitations: who may become a member, asked by mail."""

from __future__ import annotations

from core.ids import NodeKind, TenantId, new_id
from core.opaque_tokens import TokenKind
from datastores import invitations, members
from datastores.models import Role
from datastores.outbox import add_mail
from datastores.pages import Page, PageRequest
from datastores.people import add_user, is_taken, tenant_of, user_by_id
from datastores.postgres import Purpose
from datastores.records import InvitationRecord
from resolvers import account_mails, one_time_links, passwords
from resolvers.addresses import email_address
from resolvers.arguments import input_id
from resolvers.context import Context
from resolvers.identity import NAME_CHARS
from resolvers.permissions import Operation
from resolvers.results import Conflict, InvalidCredentials, InvalidInput, NotFound, RateLimited
from resolvers.sessions import SignedIn, open_session
from resolvers.texts import refused_name

_KIND = TokenKind.INVITATION
_UNVERIFIED = Conflict("Verify your own e-mail address first: invitations are sent in your name.")
_MEMBER = Conflict("Somebody of this organisation has this e-mail address already.")
_TAKEN = Conflict("There is an account with this e-mail address already.")


class _AddressTakenError(Exception):
    """Undoes the use of an invitation."""


async def pending_invitations(context: Context, page: PageRequest) -> Page[InvitationRecord]:
    """Those that could be accepted now, newest first."""
    await context.authorise(Operation.VIEWER_INVITATIONS)
    return await invitations.open_invitations(context.reads, page)


async def invite_member(
    context: Context, *, email: str, name: str | None, role: Role
) -> InvitationRecord | InvalidInput | Conflict | RateLimited:
    """Have somebody asked to become a member.

    The same for an address with an account elsewhere, which is not for the inviter to know: only the mail differs.
    """
    person = await context.authorise(Operation.INVITE_MEMBER)
    settings, tenant_id = context.services.settings, TenantId(person.tenant_id)
    if (address := email_address(email)) is None:
        return InvalidInput("This is not an e-mail address.", "email")
    if name is not None and (refused := refused_name(name, NAME_CHARS)) is not None:
        return refused
    if not person.role.covers(role):
        return _too_strong(role)
    if person.email_verified_at is None:
        return _UNVERIFIED
    limited = await context.take(context.by_person(context.limits.mails), context.mail_to(address))
    if limited is not None:
        return limited
    organization = (await tenant_of(context.reads)).name
    await context.reads.aclose()
    async with context.services.postgres.platform(Purpose.INVITE) as platform:
        taken = await is_taken(platform, address)
    invitation_id = new_id()
    token, token_hash = context.services.tokens.mint(_KIND, tenant_id, invitation_id)
    about = {"inviter": person.name, "inviter_email": person.email, "organization": organization}
    ttl = settings.invitation_ttl
    if taken:
        mail = account_mails.invitation_to_account(address, **about)
    else:
        link = one_time_links.link(context, _KIND, token)
        mail = account_mails.invitation(address, link=link, hours=one_time_links.hours(ttl), **about)
    async with context.write() as tx:
        person = await context.authorise_in(tx)
        if not person.role.covers(role):
            return _too_strong(role)
        if await members.is_member(tx, address):
            return _MEMBER
        invitation = await invitations.put_invitation(
            tx,
            invitation_id,
            email=address,
            name=None if name is None else name.strip(),
            role=role,
            invited_by_id=person.id,
            token_hash=token_hash,
            expires_at=one_time_links.until(ttl),
        )
        context.acts_on(NodeKind.INVITATION, invitation_id)
        await add_mail(tx, tenant_id, mail)
    await context.services.queue.deliver_mail()
    return invitation


async def revoke_invitation(context: Context, invitation_id: str) -> InvitationRecord | NotFound | InvalidInput:
    """Take an invitation back: its link is worthless from now on."""
    await context.authorise(Operation.REVOKE_INVITATION)
    wanted = input_id(NodeKind.INVITATION, invitation_id, "invitationId")
    if isinstance(wanted, InvalidInput):
        return wanted
    async with context.write() as tx:
        await invitations.hold_invitation(tx, wanted)
        await context.authorise_in(tx, hold=False)
        revoked = await invitations.revoke_invitation(tx, wanted)
    return revoked or NotFound.of("invitation")


async def accept_invitation(
    context: Context, *, token: str, name: str | None, password: str
) -> SignedIn | InvalidInput | InvalidCredentials | Conflict | RateLimited:
    """Become a member, with an address that is verified by the mail, and signed in."""
    read = one_time_links.read(context, _KIND, token)
    if read is None:
        return one_time_links.NOT_GOOD
    async with context.services.postgres.read(read.tenant_id) as reads:
        invitation = await invitations.open_invitation(reads, read.id, read.hash)
        if invitation is None:
            return one_time_links.NOT_GOOD
        organization = (await tenant_of(reads)).name
    context.concerns(read.tenant_id, NodeKind.INVITATION, read.id)
    chosen = (invitation.name if name is None else name) or ""
    if (refused := refused_name(chosen, NAME_CHARS)) is not None:
        return refused
    if (refused := passwords.refuse_length(password, "password")) is not None:
        return refused
    if (limited := await context.take(context.by_address(context.limits.sign_in))) is not None:
        return limited
    about = (invitation.email, chosen, organization)
    if (refused := await passwords.refuse(password, "password", about)) is not None:
        return refused
    hashed = await passwords.hashed(password)
    try:
        async with context.write(read.tenant_id) as tx:
            # The inviter's role must not change between the look and the use.
            await members.hold_members(tx)
            if await invitations.use_invitation(tx, read.id, read.hash) is None:
                return one_time_links.NOT_GOOD
            user_id = await add_user(
                tx,
                read.tenant_id,
                name=chosen.strip(),
                email=invitation.email,
                password_hash=hashed,
                role=invitation.role,
                email_verified=True,
            )
            if user_id is None:
                raise _AddressTakenError
            context.acts_on(NodeKind.USER, user_id)
            user = await user_by_id(tx, read.tenant_id, user_id)
            assert user is not None, "it has just been added"
            return await open_session(context, tx, user)
    except _AddressTakenError:
        return _TAKEN


def _too_strong(role: Role) -> InvalidInput:
    return InvalidInput(f"Only an administrator of the platform gives the role {role.value}.", "role")
