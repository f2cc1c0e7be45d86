"""A password that was lost: a link by mail, and a new one."""

from __future__ import annotations

from core.ids import NodeKind, TenantId, new_id
from core.opaque_tokens import TokenKind
from datastores import api_keys, members, sessions
from datastores.models import RevocationReason, TokenPurpose
from datastores.one_time_tokens import drop_tokens, holder, use_token
from datastores.outbox import add_mail
from datastores.people import account_of, tenant_of
from datastores.postgres import Purpose
from resolvers import account_mails, one_time_links, passwords
from resolvers.addresses import email_address
from resolvers.context import Context
from resolvers.results import InvalidCredentials, InvalidInput, RateLimited

_NOBODY = "nobody@colloquy.example"
_PURPOSE = TokenPurpose.PASSWORD_RESET


async def request_reset(context: Context, email: str) -> RateLimited | None:
    """Have a link sent to the address, if it has an account that may come in.

    The answer does not tell whether it has, and the time hardly: the same statements run, the audit log's among them, a
    commit does not wait for the disk, and the worker is woken either way. What is left are two rows more to write for
    an account. The mail itself is the worker's.
    """
    address = email_address(email)
    if (limited := await context.take(context.by_address(context.limits.mails))) is not None:
        return limited
    async with context.platform(Purpose.PASSWORD_RESET, even_if_unchanged=True) as tx:
        await tx.do_not_wait_for_the_disk()
        found = await account_of(tx, address or "")
        if found is not None:
            context.concerns(TenantId(found.tenant_id), NodeKind.USER, found.id)
        await one_time_links.mail_link(
            context,
            tx,
            _PURPOSE,
            context.services.settings.password_reset_ttl,
            lambda link, hours: account_mails.lost_password(address or _NOBODY, link=link, hours=hours),
            tenant_id=TenantId(found.tenant_id if found else new_id()),
            user_id=found.id if found else new_id(),
        )
    await context.services.queue.deliver_mail()
    return None


async def reset_password(
    context: Context, *, token: str, new: str
) -> str | InvalidInput | InvalidCredentials | RateLimited:
    """Give the token's person a new password; their address.

    Their sessions, API keys and other links end, on all sockets: whoever was in by another's doing is out.
    """
    read = one_time_links.read(context, TokenKind.PASSWORD_RESET, token)
    if read is None:
        return one_time_links.NOT_GOOD
    async with context.services.postgres.read(read.tenant_id) as reads:
        person = await holder(reads, _PURPOSE, read.id, read.hash)
        if person is None:
            return one_time_links.NOT_GOOD
        organization = (await tenant_of(reads)).name
    context.concerns(read.tenant_id, NodeKind.USER, person.id)
    if (refused := passwords.refuse_length(new, "newPassword")) is not None:
        return refused
    if (limited := await context.take(context.by_address(context.limits.sign_in))) is not None:
        return limited
    about = (person.email, person.name, organization)
    if (refused := await passwords.refuse(new, "newPassword", about)) is not None:
        return refused
    replacement = await passwords.hashed(new)
    async with context.write(read.tenant_id) as tx:
        user_id = await use_token(tx, _PURPOSE, read.id, read.hash)
        if user_id is None:
            return one_time_links.NOT_GOOD
        await members.set_password(tx, user_id, replacement)
        await members.set_email_verified(tx, user_id)
        await drop_tokens(tx, user_id)
        ended = await sessions.revoke(tx, RevocationReason.PASSWORD_RESET, user_id=user_id)
        for key_id in await api_keys.revoke_keys_of(tx, user_id):
            context.acts_on(NodeKind.API_KEY, key_id)
            ended.append(key_id)
        await add_mail(tx, read.tenant_id, account_mails.password_changed(person.email))
    await context.services.standings.changed(read.tenant_id, ended)
    await context.services.queue.deliver_mail()
    return person.email
