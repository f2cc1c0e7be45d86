"""The GraphQL endpoint: Strawberry's ASGI view with our contexts, JSON, uploads and WebSocket manners."""

from __future__ import annotations

import json
from datetime import timedelta

import orjson
from cross_web import AsyncHTTPRequestAdapter, HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket
from strawberry.asgi import GraphQL
from strawberry.exceptions import ConnectionRejectionError
from strawberry.http import GraphQLRequestData
from strawberry.subscriptions import GRAPHQL_TRANSPORT_WS_PROTOCOL
from strawberry.types.unset import UNSET, UnsetType

from app.cookies import cookie_of
from app.socket_places import SocketPlaces
from app.sockets import JsonTextAdapter, WebSocketHandler
from app.uploads import RequestAdapter, close_files, discard
from core.errors import RequestError, RequestErrorCode
from core.ids import new_id
from datastores.rates import whole_seconds
from resolvers.context import Client, Context, Services
from schema.root import make_schema

_BAD = RequestErrorCode.BAD_USER_INPUT
_STATUS = {RequestErrorCode.UNAUTHENTICATED: 401, RequestErrorCode.FORBIDDEN: 403, RequestErrorCode.RATE_LIMITED: 429}
_CODES = {413: RequestErrorCode.LIMIT_EXCEEDED}


class ColloquyGraphQL(GraphQL[Context, None]):
    """POST (JSON and multipart), GET for queries, and graphql-transport-ws."""

    graphql_transport_ws_handler_class = WebSocketHandler
    request_adapter_class = RequestAdapter
    websocket_adapter_class = JsonTextAdapter

    def __init__(self, services: Services) -> None:
        settings = services.settings
        super().__init__(
            make_schema(introspection=settings.introspection_enabled, settings=settings),
            graphql_ide=None,
            subscription_protocols=(GRAPHQL_TRANSPORT_WS_PROTOCOL,),
            multipart_uploads_enabled=True,
            allowed_origins=settings.cors_origins,
            connection_init_wait_timeout=timedelta(seconds=settings.socket_init_timeout),
            max_subscriptions_per_connection=None,  # the handler has a limit of its own, with a better answer
        )
        self._services = services
        self.socket_places = SocketPlaces(
            per_address=settings.sockets_per_address, per_person=settings.sockets_per_person
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve; what is wrong with a request as a whole is said as a GraphQL error, too."""
        if scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return
        request = Request(scope, receive)
        try:
            response = await self.run(request)
        except HTTPException as error:
            wrong = RequestError(_CODES.get(error.status_code, _BAD), error.reason)
            response = _refusal(error.status_code, wrong)
        except RequestError as error:
            await discard(request)
            response = _refusal(_STATUS[error.code], error)
        finally:
            await close_files(request)
            context: Context | None = getattr(request.state, "context", None)
            if context is not None:
                await context.aclose()
        if context is not None and context.retry_after_ms is not None:
            response.headers["retry-after"] = str(whole_seconds(context.retry_after_ms))
        await response(scope, receive, send)

    async def get_context(self, request: Request | WebSocket, response: Response | WebSocket) -> Context:
        """The context of a request, or of a socket until its operations get their own."""
        client = Client(request.client.host if request.client else "", request.headers.get("user-agent", ""))
        cookie = cookie_of(request, response, self._services.settings)
        context = Context(self._services, None, self._public_url(request), client, cookie)
        context.authenticate(request.headers.get("authorization"))
        if request.headers.get("x-colloquy-cost") == "1":
            context.report_cost()
        request.state.context = context
        if isinstance(request, Request):
            # Before the body is read. A socket's operations are counted one by one.
            await context.take_request()
        return context

    async def on_ws_connect(self, context: Context) -> UnsetType | dict[str, object] | None:
        """Sign the socket in. Without `authorization` it may do what nobody needs to be signed in for."""
        given = (context.connection_params or {}).get("authorization")
        context.authenticate(given if isinstance(given, str) else None)
        if context.token_problem is not None:
            raise ConnectionRejectionError
        if context.claims is not None:
            try:
                await context.person()
            except RequestError:
                raise ConnectionRejectionError from None
            finally:
                await context.aclose()
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


def _refusal(status: int, error: RequestError) -> Response:
    body = {"errors": [{"message": error.message, "extensions": error.extensions(new_id().hex)}]}
    return Response(orjson.dumps(body), status, media_type="application/json")
