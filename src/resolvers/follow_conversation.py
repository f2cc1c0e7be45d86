"""Following a conversation: a snapshot, then every change, from PostgreSQL; Redis only says when to look."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from uuid import UUID

from sqlalchemy.exc import SQLAlchemyError

from core.errors import RequestError
from core.ids import InvalidIdError, NodeKind, TenantId
from datastores import conversations, redis_keys
from datastores.conversation_changes import Change, Deleted, History, decode_place
from resolvers.arguments import argument_id
from resolvers.context import Context
from resolvers.permissions import Operation
from resolvers.services import Services

SILENCE_SECONDS = 5.0
"""A follower looks at least this often, whether or not it is told to."""
RETRY_SECONDS = 1.0
"""Pause after PostgreSQL could not be read."""


async def follow_conversation(
    context: Context, conversation_id: str, after: str | None
) -> tuple[UUID, AsyncGenerator[Change, None]]:
    """The conversation's id, and its changes after a cursor, or from a snapshot on, for as long as it is there.

    Raises `RequestError` at once: a malformed id or cursor, a cursor of another conversation, an unknown or foreign
    conversation.
    """
    wanted = argument_id(NodeKind.CONVERSATION, conversation_id)
    person = await context.authorise(Operation.CONVERSATION)
    if not await conversations.own_conversations(context.reads, person.id, [wanted]):
        raise RequestError.bad_input("There is no such conversation.")
    place = None
    if after is not None:
        try:
            of, place = decode_place(after)
        except InvalidIdError as error:
            raise RequestError.bad_input(str(error)) from None
        if of != wanted:
            raise RequestError.bad_input("`after` is a cursor of another conversation.")
    # A subscription must not sit on a connection of the pool while it waits.
    await context.reads.aclose()
    history = History(person.id, wanted, place)
    return wanted, _changes(context.services, TenantId(person.tenant_id), wanted, history)


async def _changes(
    services: Services, tenant_id: TenantId, conversation_id: UUID, history: History
) -> AsyncGenerator[Change, None]:
    # Listening comes first: what is committed after a look is told behind it.
    async with services.live.follow(redis_keys.conversation_live(tenant_id, conversation_id)) as feed:
        while True:
            try:
                async with services.postgres.read(tenant_id) as tx:
                    news = await history.news(tx)
            except (SQLAlchemyError, OSError):
                await asyncio.sleep(RETRY_SECONDS)
                continue
            for change in news:
                yield change
                if isinstance(change.body, Deleted):
                    return
            await feed.take(SILENCE_SECONDS)
