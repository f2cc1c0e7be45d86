"""An HTTP response that lasts as long as its operation, its client and the person's rights do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, suppress
from typing import Any

import structlog
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from app.request_protocol import EXTENSION
from app.rights import changed_rights, too_weak_for, write_down
from app.socket_places import SocketPlace
from app.streams.framing import Framing
from core.errors import RequestError
from core.tasks import end_tasks
from resolvers.context import Context

_RENEW = "refresh the session, then ask again after the last cursor."
log = structlog.get_logger(__name__)
Format = Callable[[Any], Awaitable[object]]
"""Makes of an execution's result the body that a client gets."""


class StreamedResponse(Response):
    """Writes each event of a subscription as it comes. Whatever ends first, everything that belongs to it has ended
    when it returns."""

    def __init__(
        self,
        results: AsyncGenerator[Any, None],
        framing: Framing,
        context: Context,
        *,
        place: SocketPlace,
        as_body: Format,
        draining: asyncio.Event,
        heartbeat_seconds: float,
    ) -> None:
        """`context` is that of the operation alone; `draining` is set when the process is about to end."""
        # A connection whose buffers are as small as a stream's are is none for other responses.
        super().__init__(headers={**framing.headers, "Connection": "close"})
        del self.headers["content-length"]
        self._results, self._framing, self._context = results, framing, context
        self._place = place
        self._as_body, self._draining = as_body, draining
        self._heartbeat_seconds = heartbeat_seconds
        self._turn = asyncio.Lock()
        """Of those that write: a part goes out as a whole."""
        self._completed = self._refused = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve until the operation ends, the client leaves, the rights end, or the process does."""
        self._send = send
        if (connection := scope.get("extensions", {}).get(EXTENSION)) is not None:
            connection.begin_stream()
        try:
            await self._serve(receive)
        finally:
            self._place.leave()

    async def _serve(self, receive: Receive) -> None:
        await self._send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        producing = asyncio.create_task(self._produce(), name="stream-results")
        losing = asyncio.create_task(self._lose_rights(), name="stream-rights")
        leaving = asyncio.create_task(_left(receive), name="stream-client")
        draining = asyncio.create_task(self._draining.wait(), name="stream-drain")
        beating = asyncio.create_task(self._beat(), name="stream-heartbeat")
        decisive = (producing, losing, leaving, draining)
        refused: RequestError | None = None
        try:
            await asyncio.wait(decisive, return_when=asyncio.FIRST_COMPLETED)
            if leaving.done():
                return
            if (refused := None if self._completed else _result_of(losing)) is not None:
                # At once, whether or not the operation gives way.
                self._refused = True
                for task in (producing, beating):
                    task.cancel()
                await self._end(self._framing.refused([_told(refused, self._context)]))
        except OSError:
            return  # the client left meanwhile
        finally:
            await end_tasks((*decisive, beating))
            if refused is not None:
                await write_down(self._context, refused)
        if refused is None:
            with suppress(OSError):
                await self._end(b"")

    async def _produce(self) -> None:
        """Write results as they come, and the end. In one task, in which the operation also ends."""
        try:
            await self._write(self._framing.begin())
            async with aclosing(self._results):
                async for result in self._results:
                    body = await self._as_body(result)
                    await self._write(self._framing.result(body, self._context.cursor))
            self._completed = True
            await self._write(self._framing.complete())
        except OSError:
            pass  # the client left
        except Exception as error:
            # Cut, without an end: the client resumes.
            log.error("stream broke off", request_id=self._context.request_id, exc_info=error)

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self._heartbeat_seconds)
            await self._write(self._framing.heartbeat)

    async def _lose_rights(self) -> RequestError | None:
        """Return when the operation may not go on; where nobody is signed in, there is nothing to lose."""
        if self._context.claims is None:
            await asyncio.get_running_loop().create_future()
        async with aclosing(changed_rights(self._context, renew=_RENEW)) as changes:
            async for change in changes:
                if isinstance(change, RequestError):
                    return change
                self._context.see_as(change.person)
                if change.weaker and (refused := too_weak_for(self._context.asked, change.person)):
                    return refused
        return None

    async def _write(self, data: bytes) -> None:
        async with self._turn:
            if not self._refused:
                await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def _end(self, data: bytes) -> None:
        async with self._turn:
            await self._send({"type": "http.response.body", "body": data, "more_body": False})


async def _left(receive: Receive) -> None:
    """Return when the client has closed the connection; what it still sends is of no interest."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _result_of(task: asyncio.Task[RequestError | None]) -> RequestError | None:
    return task.result() if task.done() and not task.cancelled() and task.exception() is None else None


def _told(error: RequestError, context: Context) -> object:
    return {"message": error.message, "extensions": error.extensions(context.request_id)}
