"""The mail to the first person of an organisation that an administrator has founded."""

from __future__ import annotations

from core.ids import TenantId, new_id
from core.opaque_tokens import TokenKind
from datastores.models import TokenPurpose
from datastores.one_time_tokens import NewToken, mail_token
from datastores.records import TenantRecord, UserRecord
from datastores.transactions import PlatformTransaction
from resolvers import account_mails, one_time_links
from resolvers.context import Context


async def add_welcome(context: Context, tx: PlatformTransaction, tenant: TenantRecord, person: UserRecord) -> None:
    """Have the person told, once the transaction has committed; call `JobQueue.deliver_mail` then.

    The link is that of a lost password, and good for as long as an invitation.
    """
    ttl, token_id, kind, tenant_id = (
        context.services.settings.invitation_ttl,
        new_id(),
        TokenKind.PASSWORD_RESET,
        tenant.id,
    )
    token, token_hash = context.services.tokens.mint(kind, TenantId(tenant_id), token_id)
    mail = account_mails.welcome(
        person.email,
        organization=tenant.name,
        link=one_time_links.link(context, kind, token),
        hours=one_time_links.hours(ttl),
    )
    stored = NewToken(
        TenantId(tenant_id), token_id, person.id, TokenPurpose.PASSWORD_RESET, token_hash, one_time_links.until(ttl)
    )
    await mail_token(tx, stored, mail)
