"""graphql-transport-ws: one context to an operation, and rights that are looked at for as long as a socket is open.

The methods of Strawberry's handler that are overridden here are private to it: `tests/schema/test_hooks.py` names them.
"""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Any, cast

import orjson
import structlog
from graphql import GraphQLError
from sqlalchemy.exc import SQLAlchemyError
from starlette.websockets import WebSocketDisconnect, WebSocketState
from strawberry.asgi import ASGIWebSocketAdapter
from strawberry.http.exceptions import NonJsonMessageReceived, NonTextMessageReceived, WebSocketDisconnected
from strawberry.subscriptions.protocols.graphql_transport_ws.handlers import Operation
from strawberry.subscriptions.protocols.graphql_transport_ws.types import (
    ConnectionInitMessage,
    PingMessage,
    SubscribeMessage,
)

from app.outlets import OperationOutlet
from app.rights import changed_rights, too_weak_for, write_down
from app.socket_limits import LimitedSocket
from app.socket_protocol import EXTENSION, TRY_AGAIN
from core.errors import RequestError, RequestErrorCode
from core.ids import new_id
from core.tasks import end_tasks
from datastores.records import UserRecord
from resolvers.audit_trail import CONNECT
from resolvers.auditing import write_denials
from resolvers.context import Asked, Context
from schema.execution import INTERNAL, passing
from schema.limits.refusal import LimitExceededError
from schema.persisted import with_document_id

if TYPE_CHECKING:
    from app.graphql import ColloquyGraphQL

BAD_REQUEST = 4400
FORBIDDEN = 4403
SMALL_MESSAGE = 2_048
"""Characters that are read in no time; larger ones, of many sockets at once, one after another."""
REASON_BYTES = 123
"""Of a close frame's reason (RFC 6455, 5.5)."""
LEFT_SECONDS = 0.5
"""For what is under way when the rights have ended: to say so to each operation, and for mutations to come to an end.
Where nobody could tell of the change it is seen after a second, and two seconds are all."""
_RENEW = "renew it with a ping, or connect again."
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
        self._tasks: set[asyncio.Task[Any]] = set()
        """Of operations that have begun to run, also of those of which nothing more is said."""
        self._ending: set[asyncio.Task[None]] = set()
        """Of those that end operations."""
        self._refused: RequestError | None = None
        """Why nothing more is begun here."""
        self._running: Operation[Context, None] | None = None
        """Of the copy that runs it alone."""

    async def handle_subscribe(self, message: SubscribeMessage) -> None:
        """Accept an operation, which may name its document by a hash; Strawberry drops the payload's `extensions`."""
        payload: dict[str, Any] = {**message["payload"], "query": message["payload"].get("query") or ""}
        await super().handle_subscribe(cast("SubscribeMessage", {**message, "payload": payload}))

    async def refusal(self, message: SubscribeMessage) -> GraphQLError | None:
        """Why an operation is not accepted; what it asks for in its `extensions` is noted otherwise."""
        if self._refused is not None:
            self.context.denied(CONNECT, self._refused)
            return _as_graphql(self._refused)
        refused = await super().refusal(message)
        if refused is not None:
            return refused
        payload: dict[str, Any] = dict(message["payload"])
        try:
            extensions = with_document_id(payload.get("extensions"), payload.get("documentId"))
        except RequestError as error:
            return _as_graphql(error)
        if extensions:
            self._extensions[message["id"]] = extensions
        return None

    async def cleanup_operation(self, operation_id: str) -> None:
        """End an operation, which may not have begun to run. Nothing more is said of it: its id may be taken again."""
        self._extensions.pop(operation_id, None)
        if (operation := self.operations.get(operation_id)) is not None:
            operation.completed = True
        await super().cleanup_operation(operation_id)

    async def run_operation(self, operation: Operation[Context, None]) -> None:
        """Run one operation of the socket with loaders and a transaction of its own."""
        scope = copy.copy(self)  # shares the socket and the operations; only these two differ
        scope.context, scope._running = self.context.for_operation(), operation
        scope.context.extensions = self._extensions.pop(operation.id, {})
        connection = cast("JsonTextAdapter", self.websocket).ws.scope["extensions"].get(EXTENSION)
        if connection is not None:
            scope.context.outlet = OperationOutlet(connection, operation)
        self._contexts[operation.id] = scope.context
        task = asyncio.current_task()
        assert task is not None, "an operation is a task"
        self._tasks.add(task)
        try:
            await cast("ColloquyGraphQL", self.view).gate.enter()
            await super(WebSocketHandler, scope).run_operation(operation)
        finally:
            self._tasks.discard(task)
            # The id is free before the operation's end has been sent, so another may have it by now.
            if self._contexts.get(operation.id) is scope.context:
                del self._contexts[operation.id]

    async def handle_connection_init(self, message: ConnectionInitMessage) -> None:
        """Acknowledge, and from then on keep an eye on what the token is good for."""
        try:
            await super().handle_connection_init(message)
        except RequestError as error:
            await self._close_as_forbidden(error)
            return
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
        """Tell the client of a fault, which Strawberry would end with `complete`, as if there had been no result. A
        client that went away while it was sent something is no fault."""
        if isinstance(error, WebSocketDisconnected):
            return
        if self._running is None:
            await super().handle_task_exception(error)
            return
        request_id = self.context.request_id
        told = passing(error, request_id, repeatable=False)
        if told is None:
            log.error("request failed", request_id=request_id, exc_info=error)
            told = RequestError(RequestErrorCode.INTERNAL, INTERNAL)
        with suppress(WebSocketDisconnected):
            await self._running.send_initial_errors([_as_graphql(told, request_id)])

    async def shutdown(self) -> None:
        """Stop watching before the operations end, and wait for all of them: a mutation goes to its end."""
        if self._watching is not None:
            await end_tasks([self._watching])
        await end_tasks(tuple(self._ending))
        running = tuple(self._tasks)
        await super().shutdown()
        await end_tasks(running)

    @staticmethod
    def _get_pre_execution_close_reason(error: GraphQLError) -> str | None:
        """Never a reason to close: the `error` message says what is wrong with the one operation."""
        return None

    def _renew(self, authorization: object) -> dict[str, object]:
        """Take a fresh token of the same session; whatever else comes changes nothing."""
        if self._refused is not None:
            return {"authorization": "refused", "reason": self._refused.message}
        fresh = self.context.for_operation()
        fresh.claims, fresh.token_problem = None, None
        fresh.authenticate(authorization)
        old, new = self.context.claims, fresh.claims
        if fresh.token_problem is not None or new is None:
            return {"authorization": "refused", "reason": fresh.token_problem or "No token was given."}
        if old is None or (old.session_id, old.user_id) != (new.session_id, new.user_id):
            return {"authorization": "refused", "reason": "This token is of another session: open another socket."}
        self.context.claims = new
        return {"authorization": "renewed", "expiresAt": new.expires_at.isoformat() if new.expires_at else None}

    async def _watch(self) -> None:
        """End what the person may no longer do, within two seconds of the change."""
        async with aclosing(changed_rights(self.context, renew=_RENEW)) as changes:
            async for change in changes:
                if isinstance(change, RequestError):
                    await self._show_out(change)
                    return
                for running in self._contexts.values():
                    running.see_as(change.person)
                if change.weaker:
                    self._narrow(change.person)

    def _narrow(self, person: UserRecord) -> None:
        """The role has become weaker: what is not the person's own must be asked for again, and is then checked."""
        for operation in list(self.operations.values()):
            if error := too_weak_for(self._asked(operation), person):
                self._end(operation, error)

    async def _show_out(self, error: RequestError) -> None:
        """End queries and subscriptions at once; a mutation is not: its own look decides, and its result is sent if it
        comes in time. Otherwise the socket closes, and the mutation goes to its end behind it."""
        self._refused = error
        running = list(self.operations.values())
        mutations = [one for one in running if (asked := self._asked(one)) is not None and asked.is_mutation]
        waited_for = {one.task for one in mutations if one.task is not None}
        waited_for |= {self._end(one, error) for one in running if one not in mutations}
        if waited_for:
            await asyncio.wait(waited_for, timeout=LEFT_SECONDS)
        await self._close_as_forbidden(error)
        await write_denials(self.context)

    async def _close_as_forbidden(self, error: RequestError) -> None:
        """Say which error it is, so that a client knows whether to refresh its session or to give up."""
        await self.websocket.close(FORBIDDEN, f"{error.code.value}: {error.message}")

    def _asked(self, operation: Operation[Context, None]) -> Asked | None:
        context = self._contexts.get(operation.id)
        return context.asked if context else None

    def _end(self, operation: Operation[Context, None], error: RequestError) -> asyncio.Task[Any]:
        """End an operation, whether or not it gives way at once; the task is done when it has."""
        context = self._contexts.get(operation.id)
        if operation.task is not None:
            operation.task.cancel()
        ending = asyncio.create_task(self._tell(operation, context, error), name="socket-operation-end")
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)
        return ending

    async def _tell(self, operation: Operation[Context, None], context: Context | None, error: RequestError) -> None:
        # It may have ended just now, and then nothing more is said. After this nothing of it is sent.
        if not operation.completed:
            try:
                with suppress(WebSocketDisconnected):
                    await operation.send_initial_errors([_as_graphql(error, self.context.request_id)])
            finally:
                if context is not None:
                    await write_down(context, error)
        if operation.task is not None:
            await end_tasks([operation.task])


def _as_graphql(error: RequestError, request_id: str | None = None) -> GraphQLError:
    return GraphQLError(error.message, extensions=error.extensions(request_id or new_id().hex))


class JsonTextAdapter(ASGIWebSocketAdapter):
    """Sends text frames, which is what the protocol asks for, though our JSON is made as bytes."""

    async def iter_json(self, *, ignore_parsing_errors: bool = False) -> AsyncGenerator[object, None]:
        """What the client says; one that says more than a message may have is told so, and closed."""
        view = cast("ColloquyGraphQL", self.view)
        while self.ws.application_state is not WebSocketState.DISCONNECTED:
            try:
                text = await self.ws.receive_text()
                if len(text) > SMALL_MESSAGE:
                    await view.gate.enter()
                message = view.decode_json(text)
            except WebSocketDisconnect:
                return
            except KeyError as error:
                raise NonTextMessageReceived from error
            except json.JSONDecodeError as error:
                if not ignore_parsing_errors:
                    raise NonJsonMessageReceived from error
            except LimitExceededError as error:
                await self.close(BAD_REQUEST, error.message)
                return
            else:
                yield message

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
