"""The mail to the first person of an organisation that an administrator has founded."""

from __future__ import annotations

from core.ids import TenantId
from core.mail import Mail
from datastores.outbox import add_mail
from datastores.records import TenantRecord, UserRecord
from datastores.transactions import PlatformTransaction
from resolvers.context import Context


async def add_welcome(context: Context, tx: PlatformTransaction, tenant: TenantRecord, person: UserRecord) -> None:
    """Have the person told, once the transaction has committed; call `JobQueue.deliver_mail` then."""
    text = (
        f"Hello {person.name},\n\nthe organisation {tenant.name} has been founded on Colloquy, and you manage it.\n\n"
        f"Choose a password at {context.public_url} with this address, {person.email}.\n"
    )
    await add_mail(tx, TenantId(tenant.id), Mail(person.email, "Your organisation on Colloquy", text))
