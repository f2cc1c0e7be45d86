"""Signing up and in."""

from __future__ import annotations

from core.ids import NodeKind, TenantId
from datastores.people import add_tenant, credentials_of, holder_of_password, tenant_of
from datastores.postgres import Purpose
from resolvers import passwords
from resolvers.addresses import EMAIL_CHARS, email_address
from resolvers.context import Context
from resolvers.one_time_links import mail_verification
from resolvers.results import Conflict, InvalidCredentials, InvalidInput, RateLimited
from resolvers.sessions import SignedIn, open_session
from resolvers.texts import refused_name

NAME_CHARS = 200


def founder(organization: str, name: str, email: str) -> str | InvalidInput:
    """The address, as it is stored, of the first person of a new organisation; or what is wrong with these."""
    for field, value in (("organization", organization), ("name", name)):
        if (refused := refused_name(value, NAME_CHARS, field)) is not None:
            return refused
    return email_address(email) or InvalidInput("This is not an e-mail address.", "email")


async def sign_up(
    context: Context, *, organization: str, name: str, email: str, password: str
) -> SignedIn | InvalidInput | Conflict | RateLimited:
    """Found a tenant with its first person, who gets the role BUSINESS, sign it in, and ask whose the address is."""
    if isinstance(address := founder(organization, name, email), InvalidInput):
        return address
    if (refused := passwords.refuse_length(password, "password")) is not None:
        return refused
    if (limited := await context.take(context.by_address(context.limits.sign_up))) is not None:
        return limited
    if (refused := await passwords.refuse(password, "password", (email, name, organization))) is not None:
        return refused
    hashed = await passwords.hashed(password)
    async with context.platform(Purpose.SIGN_UP) as tx:
        user = await add_tenant(
            tx,
            organization=organization.strip(),
            embedding_model_id=context.services.providers.embeddings().model_id,
            name=name.strip(),
            email=address,
            password_hash=hashed,
        )
        if user is not None:
            await mail_verification(
                context,
                tx,
                tenant_id=TenantId(user.tenant_id),
                user_id=user.id,
                email=address,
                organization=organization.strip(),
            )
            context.concerns(TenantId(user.tenant_id), NodeKind.TENANT, user.tenant_id)
            context.acts_on(NodeKind.USER, user.id)
    if user is None:
        return Conflict("There is an account with this e-mail address already.")
    await context.services.queue.deliver_mail()
    async with context.write(TenantId(user.tenant_id)) as signing_in:
        return await open_session(context, signing_in, user)


async def sign_in(context: Context, *, email: str, password: str) -> SignedIn | InvalidCredentials | RateLimited:
    """Check a password. An unknown account takes as long and gets the same answer as a wrong password.

    So does one whose password was replaced, or that was suspended or removed, while this one was being checked.
    """
    address = email_address(email)
    limited = await context.take(
        context.by_address(context.limits.sign_in),
        context.by_account(context.limits.sign_in_account, address or email[:EMAIL_CHARS]),
    )
    if limited is not None:
        return limited
    async with context.services.postgres.platform(Purpose.SIGN_IN) as tx:
        found = await credentials_of(tx, address) if address is not None else None
    if found is not None:
        context.concerns(TenantId(found.tenant_id), NodeKind.USER, found.user_id)
    correct = await passwords.matches(found.password_hash if found else None, password)
    refused = InvalidCredentials("The e-mail address or the password is wrong, or the account is suspended.")
    if found is None or not correct:
        return refused
    async with context.write(TenantId(found.tenant_id)) as tx:
        user = await holder_of_password(tx, found.user_id, found.password_hash)
        if user is None or user.suspended_at is not None or (await tenant_of(tx)).suspended_at is not None:
            return refused
        return await open_session(context, tx, user)
