"""`/files/{signed}`: originals, by links that expire."""

from __future__ import annotations

import os
import stat
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import structlog
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from core.ids import TenantId
from core.security import InvalidTokenError
from datastores.outages import is_overload
from datastores.records import DocumentRecord
from datastores.storage.base import FileReader, StorageError
from resolvers.documents import open_link
from resolvers.services import Services

# A stranger's file must never run as a page of ours; it is an attachment, too.
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; sandbox",
    "Cache-Control": "private, no-store",
}
log = structlog.get_logger(__name__)


async def original(request: Request) -> Response:
    """The file that a signed link opens: 404 when it is gone and for a link that we have not made, 403 for one that
    has been good, 503 when we are busy, or storage is away."""
    services: Services = request.app.state.services
    try:
        record = await open_link(services, request.path_params["signed"])
    except InvalidTokenError as error:
        return PlainTextResponse(str(error), 403, headers=_HEADERS)
    except Exception as error:
        if not is_overload(error):
            raise
        return _busy(1)
    return _gone() if record is None else _Stored(services, record)


def _gone() -> Response:
    return PlainTextResponse("There is no such file, or it is no longer there.", 404, headers=_HEADERS)


def _busy(seconds: int) -> Response:
    return PlainTextResponse("Try again shortly.", 503, headers={**_HEADERS, "Retry-After": str(seconds)})


class _Stored(Response):
    """A document's original, open for as long as it is sent."""

    def __init__(self, services: Services, record: DocumentRecord) -> None:
        super().__init__()
        self._services, self._record = services, record

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        files, record = self._services.files, self._record
        begun = False

        async def begin(message: Any) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            async with files.open(TenantId(record.tenant_id), record.id) as reader:
                await _Sent(reader, record)(scope, receive, begin)
        except FileNotFoundError:
            await _gone()(scope, receive, send)
        except StorageError as error:
            log.warning("original not sent", document=record.id.hex, error=str(error))
            if begun:
                raise  # the connection is cut, which is how the client can tell that this was not all
            await _busy(5)(scope, receive, send)


class _Sent(FileResponse):
    """Starlette's response with a file, ranges and all, that reads it from storage."""

    def __init__(self, reader: FileReader, record: DocumentRecord) -> None:
        # Mode, three unknowns, owner, group, size, and the times of reading, writing and changing.
        known = os.stat_result((stat.S_IFREG, 0, 0, 0, 0, 0, reader.size, 0, int(reader.modified), 0))
        super().__init__("", media_type=record.content_type, filename=record.name, headers=_HEADERS, stat_result=known)
        self._reader = reader

    @asynccontextmanager
    async def _open_file(self) -> AsyncGenerator[Any, None]:
        yield _Cursor(self._reader)


class _Cursor:
    """What the response asks of a file."""

    def __init__(self, reader: FileReader) -> None:
        self._reader, self._position = reader, 0

    async def seek(self, position: int) -> None:
        """Go there."""
        self._position = position

    async def read(self, length: int) -> bytes:
        """At most so many bytes; none at the end."""
        piece = await self._reader.read_at(self._position, length)
        self._position += len(piece)
        return piece
