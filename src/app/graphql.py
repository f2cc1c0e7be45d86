"""The GraphQL endpoint: Strawberry's ASGI view with our contexts, JSON, uploads and WebSocket manners."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from typing import Any

import orjson
from cross_web import AsyncHTTPRequestAdapter, HTTPException
from graphql import GraphQLError
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect
from strawberry.asgi import ASGIWebSocketAdapter, GraphQL
from strawberry.exceptions import ConnectionRejectionError
from strawberry.http import GraphQLRequestData
from strawberry.http.exceptions import WebSocketDisconnected
from strawberry.subscriptions import GRAPHQL_TRANSPORT_WS_PROTOCOL
from strawberry.subscriptions.protocols.graphql_transport_ws.handlers import BaseGraphQLTransportWSHandler, Operation
from strawberry.subscriptions.protocols.graphql_transport_ws.types import SubscribeMessage
from strawberry.types.unset import UNSET, UnsetType

from app.uploads import UploadRequestAdapter, close_files
from core.errors import RequestErrorCode
from core.ids import new_id
from resolvers.context import Context, Services
from schema.root import make_schema

_CODES = {413: RequestErrorCode.LIMIT_EXCEEDED}


class WebSocketHandler(BaseGraphQLTransportWSHandler[Context, None]):
    """One context to an operation, and a bad operation fails alone. The methods are private to Strawberry."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._asked_for_cost: set[str] = set()
        """Ids of operations that have been accepted, and have not begun to run."""

    async def handle_subscribe(self, message: SubscribeMessage) -> None:
        """Accept an operation; Strawberry drops the payload's `extensions`."""
        await super().handle_subscribe(message)
        asked = message["payload"].get("extensions")
        if isinstance(asked, dict) and asked.get("cost") is True and message["id"] in self.operations:
            self._asked_for_cost.add(message["id"])

    async def run_operation(self, operation: Operation[Context, None]) -> None:
        """Run one operation of the socket with loaders and a transaction of its own."""
        scope = copy.copy(self)  # shares the socket and the operations; only `context` differs
        scope.context = self.context.for_operation()
        if operation.id in self._asked_for_cost:
            self._asked_for_cost.remove(operation.id)
            scope.context.report_cost()
        await super(WebSocketHandler, scope).run_operation(operation)

    async def handle_task_exception(self, error: Exception) -> None:
        """A client that went away while it was sent something is no fault worth a traceback."""
        if not isinstance(error, WebSocketDisconnected):
            await super().handle_task_exception(error)

    def forget_id(self, id: str) -> None:
        """Free an operation's id; the client may have completed it in the same moment."""
        self.operations.pop(id, None)

    @staticmethod
    def _get_pre_execution_close_reason(error: GraphQLError) -> str | None:
        """Never a reason to close: the `error` message says what is wrong with the one operation."""
        return None


class JsonTextAdapter(ASGIWebSocketAdapter):
    """Sends text frames, which is what the protocol asks for, though our JSON is made as bytes."""

    async def send_json(self, message: Mapping[str, object]) -> None:
        """Send one message. Raises `WebSocketDisconnected`."""
        try:
            await self.ws.send_text(orjson.dumps(message).decode())
        except (WebSocketDisconnect, RuntimeError) as error:
            raise WebSocketDisconnected from error


class ColloquyGraphQL(GraphQL[Context, None]):
    """POST (JSON and multipart), GET for queries, and graphql-transport-ws."""

    graphql_transport_ws_handler_class = WebSocketHandler
    request_adapter_class = UploadRequestAdapter
    websocket_adapter_class = JsonTextAdapter

    def __init__(self, services: Services) -> None:
        settings = services.settings
        super().__init__(
            make_schema(introspection=settings.introspection_enabled, settings=settings),
            graphql_ide=None,
            subscription_protocols=(GRAPHQL_TRANSPORT_WS_PROTOCOL,),
            multipart_uploads_enabled=True,
            allowed_origins=settings.cors_origins,
        )
        self._services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve; what is wrong with a request as a whole is said as a GraphQL error, too."""
        if scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return
        request = Request(scope, receive)
        try:
            response = await self.run(request)
        except HTTPException as error:
            response = _refusal(error)
        finally:
            await close_files(request)
        await response(scope, receive, send)

    async def get_context(self, request: Request | WebSocket, response: Response | WebSocket) -> Context:
        """The context of a request, or of a socket until its operations get their own."""
        context = Context(self._services, None, self._public_url(request))
        context.authenticate(request.headers.get("authorization"))
        if request.headers.get("x-colloquy-cost") == "1":
            context.report_cost()
        return context

    async def on_ws_connect(self, context: Context) -> UnsetType | dict[str, object] | None:
        """Sign the socket in. Without `authorization` it may do what nobody needs to be signed in for."""
        given = (context.connection_params or {}).get("authorization")
        context.authenticate(given if isinstance(given, str) else None)
        if context.claims is None and context.token_problem is not None:
            raise ConnectionRejectionError
        return UNSET  # type: ignore[no-any-return]

    async def parse_http_body(self, request: AsyncHTTPRequestAdapter) -> GraphQLRequestData | list[GraphQLRequestData]:
        """The operation in a body. Strawberry takes its shape, and a form's map, on trust: a misfit is a 400."""
        try:
            return await super().parse_http_body(request)
        except (json.JSONDecodeError, KeyError):
            raise  # which it does see coming
        except (AttributeError, IndexError, TypeError, ValueError, RecursionError):
            raise HTTPException(400, "The body is not a GraphQL request, or its files are not where it says.") from None

    def decode_json(self, data: str | bytes) -> object:
        """Raises json.JSONDecodeError."""
        return orjson.loads(data)

    def encode_json(self, data: object) -> bytes:
        """The response's body."""
        return orjson.dumps(data)

    def _public_url(self, request: Request | WebSocket) -> str:
        """As set, else as the client addressed us, so that a link works from where it was asked for."""
        settings = self._services.settings
        if settings.public_url:
            return settings.resolved_public_url
        scheme = {"ws": "http", "wss": "https"}.get(request.url.scheme, request.url.scheme)
        return f"{scheme}://{request.url.netloc}"


def _refusal(error: HTTPException) -> Response:
    code = _CODES.get(error.status_code, RequestErrorCode.BAD_USER_INPUT)
    body = {"errors": [{"message": error.reason, "extensions": {"code": code.value, "requestId": new_id().hex}}]}
    return Response(orjson.dumps(body), error.status_code, media_type="application/json")
