"""What one WebSocket may ask of a process: a place, well-formed messages, so many operations, and not to idle.

The methods of Strawberry's handler that are overridden here are private to it: `tests/schema/test_hooks.py` names them.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

from graphql import GraphQLError
from strawberry.subscriptions.protocols.graphql_transport_ws.handlers import BaseGraphQLTransportWSHandler
from strawberry.subscriptions.protocols.graphql_transport_ws.types import (
    ConnectionInitMessage,
    Message,
    SubscribeMessage,
)

from app.message_budget import TOO_MANY
from app.socket_places import SocketPlace
from app.socket_protocol import TRY_AGAIN
from core.errors import RequestError
from core.ids import new_id
from core.tasks import end_tasks
from resolvers.context import Context
from schema.limits.refusal import Limit, LimitExceededError

if TYPE_CHECKING:
    from app.graphql import ColloquyGraphQL

NORMAL = 1000
ID_CHARS = 255
"""Of an operation's id: every message about it carries it."""


class LimitedSocket(BaseGraphQLTransportWSHandler[Context, None]):
    """A socket that is held to the settings `SOCKET_…` and `SOCKETS_…`, and to the rates."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._settings = self.context.services.settings
        self._place: SocketPlace | None = None
        self._active_at = 0.0
        """When the client last said something, or an operation ended, by the loop's clock."""
        self._idle_timer: asyncio.TimerHandle | None = None
        self._closing: asyncio.Task[None] | None = None

    async def handle(self) -> None:
        """Serve the socket to its end, if its address has a place left, and does not open them too fast."""
        context = self.context
        if (limited := await context.take(context.by_address(context.limits.sockets))) is not None:
            await self.websocket.close(TRY_AGAIN, limited.message)
            return
        address = context.services.rates.subjects.address(context.client.address)
        self._place = cast("ColloquyGraphQL", self.view).socket_places.arrive(address)
        if self._place is None:
            await self.websocket.close(TOO_MANY, "Too many sockets are open from this address. Try again later.")
            return
        try:
            self._active()
            self._look_again(self._settings.socket_idle_timeout)
            await super().handle()
        finally:
            self._place.leave()

    async def handle_message(self, message: Message) -> None:
        """Whatever is no message of the protocol closes the socket with 4400."""
        # A message that waits already is received without a pause: others must have their turn in between.
        await asyncio.sleep(0)
        self._active()
        if _is_well_formed(message):
            await super().handle_message(message)
        else:
            await self.handle_invalid_message("This is not a message of graphql-transport-ws")

    async def handle_connection_init(self, message: ConnectionInitMessage) -> None:
        """Acknowledge; who has too many sockets open is told so, and shown out."""
        again = self.connection_acknowledged
        await super().handle_connection_init(message)
        if again or not self.connection_acknowledged or self.context.claims is None:
            return
        assert self._place is not None, "the socket is being served"
        if not self._place.sign_in(self.context.subject):
            self.connection_acknowledged = False
            most = self._settings.sockets_per_person
            who = "You have" if self.context.claims.user_id else "The API keys of your organisation have"
            await self.websocket.close(TOO_MANY, f"{who} {most} sockets open, the most allowed. Close one first.")

    async def handle_subscribe(self, message: SubscribeMessage) -> None:
        """Accept an operation. One too many, or too often, fails alone, before its document is parsed."""
        # What breaks the protocol is Strawberry's to answer.
        if self.connection_acknowledged and message["id"] not in self.operations:
            refused = await self.refusal(message)
            if refused is not None:
                await self.send_message({"id": message["id"], "type": "error", "payload": [refused.formatted]})
                return
        await super().handle_subscribe(message)

    def forget_id(self, id: str) -> None:
        """Free an operation's id; the client may have completed it in the same moment."""
        self._active()
        self.operations.pop(id, None)

    async def shutdown(self) -> None:
        """End what watches over the socket before its operations end."""
        if self._idle_timer is not None:
            self._idle_timer.cancel()
            self._idle_timer = None
        if self._closing is not None:
            await end_tasks([self._closing])
        await super().shutdown()

    async def refusal(self, message: SubscribeMessage) -> GraphQLError | None:
        """Why an operation is not accepted, where the protocol has nothing against it: there are too many."""
        most, running = self._settings.socket_operations, len(self.operations)
        if running >= most:
            exceeded = LimitExceededError(Limit.SOCKET_OPERATIONS, most, running + 1)
            return GraphQLError(exceeded.message, extensions={**(exceeded.extensions or {}), "requestId": new_id().hex})
        try:
            await self.context.take_request()
        except RequestError as error:
            return GraphQLError(error.message, extensions=error.extensions(new_id().hex))
        return None

    def _active(self) -> None:
        self._active_at = asyncio.get_running_loop().time()

    def _look_again(self, seconds: float) -> None:
        self._idle_timer = asyncio.get_running_loop().call_later(seconds, self._look_whether_idle)

    def _look_whether_idle(self) -> None:
        allowed = self._settings.socket_idle_timeout
        left = self._active_at + allowed - asyncio.get_running_loop().time()
        if self.operations:
            left = allowed
        if left > 0:
            self._look_again(left)
            return
        reason = f"Nothing has happened here for {allowed:g} seconds."
        self._closing = asyncio.create_task(self.websocket.close(NORMAL, reason), name="socket-idle")


def _names_a_document(payload: dict[str, Any]) -> bool:
    """Whether there is a text, or an id or a hash in the place of one."""
    if payload.get("query") is not None:
        return isinstance(payload["query"], str)
    if payload.get("documentId") is not None:
        return True
    extensions = payload.get("extensions")
    return isinstance(extensions, dict) and "persistedQuery" in extensions


def _is_well_formed(message: object) -> bool:
    """Whether it has the shape that Strawberry takes on trust."""
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        return False
    if message["type"] not in ("subscribe", "complete"):
        return True
    id = message.get("id")
    if not isinstance(id, str) or not 1 <= len(id) <= ID_CHARS:
        return False
    if message["type"] == "complete":
        return True
    payload = message.get("payload")
    return (
        isinstance(payload, dict)
        and _names_a_document(payload)
        and isinstance(payload.get("documentId"), str | None)
        and isinstance(payload.get("operationName"), str | None)
        and isinstance(payload.get("variables"), dict | None)
        and isinstance(payload.get("extensions"), dict | None)
    )
