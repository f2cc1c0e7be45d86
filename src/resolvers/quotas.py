"""What an organisation may keep, as the platform's operator sets it on the server, and as uploads run into it."""

from __future__ import annotations

from core.ids import NodeKind, TenantId
from core.settings import Settings
from datastores import quotas
from datastores.audit import add_entry
from datastores.postgres import Purpose
from datastores.quotas import Quota, Standing
from datastores.tenants import tenant_by_id
from datastores.transactions import Reads
from resolvers.arguments import input_id
from resolvers.audit_trail import QUOTA_SET, AuditTrail
from resolvers.results import InvalidInput, NotFound, QuotaExceeded, QuotaKind
from resolvers.services import Services


async def refusal(reads: Reads, settings: Settings, byte_size: int) -> QuotaExceeded | None:
    """Why another document of so many bytes is one too many; None where it is not.

    Only in a transaction that holds the tenant's documents does that last until the document is added.
    """
    now = await quotas.standing(reads, settings)
    wanted = Quota(now.used.documents + 1, now.used.bytes + byte_size)
    if wanted.documents > now.limit.documents:
        return QuotaExceeded.of(QuotaKind.DOCUMENTS, now.limit.documents, wanted.documents)
    if wanted.bytes > now.limit.bytes:
        return QuotaExceeded.of(QuotaKind.BYTES, now.limit.bytes, wanted.bytes)
    return None


async def quota_of(services: Services, tenant_id: str) -> Standing | NotFound | InvalidInput:
    """What the organisation may keep, and what it keeps."""
    wanted = input_id(NodeKind.TENANT, tenant_id, "tenantId")
    if isinstance(wanted, InvalidInput):
        return wanted
    async with services.postgres.platform(Purpose.ADMIN) as platform:
        if await tenant_by_id(platform, wanted) is None:
            return NotFound.of("organisation")
    async with services.postgres.read(TenantId(wanted)) as tx:
        return await quotas.standing(tx, services.settings)


async def set_quota(
    services: Services, tenant_id: str, *, documents: int | None, bytes: int | None
) -> Standing | NotFound | InvalidInput:
    """Let the organisation keep so much, from now on; None is the platform's default.

    One that keeps more already loses nothing, and adds nothing.
    """
    wanted = input_id(NodeKind.TENANT, tenant_id, "tenantId")
    if isinstance(wanted, InvalidInput):
        return wanted
    trail = AuditTrail(QUOTA_SET, details={"documents": documents, "bytes": bytes})
    trail.names(NodeKind.TENANT, wanted)
    entry = trail.entry(TenantId(wanted), claims=None, person=None, address="", request_id="")
    async with services.postgres.platform(Purpose.ADMIN) as platform:
        if not await quotas.set_quota(platform, wanted, documents=documents, bytes=bytes):
            return NotFound.of("organisation")
        await add_entry(platform, entry)
    services.audit_file.write(entry)
    return await quota_of(services, tenant_id)
