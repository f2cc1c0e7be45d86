"""Sessions: opening, refreshing, listing and ending them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from core.errors import RequestError
from core.ids import NodeKind, TenantId, new_id
from core.opaque_tokens import TokenKind
from core.security import InvalidTokenError
from datastores import sessions
from datastores.models import RevocationReason
from datastores.pages import Page, PageRequest
from datastores.records import SessionRecord, UserRecord
from datastores.transactions import WriteTransaction
from resolvers.arguments import input_id
from resolvers.audit_trail import TOKEN_REUSED
from resolvers.context import Context
from resolvers.permissions import Operation
from resolvers.results import InvalidCredentials, InvalidInput, NotFound

DEVICE_CHARS = 200
_SUSPENDED = {
    sessions.Refusal.SUSPENDED: "This account is suspended.",
    sessions.Refusal.TENANT_SUSPENDED: "This organisation is suspended.",
}


class _SuspendedError(Exception):
    """Rolls the use of a refresh token back."""


@dataclass(slots=True)
class SignedIn:
    """A session: who, and the tokens that say so. The context of the operation is now this person's."""

    access_token: str
    expires_at: datetime
    refresh_token: str | None
    """None where the browser has it in its cookie."""
    user: UserRecord


async def open_session(context: Context, tx: WriteTransaction, user: UserRecord) -> SignedIn:
    """Sign the person in on this client, in the transaction that found the reason to."""
    session_id = new_id()
    context.acts_on(NodeKind.SESSION, session_id)
    await sessions.add_session(
        tx,
        user.id,
        session_id,
        device=context.client.device[:DEVICE_CHARS],
        address=context.client.address,
        expires_at=_idle_until(context),
    )
    return await _hand_out(context, tx, user, session_id)


async def refresh_session(context: Context, token: str | None) -> SignedIn | InvalidCredentials:
    """Exchange a refresh token, once, for an access token and the next refresh token.

    A token that comes a second time was stolen, before or after its owner used it: the session ends for both. One that
    comes during a suspension is good afterwards, as the session is.
    """
    refused = InvalidCredentials("The refresh token is not valid. Sign in again.")
    given = token if token is not None else context.cookie and context.cookie.value
    if not given:
        return InvalidCredentials("No refresh token came with the request. Sign in again.")
    try:
        read = context.services.tokens.read(TokenKind.REFRESH, given)
    except InvalidTokenError:
        return refused
    ended: list[UUID] = []
    try:
        async with context.write(read.tenant_id) as tx:
            used = await sessions.use_refresh_token(tx, read.id, read.hash)
            if used is None:
                return refused
            context.concerns(read.tenant_id, NodeKind.SESSION, used.session_id)
            if used.fresh:
                found = await sessions.standing(tx, used.user_id, used.session_id)
                if found.refusal is None and found.person is not None:
                    await sessions.touch(
                        tx, used.session_id, address=context.client.address, expires_at=_idle_until(context)
                    )
                    return await _hand_out(context, tx, found.person, used.session_id)
                if found.refusal in _SUSPENDED:
                    raise _SuspendedError(_SUSPENDED[found.refusal])
                # The token is used up, and that is committed with what became of it.
                context.refused(refused.code)
            else:
                context.refused(refused.code, action=TOKEN_REUSED)
                ended = await sessions.revoke(
                    tx, RevocationReason.TOKEN_REUSED, user_id=used.user_id, session_id=used.session_id
                )
    except _SuspendedError as error:
        return InvalidCredentials(str(error))
    await context.services.standings.changed(read.tenant_id, ended)
    if context.cookie is not None:
        context.cookie.clear()
    return refused


async def sign_out(context: Context) -> None:
    """End the access token's session and that of the browser's cookie, on all sockets; as a rule they are one.

    Whoever is not signed in is so already. Raises `RequestError` UNAUTHENTICATED for an access token that is no good
    where no cookie says which session is to end: it goes on, and the client must know.
    """
    claims, by_cookie = context.claims, await _session_of_cookie(context)
    if claims is None and by_cookie is None and context.token_problem is not None:
        raise RequestError.unauthenticated(context.token_problem)
    if context.cookie is not None:
        context.cookie.clear()
    ending: list[tuple[TenantId, UUID, UUID]] = []
    if claims is not None and claims.user_id is not None:
        ending.append((claims.tenant_id, claims.user_id, claims.session_id))
    if by_cookie is not None and by_cookie not in ending:
        ending.append(by_cookie)
    for tenant_id, _, session_id in ending:
        # Before the first commit, with which the row is written; another organisation's is not that one's business.
        if tenant_id == ending[0][0]:
            context.concerns(tenant_id, NodeKind.SESSION, session_id)
    for tenant_id, user_id, session_id in ending:
        await end_sessions(context, RevocationReason.SIGNED_OUT, tenant_id, user_id, session_id)


async def sign_out_everywhere(context: Context) -> None:
    """End all of the person's sessions, this one included."""
    person = await context.authorise(Operation.SIGN_OUT_EVERYWHERE)
    context.acts_on(NodeKind.USER, person.id)
    if context.cookie is not None:
        context.cookie.clear()
    await end_sessions(context, RevocationReason.SIGNED_OUT, TenantId(person.tenant_id), person.id)


async def own_sessions(context: Context, page: PageRequest) -> Page[SessionRecord]:
    """The person's live sessions, newest first."""
    person = await context.authorise(Operation.VIEWER_SESSIONS)
    return await sessions.sessions_of(context.reads, person.id, page)


async def revoke_session(context: Context, session_id: str) -> NotFound | InvalidInput | None:
    """End one of one's own sessions; None when it is done."""
    wanted = input_id(NodeKind.SESSION, session_id, "sessionId")
    if isinstance(wanted, InvalidInput):
        return wanted
    person = await context.authorise(Operation.REVOKE_SESSION)
    tenant_id = TenantId(person.tenant_id)
    if not await end_sessions(context, RevocationReason.REVOKED, tenant_id, person.id, wanted):
        return NotFound.of("session")
    return None


async def end_sessions(
    context: Context,
    reason: RevocationReason,
    tenant_id: TenantId,
    user_id: UUID,
    session_id: UUID | None = None,
) -> list[UUID]:
    """End one of a person's sessions, or all, and tell every process; the ids of those that were live.

    Whoever was authorised to is looked at behind all that is waited for: the session may be the one that asks.
    """
    async with context.write(tenant_id) as tx:
        await sessions.hold_sessions(tx, user_id, session_id)
        if context.is_authorised:
            # Without holding the person: a reset holds them and then their sessions.
            await context.authorise_for_good(tx, hold=False)
        ended = await sessions.revoke(tx, reason, user_id=user_id, session_id=session_id)
    await context.services.standings.changed(tenant_id, ended)
    return ended


async def _session_of_cookie(context: Context) -> tuple[TenantId, UUID, UUID] | None:
    """Tenant, person and session of the browser's cookie; None where no cookie counts, or it is none of ours."""
    if context.cookie is None or not context.cookie.value:
        return None
    try:
        read = context.services.tokens.read(TokenKind.REFRESH, context.cookie.value)
    except InvalidTokenError:
        return None
    async with context.services.postgres.read(read.tenant_id) as reads:
        family = await sessions.family_of(reads, read.id, read.hash)
    return None if family is None else (read.tenant_id, family.user_id, family.session_id)


async def _hand_out(context: Context, tx: WriteTransaction, user: UserRecord, session_id: UUID) -> SignedIn:
    services, tenant_id, token_id = context.services, TenantId(user.tenant_id), new_id()
    refresh_token, token_hash = services.tokens.mint(TokenKind.REFRESH, tenant_id, token_id)
    await sessions.add_refresh_token(tx, session_id, token_id, token_hash)
    access_token, expires_at = services.signer.issue_access(user.id, tenant_id, session_id)
    context.become(services.signer.check_access(access_token), user)
    if context.cookie is None:
        return SignedIn(access_token, expires_at, refresh_token, user)
    context.cookie.set(refresh_token, services.settings.refresh_token_ttl)
    return SignedIn(access_token, expires_at, None, user)


def _idle_until(context: Context) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=context.services.settings.refresh_token_ttl)
