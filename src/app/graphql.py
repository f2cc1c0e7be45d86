"""The GraphQL endpoint: Strawberry's ASGI view with our contexts, JSON, uploads and WebSocket manners."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from http import HTTPStatus
from typing import Any

import orjson
import structlog
from cross_web import AsyncHTTPRequestAdapter, HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket
from strawberry.http import GraphQLHTTPResponse, GraphQLRequestData
from strawberry.schema.exceptions import InvalidOperationTypeError
from strawberry.subscriptions import GRAPHQL_TRANSPORT_WS_PROTOCOL
from strawberry.types import ExecutionResult
from strawberry.types.graphql import OperationType
from strawberry.types.unset import UNSET, UnsetType

from app.cookies import allowed_origins, cookie_of
from app.graphql_requests import read_get, read_post
from app.negotiation import JSON, media_type_for, response_status, status_of
from app.request_limits import BeyondLimitError, read_json
from app.sockets import JsonTextAdapter, WebSocketHandler
from app.streams.endpoint import StreamingGraphQL, SubResponse
from app.uploads import RequestAdapter, close_files, discard, discard_before_the_end
from core.errors import RequestError, RequestErrorCode
from core.ids import new_id
from datastores.rates import whole_seconds
from resolvers.audit_trail import CONNECT, CROSS_ORIGIN
from resolvers.auditing import write_denial_at_the_door, write_denials
from resolvers.context import Context
from resolvers.services import Client, Services
from schema.execution import AGAIN_MS, INTERNAL, passing
from schema.executor import response_too_large
from schema.root import make_schema

log = structlog.get_logger(__name__)
_BAD = RequestErrorCode.BAD_USER_INPUT
_METHODS = ("GET", "POST")
COST_HEADER = "x-colloquy-cost"
"""Of a request that asks what it costs."""

_SUBSCRIPTION = (
    "A subscription's events come in a stream: ask for one by `Accept: text/event-stream`, or by "
    '`Accept: multipart/mixed;subscriptionSpec="1.0", application/json`, or use a WebSocket (graphql-transport-ws).'
)


class ColloquyGraphQL(StreamingGraphQL):
    """POST (JSON and multipart), GET for queries, results one after another over SSE and in parts, and WebSocket."""

    graphql_transport_ws_handler_class = WebSocketHandler
    request_adapter_class = RequestAdapter
    websocket_adapter_class = JsonTextAdapter  # type: ignore[assignment]

    def __init__(self, services: Services) -> None:
        settings = services.settings
        super().__init__(
            services,
            make_schema(introspection=settings.introspection_enabled, settings=settings),
            graphql_ide=None,
            subscription_protocols=(GRAPHQL_TRANSPORT_WS_PROTOCOL,),
            multipart_uploads_enabled=True,
            allowed_origins=allowed_origins(settings),
            connection_init_wait_timeout=timedelta(seconds=settings.socket_init_timeout),
            max_subscriptions_per_connection=None,  # the handler has a limit of its own, with a better answer
        )
        self._services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve; what is wrong with a request as a whole is said as a GraphQL error, too."""
        if scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return
        request = Request(scope, receive)
        try:
            response = await self._response(request)
            # A streamed operation begins with its response.
            await response(scope, receive, send)
        finally:
            await close_files(request)

    async def _response(self, request: Request) -> Response:
        """The response, whatever is wrong with the request."""
        try:
            response = await self._respond(request)
        except _RefusedError as error:
            await discard_before_the_end(request)
            response = _refusal(request, error.status, RequestError(_BAD, error.reason), Allow=error.allow)
        except HTTPException as error:
            if error.status_code != HTTPStatus.REQUEST_TIMEOUT:
                await discard_before_the_end(request)
            code = RequestErrorCode.LIMIT_EXCEEDED if isinstance(error, BeyondLimitError) else _BAD
            wrong = RequestError(code, error.reason)
            response = _refusal(request, error.status_code, wrong, getattr(error, "details", {}))
        except RequestError as error:
            await discard(request)
            await self._note_denial(request, error)
            response = _refusal(request, status_of(error.code.value), error)
        except Exception as error:
            # Before the operation: nothing has been done.
            if (trouble := passing(error, _request_id(request), repeatable=True)) is not None:
                overload = trouble.code is RequestErrorCode.RATE_LIMITED
                response = _refusal(request, 429 if overload else 503, trouble)
                response.headers["retry-after"] = str(whole_seconds(trouble.retry_after_ms or AGAIN_MS))
            else:
                log.error("request failed", request_id=_request_id(request), exc_info=error)
                response = _refusal(request, 500, RequestError(RequestErrorCode.INTERNAL, INTERNAL))
        finally:
            context: Context | None = getattr(request.state, "context", None)
            if context is not None:
                await context.aclose()
        if context is not None and context.retry_after_ms is not None:
            response.headers["retry-after"] = str(whole_seconds(context.retry_after_ms))
        return response

    async def _respond(self, request: Request) -> Response:
        """The response, if the client takes what we have to give."""
        media_type = media_type_for(request.headers.getlist("accept"))
        if not self.prepare_stream(request, only=media_type is None) and media_type is None:
            raise HTTPException(406, "This API answers in application/graphql-response+json or application/json.")
        request.state.media_type = media_type or JSON
        if request.method not in _METHODS:
            raise _RefusedError(405, f"{request.method} is not a method of this API.", allow=", ".join(_METHODS))
        return await self.run(request)

    async def get_context(self, request: Request | WebSocket, response: Response | WebSocket) -> Context:
        """The context of a request, or of a socket until its operations get their own."""
        client = _client(request)
        cookie = cookie_of(request, response, self._services.settings)
        context = Context(self._services, None, self._public_url(request), client, cookie)
        context.authenticate(request.headers.get("authorization"))
        if request.headers.get(COST_HEADER) == "1":
            context.report_cost()
        request.state.context = context
        if isinstance(request, Request):
            # Before the body is read. A socket's operations are counted one by one.
            await context.take_request()
        return context

    async def on_ws_connect(self, context: Context) -> UnsetType | dict[str, object] | None:
        """Sign the socket in. Without `authorization` it may do what nobody needs to be signed in for.

        Raises `RequestError` with the reason for a token that is no good: the error of Strawberry's has none.
        """
        given, context.connection_params = context.connection_params, None  # not kept as long as the socket
        context.authenticate((given or {}).get("authorization"))
        if context.claims is None and context.token_problem is None:
            return UNSET  # type: ignore[no-any-return]
        try:
            await context.person()
        except RequestError as error:
            await write_denial_at_the_door(context, CONNECT, error)
            raise
        finally:
            await context.aclose()
        return UNSET  # type: ignore[no-any-return]

    def should_render_graphql_ide(self, request: object) -> bool:
        """Never: GraphiQL has an address of its own."""
        return False

    async def parse_http_body(self, request: AsyncHTTPRequestAdapter) -> GraphQLRequestData:
        """The operation that is asked for. Raises HTTPException."""
        assert isinstance(request, RequestAdapter)
        if request.method == "GET":
            await self.gate.enter()
            return read_get(request.query_string, request.settings)
        return await read_post(request, self.gate)

    async def execute_operation(
        self,
        request: Request,
        request_adapter: AsyncHTTPRequestAdapter,
        request_data: GraphQLRequestData | list[GraphQLRequestData],
        context: Context,
        root_value: None,
        sub_response: Response,
    ) -> Any:
        """The result, or the results to come. Raises `_RefusedError` for what must not be asked in this way."""
        assert isinstance(request_data, GraphQLRequestData)
        if await self.is_streamed(request, request_data, context):
            return await self.results(request, request_data, context)
        try:
            return await self.schema.execute(
                request_data.query,
                request_data.variables,
                context,
                root_value,
                request_data.operation_name,
                OperationType.from_http(request_adapter.method),
                request_data.extensions,
            )
        except InvalidOperationTypeError as error:
            if error.operation_type is OperationType.MUTATION:
                reason = error.as_http_error_reason(request_adapter.method)
                raise _RefusedError(405, reason, allow="POST") from None
            raise HTTPException(400, _SUBSCRIPTION) from None

    async def process_result(self, request: Request, result: ExecutionResult) -> GraphQLHTTPResponse:
        """The response's body; without `data` where nothing was executed, as the GraphQL specification has it."""
        body = await super().process_result(request, result)
        # An error of a field has a path. Those of variables come from the execution, and have none.
        if result.data is None and result.errors and all(error.path is None for error in result.errors):
            del body["data"]
        return body

    def create_response(
        self, response_data: GraphQLHTTPResponse | list[GraphQLHTTPResponse], sub_response: Response
    ) -> Response:
        """The response, of the type that was agreed on, with the status that goes with it."""
        assert isinstance(response_data, dict)
        assert isinstance(sub_response, SubResponse)
        media_type = sub_response.media_type or JSON
        status = response_status(response_data, media_type)
        body = self.encode_json(response_data)
        if len(body) > self._services.settings.limit_response_bytes:
            # Escapes and everything but texts are not counted before.
            error = response_too_large(self._services.settings)
            extensions = {**(error.extensions or {}), "requestId": new_id().hex}
            log.warning("response too large", request_id=extensions["requestId"], bytes=len(body))
            status = response_status({"errors": [{"extensions": extensions}]}, media_type)
            body = self.encode_json({"errors": [{"message": error.message, "extensions": extensions}]})
        if (framing := sub_response.framing) is None:
            response = Response(body, status, media_type=f"{media_type}; charset=utf-8")
        else:
            response = Response(framing.begin() + framing.one_result(body), headers=framing.headers)
        response.headers.raw.extend(sub_response.headers.raw)
        return response

    async def _note_denial(self, request: Request, error: RequestError) -> None:
        """Write down what was denied before any operation began."""
        context: Context | None = getattr(request.state, "context", None)
        if context is not None:
            await context.aclose()
            await write_denials(context)
        else:
            # Refused while its context was made.
            request.state.context = await self._note_page_of_elsewhere(request, error)

    async def _note_page_of_elsewhere(self, request: Request | WebSocket, error: RequestError) -> Context:
        context = Context(self._services, None, "", _client(request))
        await write_denial_at_the_door(context, CROSS_ORIGIN, error)
        return context

    async def reject_websocket(self, request: WebSocket) -> WebSocket:
        """Refuse the handshake of a page of elsewhere."""
        await self._note_page_of_elsewhere(request, RequestError.forbidden("A page of elsewhere opens no socket."))
        return await super().reject_websocket(request)

    def decode_json(self, data: str | bytes) -> object:
        """A socket's message. Raises `LimitExceededError`, or json.JSONDecodeError."""
        return read_json(data.encode() if isinstance(data, str) else data, self._services.settings)

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


def _client(request: Request | WebSocket) -> Client:
    return Client(request.client.host if request.client else "", request.headers.get("user-agent", ""))


class _RefusedError(Exception):
    """The request's method is not the one for it."""

    def __init__(self, status: int, reason: str, *, allow: str) -> None:
        super().__init__(reason)
        self.status, self.reason, self.allow = status, reason, allow


def _request_id(request: Request) -> str:
    context: Context | None = getattr(request.state, "context", None)
    return context.request_id if context is not None else new_id().hex


def _refusal(
    request: Request, status: int, error: RequestError, details: Mapping[str, object] = {}, **headers: str
) -> Response:
    extensions = {**error.extensions(_request_id(request)), **details}
    body = {"errors": [{"message": error.message, "extensions": extensions}]}
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    media_type = getattr(request.state, "media_type", JSON)
    return Response(orjson.dumps(body), status, headers, f"{media_type}; charset=utf-8")
