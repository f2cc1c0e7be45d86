"""Single pages of documents."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import sqlalchemy as sa
from strawberry.dataloader import DataLoader

from datastores.models import DocumentPage
from datastores.records import DocumentPageRecord, select_record, table
from datastores.transactions import Reads

_pages = table(DocumentPage)
Key = tuple[UUID, int]


class PagesOfDocuments(DataLoader[Key, DocumentPageRecord | None]):
    """A document's page by (document id, number from 1); None where there is no such page."""

    def __init__(self, reads: Reads) -> None:
        super().__init__(self._load)
        self._reads = reads

    async def _load(self, keys: Sequence[Key]) -> list[DocumentPageRecord | None]:
        statement = select_record(DocumentPageRecord).where(
            _pages.c.tenant_id == self._reads.tenant_id,
            sa.tuple_(_pages.c.document_id, _pages.c.number).in_(keys),
        )
        found = {(row.document_id, row.number): row for row in await self._reads.records(DocumentPageRecord, statement)}
        return [found.get(key) for key in keys]
