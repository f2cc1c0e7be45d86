"""Removing a stored file whose removal is an entry of the outbox already: a sweep does what cannot be done here."""

from __future__ import annotations

from uuid import UUID

import structlog
from sqlalchemy.exc import SQLAlchemyError

from core.ids import TenantId
from datastores import file_removals
from datastores.storage.base import StorageError
from resolvers.services import Services

log = structlog.get_logger(__name__)


async def remove_file(services: Services, tenant_id: TenantId, document_id: UUID) -> None:
    """Remove the file and its entry; what fails is left to the sweep. Call it after the commit."""
    try:
        await services.files.delete(tenant_id, document_id)
        async with services.postgres.write(tenant_id) as tx:
            await file_removals.done(tx, document_id)
    except (StorageError, OSError, SQLAlchemyError) as error:
        log.warning("file not removed yet", document=document_id.hex, error=type(error).__name__)
