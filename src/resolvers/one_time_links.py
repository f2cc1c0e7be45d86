"""Links in mails: a token, the page where it is used, and the mail with both, in one transaction."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID

from core.ids import TenantId, new_id
from core.mail import Mail
from core.opaque_tokens import OpaqueToken, TokenKind
from core.security import InvalidTokenError
from datastores.models import TokenPurpose
from datastores.one_time_tokens import NewToken, mail_token
from datastores.transactions import PlatformTransaction, WriteTransaction
from resolvers import account_mails
from resolvers.context import Context
from resolvers.results import InvalidCredentials

NOT_GOOD = InvalidCredentials("This link is not good, or not any more. Ask for a new one.")
"""Used, expired, replaced, revoked, of somebody who may not come in, or never given out: the answer is the same."""
_ACTIONS = {
    TokenKind.PASSWORD_RESET: "reset",
    TokenKind.EMAIL_VERIFICATION: "verify",
    TokenKind.INVITATION: "invitation",
}
_KINDS = {
    TokenPurpose.PASSWORD_RESET: TokenKind.PASSWORD_RESET,
    TokenPurpose.EMAIL_VERIFICATION: TokenKind.EMAIL_VERIFICATION,
}


def link(context: Context, kind: TokenKind, token: str) -> str:
    """The token's page. It is in the fragment, which browsers send to nobody: no log and no Referer has it."""
    return f"{context.account_page}#{_ACTIONS[kind]}={token}"


def read(context: Context, kind: TokenKind, token: str) -> OpaqueToken | None:
    """What a token names, if we have made it."""
    try:
        return context.services.tokens.read(kind, token)
    except InvalidTokenError:
        return None


def hours(seconds: int) -> int:
    """For a mail's text."""
    return seconds // 3_600


def until(seconds: int) -> datetime:
    """So many seconds from now."""
    return datetime.now(UTC) + timedelta(seconds=seconds)


async def mail_link(
    context: Context,
    tx: WriteTransaction | PlatformTransaction,
    purpose: TokenPurpose,
    ttl: int,
    write: Callable[[str, int], Mail],
    *,
    tenant_id: TenantId,
    user_id: UUID,
) -> bool:
    """Have a person sent the mail that `write` makes of a new link and the hours that it is good for.

    False when that was done a moment ago; for nobody (ids that nothing has) the same is done, and nothing sent.
    """
    kind, token_id = _KINDS[purpose], new_id()
    token, token_hash = context.services.tokens.mint(kind, tenant_id, token_id)
    stored = NewToken(tenant_id, token_id, user_id, purpose, token_hash, until(ttl))
    return await mail_token(tx, stored, write(link(context, kind, token), hours(ttl)))


async def mail_verification(
    context: Context,
    tx: WriteTransaction | PlatformTransaction,
    *,
    tenant_id: TenantId,
    user_id: UUID,
    email: str,
    organization: str,
) -> bool:
    """Have the person asked whether the address is theirs; False when that was done a moment ago."""

    def write(link: str, hours: int) -> Mail:
        return account_mails.address_to_verify(email, organization=organization, link=link, hours=hours)

    ttl = context.services.settings.email_verification_ttl
    return await mail_link(
        context, tx, TokenPurpose.EMAIL_VERIFICATION, ttl, write, tenant_id=tenant_id, user_id=user_id
    )
