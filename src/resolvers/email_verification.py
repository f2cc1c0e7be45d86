"""Whether an e-mail address is its person's: shown by a link that was sent there."""

from __future__ import annotations

from core.ids import NodeKind, TenantId
from core.opaque_tokens import TokenKind
from datastores import members, sessions
from datastores.models import TokenPurpose
from datastores.one_time_tokens import holder, use_token
from datastores.people import tenant_of
from resolvers import one_time_links
from resolvers.context import Context
from resolvers.permissions import Operation
from resolvers.results import Conflict, InvalidCredentials, RateLimited

_PURPOSE = TokenPurpose.EMAIL_VERIFICATION
_VERIFIED = Conflict("Your e-mail address is verified already.")
_SENT = Conflict("A mail was sent within the last minute. Look for it, or ask again in a minute.")


async def request_verification(context: Context) -> str | Conflict | RateLimited:
    """Have the link sent again, to the signed-in person's address, which is returned."""
    person = await context.authorise(Operation.REQUEST_EMAIL_VERIFICATION)
    if person.email_verified_at is not None:
        return _VERIFIED
    limited = await context.take(context.by_person(context.limits.mails), context.mail_to(person.email))
    if limited is not None:
        return limited
    organization = (await tenant_of(context.reads)).name
    async with context.write() as tx:
        sent = await one_time_links.mail_verification(
            context,
            tx,
            tenant_id=TenantId(person.tenant_id),
            user_id=person.id,
            email=person.email,
            organization=organization,
        )
    if not sent:
        return _SENT
    await context.services.queue.deliver_mail()
    return person.email


async def verify_email(context: Context, token: str) -> str | InvalidCredentials:
    """Take the token's person's address for theirs; the address."""
    read = one_time_links.read(context, TokenKind.EMAIL_VERIFICATION, token)
    if read is None:
        return one_time_links.NOT_GOOD
    async with context.write(read.tenant_id) as tx:
        person = await holder(tx, _PURPOSE, read.id, read.hash)
        if person is None or await use_token(tx, _PURPOSE, read.id, read.hash) is None:
            return one_time_links.NOT_GOOD
        context.concerns(read.tenant_id, NodeKind.USER, person.id)
        await members.set_email_verified(tx, person.id)
        told = await sessions.standing_ids(tx, person.id)
    await context.services.standings.changed(read.tenant_id, told)
    return person.email
