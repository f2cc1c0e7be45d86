"""Links in mails: a token, the page where it is used, and the mail with both, in one transaction."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

from core.ids import TenantId, new_id
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
    ttl, token_id, kind = context.services.settings.email_verification_ttl, new_id(), TokenKind.EMAIL_VERIFICATION
    token, token_hash = context.services.tokens.mint(kind, tenant_id, token_id)
    mail = account_mails.address_to_verify(
        email, organization=organization, link=link(context, kind, token), hours=hours(ttl)
    )
    stored = NewToken(tenant_id, token_id, user_id, TokenPurpose.EMAIL_VERIFICATION, token_hash, until(ttl))
    return await mail_token(tx, stored, mail)


async def mail_reset(
    context: Context, tx: PlatformTransaction, *, tenant_id: TenantId, user_id: UUID, email: str
) -> None:
    """Have the link to a new password sent; for nobody (ids that nothing has) the same is done, and nothing sent."""
    ttl, token_id, kind = context.services.settings.password_reset_ttl, new_id(), TokenKind.PASSWORD_RESET
    token, token_hash = context.services.tokens.mint(kind, tenant_id, token_id)
    mail = account_mails.lost_password(email, link=link(context, kind, token), hours=hours(ttl))
    stored = NewToken(tenant_id, token_id, user_id, TokenPurpose.PASSWORD_RESET, token_hash, until(ttl))
    await mail_token(tx, stored, mail)
