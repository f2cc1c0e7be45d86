"""The mail to the first person of an organisation that an administrator has founded."""

from __future__ import annotations

from core.ids import TenantId
from datastores.models import TokenPurpose
from datastores.records import TenantRecord, UserRecord
from datastores.transactions import PlatformTransaction
from resolvers import account_mails
from resolvers.context import Context
from resolvers.one_time_links import mail_link


async def add_welcome(context: Context, tx: PlatformTransaction, tenant: TenantRecord, person: UserRecord) -> None:
    """Have the person told, once the transaction has committed; call `JobQueue.deliver_mail` then.

    The link is that of a lost password, and good for as long as an invitation.
    """
    await mail_link(
        context,
        tx,
        TokenPurpose.PASSWORD_RESET,
        context.services.settings.invitation_ttl,
        lambda link, hours: account_mails.welcome(person.email, organization=tenant.name, link=link, hours=hours),
        tenant_id=TenantId(tenant.id),
        user_id=person.id,
    )
