"""graphql-transport-ws: one context to an operation, and rights that are looked at for as long as a socket is open.

The methods of Strawberry's handler that are overridden here are private to it: `tests/schema/test_hooks.py` names them.
"""

from __future__ import annotations

import asyncio
import copy
import math
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, cast

import orjson
import structlog
from graphql import FieldNode, GraphQLError, OperationDefinitionNode, get_operation_ast, parse
from sqlalchemy.exc import SQLAlchemyError
from starlette.websockets import WebSocketDisconnect
from strawberry.asgi import ASGIWebSocketAdapter
from strawberry.http.exceptions import WebSocketDisconnected
from strawberry.subscriptions.protocols.graphql_transport_ws.handlers import Operation
from strawberry.subscriptions.protocols.graphql_transport_ws.types import (
    ConnectionInitMessage,
    PingMessage,
    SubscribeMessage,
)

from app.socket_limits import LimitedSocket
from core.errors import RequestError
from core.ids import new_id
from core.tasks import end_tasks
from datastores.records import UserRecord
from resolvers.context import Context
from schema.persisted import with_document_id

FORBIDDEN = 4403
TRY_AGAIN = 1013
REASON_BYTES = 123
"""Of a close frame's reason (RFC 6455, 5.5)."""
AGAIN_SECONDS = 1.0
"""Pause after PostgreSQL could not be asked."""
OWN_FIELDS = frozenset({"answer", "conversation"})
"""Subscriptions to what is the person's own: a weaker role still reads it."""
log = structlog.get_logger(__name__)


class WebSocketHandler(LimitedSocket):
    """A bad operation fails alone; who may no longer be here is told why, and shown out."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._watching: asyncio.Task[None] | None = None
        self._extensions: dict[str, dict[str, Any]] = {}
        """Of operations that have been accepted, and have not begun to run."""
        self._contexts: dict[str, Context] = {}
        """Of operations that run."""

    async def handle_subscribe(self, message: SubscribeMessage) -> None:
        """Accept an operation, which may name its document by a hash; Strawberry drops the payload's `extensions`."""
        payload: dict[str, Any] = dict(message["payload"])
        try:
            extensions = with_document_id(payload.get("extensions"), payload.get("documentId"))
        except RequestError as error:
            told = GraphQLError(error.message, extensions=error.extensions(new_id().hex))
            await self.send_message({"id": message["id"], "type": "error", "payload": [told.formatted]})
            return
        payload["query"] = payload.get("query") or ""
        await super().handle_subscribe(cast("SubscribeMessage", {**message, "payload": payload}))
        if extensions and message["id"] in self.operations:
            self._extensions[message["id"]] = extensions

    async def cleanup_operation(self, operation_id: str) -> None:
        """End an operation, which may not have begun to run."""
        self._extensions.pop(operation_id, None)
        await super().cleanup_operation(operation_id)

    async def run_operation(self, operation: Operation[Context, None]) -> None:
        """Run one operation of the socket with loaders and a transaction of its own."""
        scope = copy.copy(self)  # shares the socket and the operations; only `context` differs
        scope.context = self.context.for_operation()
        scope.context.extensions = self._extensions.pop(operation.id, {})
        self._contexts[operation.id] = scope.context
        try:
            await super(WebSocketHandler, scope).run_operation(operation)
        finally:
            # The id is free before the operation's end has been sent, so another may have it by now.
            if self._contexts.get(operation.id) is scope.context:
                del self._contexts[operation.id]

    async def handle_connection_init(self, message: ConnectionInitMessage) -> None:
        """Acknowledge, and from then on keep an eye on what the token is good for."""
        try:
            await super().handle_connection_init(message)
        except (SQLAlchemyError, OSError) as error:
            log.warning("socket not signed in", error=type(error).__name__)
            await self.websocket.close(TRY_AGAIN, "Nobody can be signed in at the moment. Try again later.")
            return
        if self.connection_acknowledged and self.context.claims is not None and self._watching is None:
            self._watching = asyncio.create_task(self._watch(), name="socket-rights")

    async def handle_ping(self, message: PingMessage) -> None:
        """Answer; a ping that carries `authorization` renews the socket's token."""
        payload = message.get("payload")
        given = payload.get("authorization") if isinstance(payload, dict) else None
        if given is None:
            await self.send_message({"type": "pong"})
        else:
            await self.send_message({"type": "pong", "payload": self._renew(given)})

    async def handle_task_exception(self, error: Exception) -> None:
        """A client that went away while it was sent something is no fault worth a traceback."""
        if not isinstance(error, WebSocketDisconnected):
            await super().handle_task_exception(error)

    async def shutdown(self) -> None:
        """Stop watching before the operations end."""
        if self._watching is not None:
            await end_tasks([self._watching])
        await super().shutdown()

    @staticmethod
    def _get_pre_execution_close_reason(error: GraphQLError) -> str | None:
        """Never a reason to close: the `error` message says what is wrong with the one operation."""
        return None

    def _renew(self, authorization: object) -> dict[str, object]:
        """Take a fresh token of the same session; whatever else comes changes nothing."""
        fresh = self.context.for_operation()
        fresh.claims, fresh.token_problem = None, None
        fresh.authenticate(authorization if isinstance(authorization, str) else "?")
        old, new = self.context.claims, fresh.claims
        if fresh.token_problem is not None or new is None:
            return {"authorization": "refused", "reason": fresh.token_problem or "No token was given."}
        if old is None or (old.session_id, old.user_id) != (new.session_id, new.user_id):
            return {"authorization": "refused", "reason": "This token is of another session: open another socket."}
        self.context.claims = new
        return {"authorization": "renewed", "expiresAt": new.expires_at.isoformat() if new.expires_at else None}

    async def _watch(self) -> None:
        """End what the person may no longer do, within two seconds of the change."""
        standings = self.context.services.standings
        known: UserRecord | None = None
        async with standings.watch(self.context.reads.tenant_id) as watch:
            while (claims := self.context.claims) is not None:
                left = _seconds_left(claims.expires_at)
                if left <= 0:
                    expired = "The access token has expired: renew it with a ping, or connect again."
                    await self._show_out(RequestError.unauthenticated(expired))
                    return
                context = self.context.for_operation()
                try:
                    person = await standings.person(context.reads, claims)
                except RequestError as error:
                    await self._show_out(error)
                    return
                except (SQLAlchemyError, OSError):
                    left = min(left, AGAIN_SECONDS)
                else:
                    if known is not None and not person.role.covers(known.role):
                        await self._narrow(person)
                    known = person
                finally:
                    await context.aclose()
                await watch.news(claims.session_id, left)

    async def _narrow(self, person: UserRecord) -> None:
        """The role has become weaker: what is not the person's own must be asked for again, and is then checked."""
        error = RequestError.forbidden(f"Your role is now {person.role.value}: subscribe again.")
        for operation in list(self.operations.values()):
            context = self._contexts.get(operation.id)
            if context is None or not _root_fields(context.document, operation.operation_name) <= OWN_FIELDS:
                await self._end(operation, error)

    async def _show_out(self, error: RequestError) -> None:
        for operation in list(self.operations.values()):
            await self._end(operation, error)
        await self.websocket.close(code=FORBIDDEN, reason=error.message)

    async def _end(self, operation: Operation[Context, None], error: RequestError) -> None:
        extensions = error.extensions(self.context.request_id)
        if operation.task is not None:
            await end_tasks([operation.task])
        # Not as the operation itself would: it may have ended just now, and then nothing more is said.
        if not operation.completed:
            await operation.send_initial_errors([GraphQLError(error.message, extensions=extensions)])


class JsonTextAdapter(ASGIWebSocketAdapter):
    """Sends text frames, which is what the protocol asks for, though our JSON is made as bytes."""

    async def close(self, code: int, reason: str) -> None:
        """Close with as much of the reason as fits; nothing happens to a socket that has been closed already."""
        shown = reason.encode("utf-8", "replace")[:REASON_BYTES].decode("utf-8", "ignore")
        with suppress(WebSocketDisconnect, RuntimeError):
            await super().close(code, shown)

    async def send_json(self, message: Mapping[str, object]) -> None:
        """Send one message. Raises `WebSocketDisconnected`."""
        try:
            await self.ws.send_text(orjson.dumps(message).decode())
        except (WebSocketDisconnect, RuntimeError) as error:
            raise WebSocketDisconnected from error


def _seconds_left(expires_at: datetime | None) -> float:
    return math.inf if expires_at is None else (expires_at - datetime.now(UTC)).total_seconds()


def _root_fields(document: str | None, operation_name: str | None) -> set[str]:
    """Names of the operation's root fields."""
    try:
        found: OperationDefinitionNode | None = get_operation_ast(parse(document or ""), operation_name)
    except GraphQLError:
        return {""}
    nodes: tuple[Any, ...] = tuple(found.selection_set.selections) if found else ()
    return {node.name.value if isinstance(node, FieldNode) else "" for node in nodes}
