"""The part of the GraphQL endpoint that answers over HTTP with one result after another."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.websockets import WebSocket
from strawberry.asgi import GraphQL
from strawberry.http import GraphQLRequestData
from strawberry.types.graphql import OperationType

from app.socket_places import SocketPlace, SocketPlaces
from app.streams.framing import Framing, framing_for
from app.streams.response import StreamedResponse
from core.errors import RequestError
from core.turns import Gate
from resolvers.context import Context
from resolvers.services import Services
from schema.execution import ColloquySchema

BUSY_RETRY_MS = 5_000
"""What a client is told to wait that has as many connections open as it may: nobody knows when one will end."""


class SubResponse(Response):
    """What a use case and its operation say of the response before there is one."""

    framing: Framing | None = None
    """How the one result is written to a client that takes nothing but streams."""

    def __init__(self) -> None:
        super().__init__()
        del self.headers["content-length"]


class StreamingGraphQL(GraphQL[Context, None]):
    """Streams subscriptions to clients that can take a stream, and frames one result for those that take nothing else.

    A result that is framed is executed as any other: its cookies are in the response's head.
    """

    schema: ColloquySchema

    def __init__(self, services: Services, schema: ColloquySchema, **options: Any) -> None:
        super().__init__(schema, **options)
        settings = services.settings
        self._services = services
        self._heartbeat_seconds = settings.stream_heartbeat_interval
        self.gate = Gate()
        """Where operations begin: one takes up to 40 ms in one piece, before it first waits."""
        self.draining = asyncio.Event()
        """Set when the process is about to end: streams are cut, and their clients resume elsewhere."""
        self.socket_places = SocketPlaces(
            per_address=settings.sockets_per_address, per_person=settings.sockets_per_person
        )
        """Of sockets and of streams over HTTP together."""

    def prepare_stream(self, request: Request, *, only: bool) -> bool:
        """Whether the client takes a stream; `only`: it takes nothing else."""
        request.state.framing = framing_for(request.headers.getlist("accept"))
        request.state.only_streams = only
        return request.state.framing is not None

    async def is_streamed(self, request: Request, data: GraphQLRequestData, context: Context) -> bool:
        """Only a subscription has results to come. Whatever else is asked is done before its response begins."""
        if request.state.framing is None:
            return False
        kind = await self.schema.operation_type(data, context)
        # What was refused is looked at again by the execution, which says why: in a piece of its own.
        await self.gate.enter()
        return kind is OperationType.SUBSCRIPTION

    async def get_sub_response(self, request: Request | WebSocket) -> SubResponse:
        """What a response begins with: its cookies are set on it, and it knows what the client takes."""
        response = SubResponse()
        response.media_type = request.state.media_type
        if request.state.only_streams:
            response.framing = request.state.framing
        return response

    async def results(self, request: Request, data: GraphQLRequestData, context: Context) -> AsyncGenerator[Any, None]:
        """The subscription's events, in a context of its own: the request's ends before the first is sent.

        Raises `RequestError` RATE_LIMITED for one that has too many connections open.
        """
        place = await self._place(context)
        own = context.for_operation()
        own.request_id, own.asked = context.request_id, context.asked
        own.resume_after = request.headers.get("last-event-id") or None
        if context.statements is not None:
            own.report_cost()
        request.state.streamed = (own, place)
        return await self.schema.stream(
            data.query,
            data.variables,
            own,
            None,
            data.operation_name,
            data.extensions,
            OperationType.from_http("POST" if request.method == "POST" else "GET"),
        )

    async def _create_streaming_response(
        self, request: Request, result: Any, protocol: object, sub_response: Response
    ) -> Response:
        context, place = request.state.streamed

        async def as_body(one: Any) -> object:
            return await self.process_result(request, one)

        response = StreamedResponse(
            result,
            request.state.framing,
            context,
            place=place,
            as_body=as_body,
            draining=self.draining,
            heartbeat_seconds=self._heartbeat_seconds,
        )
        response.headers.raw.extend(sub_response.headers.raw)
        return response

    async def _place(self, context: Context) -> SocketPlace:
        address = self._services.rates.subjects.address(context.client.address)
        place = self.socket_places.arrive(address)
        if place is not None:
            # A token that is good no more takes none of the places of those whose it was.
            if not await context.counts() or place.sign_in(context.subject):
                return place
            place.leave()
        context.retry_after_ms = BUSY_RETRY_MS
        whose = "from this address" if place is None else "of yours"
        raise RequestError.rate_limited(f"Too many connections {whose} are open. Close one first.", BUSY_RETRY_MS)
