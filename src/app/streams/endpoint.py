"""The part of the GraphQL endpoint that answers over HTTP with one result after another."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from strawberry.asgi import GraphQL
from strawberry.http import GraphQLRequestData
from strawberry.types.graphql import OperationType

from app.socket_places import SocketPlace, SocketPlaces
from app.streams.framing import framing_for
from app.streams.response import StreamedResponse
from core.errors import RequestError
from resolvers.context import Context
from resolvers.services import Services
from schema.execution import ColloquySchema

BUSY_RETRY_MS = 5_000
"""What a client is told to wait that has as many connections open as it may: nobody knows when one will end."""


class StreamingGraphQL(GraphQL[Context, None]):
    """Streams what a client can take as a stream: subscriptions, and anything for who takes nothing else."""

    schema: ColloquySchema

    def __init__(self, services: Services, schema: ColloquySchema, **options: Any) -> None:
        super().__init__(schema, **options)
        settings = services.settings
        self._services = services
        self._heartbeat_seconds = settings.stream_heartbeat_interval
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
        """A client that takes both gets one result as JSON, and only a subscription's as a stream."""
        if request.state.framing is None:
            return False
        asked = await self.schema.operation_type(data, context)
        if asked is OperationType.MUTATION and request.method == "GET":
            return False  # refused as any other is
        return bool(request.state.only_streams) or asked is OperationType.SUBSCRIPTION

    async def results(self, request: Request, data: GraphQLRequestData, context: Context) -> AsyncGenerator[Any, None]:
        """What the operation gives, in a context of its own: the request's ends before the first result is sent.

        Raises `RequestError` RATE_LIMITED for one that has too many connections open.
        """
        place = self._place(context)
        own = context.for_operation()
        own.request_id, own.asked = context.request_id, context.asked
        own.refused_upload = context.refused_upload
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

    def _place(self, context: Context) -> SocketPlace:
        address = self._services.rates.subjects.address(context.client.address)
        place = self.socket_places.arrive(address)
        if place is not None and (context.claims is None or place.sign_in(context.subject)):
            return place
        if place is not None:
            place.leave()
        context.retry_after_ms = BUSY_RETRY_MS
        whose = "from this address" if place is None else "of yours"
        raise RequestError.rate_limited(f"Too many connections {whose} are open. Close one first.", BUSY_RETRY_MS)
