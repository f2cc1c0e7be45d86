"""Passwords: what is accepted as one, and changing it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from core.ids import NodeKind, TenantId
from core.password_strength import is_easily_guessed
from core.security import hash_password, verify_password
from datastores import members, sessions
from datastores.models import RevocationReason, TokenPurpose
from datastores.one_time_tokens import drop_tokens
from datastores.outbox import add_mail
from datastores.people import tenant_of
from resolvers import account_mails
from resolvers.context import Context
from resolvers.permissions import Operation
from resolvers.results import InvalidCredentials, InvalidInput, RateLimited

PASSWORD_CHARS = (10, 128)
# argon2id takes 64 MiB each: more at once would trade memory for nothing on a few cores.
_hashing = asyncio.Semaphore(4)
# One at a time in any case: whoever waits should not hold a thread meanwhile, nor a place among those who hash.
_judging = asyncio.Semaphore(1)


def refuse_length(password: str, field: str) -> InvalidInput | None:
    """Why a text of this length cannot be a password; None when it can. Costs nothing."""
    low, high = PASSWORD_CHARS
    if low <= len(password) <= high:
        return None
    return InvalidInput(f"A password has between {low} and {high} characters; this one has {len(password)}.", field)


async def refuse(password: str, field: str, about: Sequence[str]) -> InvalidInput | None:
    """Why this cannot be a password; None when it can. `about`: address, name and organisation of whose it would be.

    Judging one takes CPU time (`is_easily_guessed`): take a limit first.
    """
    if (refused := refuse_length(password, field)) is not None:
        return refused
    async with _judging:
        if await asyncio.to_thread(is_easily_guessed, password, about):
            return InvalidInput("This password is too easily guessed: it is a common one, or made of your name.", field)
    return None


async def hashed(password: str) -> str:
    """The hash to store. Takes about 50 ms of a core."""
    async with _hashing:
        return await asyncio.to_thread(hash_password, password)


async def matches(stored: str | None, password: str) -> bool:
    """Whether the password is the stored one; for no account (None) it takes as long and is False."""
    async with _hashing:
        # A password longer than any can be is not worth hashing.
        return await asyncio.to_thread(verify_password, stored, password[: PASSWORD_CHARS[1] + 1])


async def change_password(
    context: Context, *, current: str, new: str
) -> InvalidInput | InvalidCredentials | RateLimited | None:
    """Replace one's own password and end all other sessions; None when it is done.

    The current password is tried as often as an account's at a sign-in, and counted apart: who has stolen a token may
    guess no more for it than anybody, and does not keep the owner from signing in.
    """
    person = await context.authorise(Operation.CHANGE_PASSWORD)
    claims = context.claims
    assert claims is not None, "somebody is signed in"
    context.acts_on(NodeKind.USER, person.id)
    if (limited := await context.take(context.by_person(context.limits.change_password))) is not None:
        return limited
    stored = await members.password_hash_of(context.reads, person.id)
    organization = (await tenant_of(context.reads)).name
    await context.reads.aclose()
    wrong = InvalidCredentials("The current password is wrong.")
    if not await matches(stored, current) or stored is None:
        return wrong
    about = (person.email, person.name, organization)
    if (refused := await refuse(new, "newPassword", about)) is not None:
        return refused
    replacement = await hashed(new)
    async with context.write() as tx:
        if not await members.replace_password(tx, person.id, stored, replacement):
            return wrong
        # A link to another password, asked for before, is worthless now.
        await drop_tokens(tx, person.id, TokenPurpose.PASSWORD_RESET)
        ended = await sessions.revoke(
            tx, RevocationReason.PASSWORD_CHANGED, user_id=person.id, except_session=claims.session_id
        )
        await add_mail(tx, tx.tenant_id, account_mails.password_changed(person.email))
    await context.services.standings.changed(TenantId(person.tenant_id), ended)
    await context.services.queue.deliver_mail()
    return None
