"""Sockets of a product that are on their way to being closed, and what they leave behind."""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import aiohttp

from datastores import redis_keys
from owner import uuid_of
from product import Person, Product

VIEWER = "{ viewer { user { email } } }"
INIT = {"type": "connection_init"}


@asynccontextmanager
async def opened(product: Product) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    """A socket on which nothing has been said."""
    async with product.http.ws_connect(f"{product.url}/graphql", protocols=("graphql-transport-ws",)) as socket:
        yield socket


async def closed(socket: aiohttp.ClientWebSocketResponse) -> tuple[int | None, str]:
    """Code and reason with which the server closes the socket, once it does; other messages are passed over."""
    while (message := await socket.receive()).type is aiohttp.WSMsgType.TEXT:
        pass
    assert message.type is aiohttp.WSMsgType.CLOSE, message
    return message.data, message.extra


async def subscribe(socket: aiohttp.ClientWebSocketResponse, id: str, query: str, /, **variables: Any) -> None:
    """Start an operation."""
    await socket.send_json({"id": id, "type": "subscribe", "payload": {"query": query, "variables": variables}})


async def queued_document(person: Person) -> str:
    """The id of a document that nobody reads."""
    return (await person.upload(os.urandom(8).hex().encode() * 9))["document"]["id"]  # type: ignore[no-any-return]


async def following(person: Person, document: str) -> bool:
    """Whether anything in the product follows the document."""
    channel = redis_keys.document_live(person.tenant_id, uuid_of(document))
    ((_, listeners),) = await person.product.services.redis.pubsub_numsub(channel)
    return bool(listeners)


@contextmanager
def tracebacks() -> Iterator[list[logging.LogRecord]]:
    """Lines of any logger that carry one."""
    found: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = lambda record: found.append(record) if record.exc_info else None  # type: ignore[method-assign]
    logging.getLogger().addHandler(handler)
    try:
        yield found
    finally:
        logging.getLogger().removeHandler(handler)
