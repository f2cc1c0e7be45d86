"""Single pages of documents."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import sqlalchemy as sa
from strawberry.dataloader import DataLoader

from core.errors import ResponseTooLargeError
from datastores.models import DocumentPage
from datastores.records import DocumentPageRecord, table
from datastores.transactions import Reads

_pages = table(DocumentPage)
Key = tuple[UUID, int]


class PagesOfDocuments(DataLoader[Key, DocumentPageRecord | None]):
    """A document's page by (document id, number from 1); None where there is no such page.

    All pages together have at most so many bytes of text; one more raises `ResponseTooLargeError` before it is read.
    """

    def __init__(self, reads: Reads, most_bytes: int) -> None:
        super().__init__(self._load)
        self._reads = reads
        self._bytes_left = most_bytes

    async def _load(self, keys: Sequence[Key]) -> list[DocumentPageRecord | None]:
        so_far = sa.func.sum(sa.func.octet_length(_pages.c.text)).over(order_by=_pages.c.id)
        statement = sa.select(
            _pages.c.id,
            _pages.c.document_id,
            _pages.c.number,
            sa.case((so_far <= self._bytes_left, _pages.c.text)),
        ).where(
            _pages.c.tenant_id == self._reads.tenant_id,
            sa.tuple_(_pages.c.document_id, _pages.c.number).in_(keys),
        )
        found = {(row.document_id, row.number): row for row in await self._reads.records(DocumentPageRecord, statement)}
        if any(row.text is None for row in found.values()):
            raise ResponseTooLargeError
        self._bytes_left -= sum(len(row.text) for row in found.values())
        return [found.get(key) for key in keys]
