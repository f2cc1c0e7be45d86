"""A page of messages for each of many conversations, in one statement."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from strawberry.dataloader import DataLoader

from datastores.models import Message
from datastores.pages import Page, PageRequest, narrow, page_of
from datastores.records import MessageRecord, select_record, table
from datastores.transactions import Reads

_messages = table(Message)
Key = tuple[UUID, PageRequest]


class MessagesOfConversations(DataLoader[Key, Page[MessageRecord]]):
    """Pages in the order of the conversation; one statement for each distinct page request."""

    def __init__(self, reads: Reads) -> None:
        super().__init__(self._load)
        self._reads = reads

    async def _load(self, keys: Sequence[Key]) -> list[Page[MessageRecord]]:
        conversations = defaultdict(list)
        for conversation_id, request in keys:
            conversations[request].append(conversation_id)
        pages: dict[Key, Page[MessageRecord]] = {}
        for request, ids in conversations.items():
            rows = defaultdict(list)
            for row in await self._reads.records(MessageRecord, self._statement(ids, request)):
                rows[row.conversation_id].append(row)
            pages |= {(key, request): page_of(rows[key], request) for key in ids}
        return [pages[key] for key in keys]

    def _statement(self, ids: list[UUID], request: PageRequest) -> sa.Select[tuple[object, ...]]:
        wanted = (
            sa.func.unnest(sa.bindparam("ids", ids, type_=ARRAY(sa.Uuid)))
            .table_valued(sa.column("id", sa.Uuid))
            .render_derived(name="wanted")
        )
        page = narrow(
            select_record(MessageRecord).where(
                _messages.c.tenant_id == self._reads.tenant_id, _messages.c.conversation_id == wanted.c.id
            ),
            [_messages.c.sequence],
            request,
            descending=False,
        ).lateral("page")
        order = page.c.sequence.desc() if request.backwards else page.c.sequence
        return sa.select(page).select_from(wanted.join(page, sa.true())).order_by(order)
