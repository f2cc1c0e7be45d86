"""Bodies of requests: read under a limit, and files only from those who may upload, straight to disk."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from typing import Any

from cross_web import FormData, HTTPException, StarletteRequestAdapter
from starlette.datastructures import FormData as StarletteFormData
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from app.request_limits import MAP_BYTES, BeyondLimitError, operation_bytes
from core.settings import Settings
from resolvers.documents import admit_upload

PREFLIGHT_HEADERS = ("x-colloquy-preflight", "apollo-require-preflight")
_DISCARD_FACTOR = 4
"""A body is read to its end, so that the client hears the answer, up to this many times the limit."""
LEAST_BYTES_PER_SECOND = 4_096
"""Of a form, after the first `request_timeout` seconds: half of what a telephone line gave. It ends who holds a
connection, and the rights of its beginning, by a byte now and then."""
_MOST_FIELDS = 10
_OVERHEAD_BYTES = 1024 * 1024
_DISCARD_SECONDS = 2.0
_DISCARD_BYTES = 64 * 1024 * 1024
_FILE = "A file has a filename."
_BROKEN_OFF = "it was broken off, its last boundary is missing."


class _FormParser(MultiPartParser):
    """Reads a form of one file, to its end; its fields are no larger than an operation may be."""

    def __init__(self, request: Request, pieces: AsyncGenerator[bytes, None]) -> None:
        super().__init__(request.headers, pieces, max_files=1, max_fields=_MOST_FIELDS)
        self._operation_bytes = operation_bytes(request.app.state.settings)
        self._ended = False

    def on_end(self) -> None:
        """Called behind the last boundary."""
        self._ended = True

    def on_part_end(self) -> None:
        """Called after a part's last piece. Raises HTTPException for a field that is not UTF-8: Starlette would read
        something else from it."""
        if self._current_part.file is None:
            try:
                self._current_part.data.decode()
            except UnicodeDecodeError:
                name = self._current_part.field_name[:100]
                raise HTTPException(400, f"The field `{name}` is not UTF-8. {_FILE}") from None
        super().on_part_end()

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        """Called for each piece of a part. Raises `BeyondLimitError` for a field that is too large."""
        part = self._current_part
        most = MAP_BYTES if part.field_name == "map" else self._operation_bytes
        if part.file is None and len(part.data) + end - start > most:
            reason = f"The field `{part.field_name[:100]}` is larger than {most} bytes, the most allowed. {_FILE}"
            raise BeyondLimitError(413, reason, "form_field_bytes", most)
        super().on_part_data(data, start, end)


class LimitedParser(_FormParser):
    """Keeps at most `max_file_bytes + 1` bytes of each file: enough for the use case to see that it is too large."""

    def __init__(self, request: Request, max_file_bytes: int, pause: float) -> None:
        super().__init__(request, _form_pieces(request, max_file_bytes, pause))
        self._room = max_file_bytes + 1

    async def parse(self) -> StarletteFormData:
        """The form. Raises MultiPartException, also for one whose end is missing."""
        form = await super().parse()
        if not self._ended:
            await form.close()
            for file in self._files_to_close_on_error:  # the last one is in no form yet
                file.close()
            raise MultiPartException(_BROKEN_OFF)
        return form

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        """Called for each piece of a part."""
        if self._current_part.file is not None:
            end = min(end, start + self._room)
            self._room -= end - start
        if end > start:
            super().on_part_data(data, start, end)


class _FieldsParser(_FormParser):
    """Reads a form up to its first file, which is left with the client: an empty one stands in for it."""

    def __init__(self, request: Request, max_file_bytes: int, pause: float) -> None:
        pieces = self._up_to_a_file(request, max_file_bytes, pause)
        super().__init__(request, pieces)
        self._found = False

    async def parse(self) -> StarletteFormData:
        """The form. Raises MultiPartException, also for one without a file whose end is missing."""
        form = await super().parse()
        if not self._found and not self._ended:
            raise MultiPartException(_BROKEN_OFF)
        return form

    def on_headers_finished(self) -> None:
        """Called when a part's own headers have been read."""
        super().on_headers_finished()
        if self._current_part.file is not None:
            self._found = True
            self.items.append((self._current_part.field_name, self._current_part.file))

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        """Called for each piece of a part."""
        if not self._found:
            super().on_part_data(data, start, end)

    def on_part_end(self) -> None:
        """Called after a part's last piece."""
        if not self._found:
            super().on_part_end()

    async def _up_to_a_file(self, request: Request, max_file_bytes: int, pause: float) -> AsyncGenerator[bytes, None]:
        async with aclosing(_form_pieces(request, max_file_bytes, pause)) as pieces:
            async for piece in pieces:
                yield piece
                if self._found:
                    return


class RequestAdapter(StarletteRequestAdapter):
    """Reads JSON under a limit of its own; a form under the upload limit, its files are closed with `close_files`."""

    @property
    def settings(self) -> Settings:
        """The API's."""
        settings: Settings = self._request.app.state.settings
        return settings

    @property
    def codings(self) -> list[str]:
        """How the body is said to be compressed, by all lines of the header together."""
        given = ",".join(self._request.headers.getlist("content-encoding")).split(",")
        return [coding.strip().lower() for coding in given if coding.strip()]

    @property
    def query_string(self) -> bytes:
        """The URL's parameters as they came."""
        raw: bytes = self._request.scope["query_string"]
        return raw

    async def get_body(self) -> bytes:
        """The whole body. Raises HTTPException for one that is too large, or too slow."""
        request = self._request
        limit, seconds = self.settings.request_max_bytes, self.settings.request_timeout
        pieces = _bounded(request, limit, f"The request is larger than {limit} bytes, the most allowed.")
        try:
            async with asyncio.timeout(seconds):
                return b"".join([piece async for piece in pieces])
        except TimeoutError:
            raise HTTPException(408, f"The request did not arrive within {seconds:g} seconds.") from None
        except ClientDisconnect:
            raise HTTPException(400, "The request was broken off.") from None

    async def get_form_data(self) -> FormData:
        """The form's fields and files. Raises HTTPException for a malformed, oversized or cross-site body."""
        request = self._request
        if not any(name in request.headers for name in PREFLIGHT_HEADERS):
            # A page elsewhere can post a form without asking; it cannot add a header without asking.
            raise HTTPException(400, f"A multipart request needs the header `{PREFLIGHT_HEADERS[0]}`.")
        admitted = await admit_upload(request.state.context)
        parser = LimitedParser if admitted else _FieldsParser
        try:
            form = await parser(request, self.settings.upload_max_bytes, self.settings.request_timeout).parse()
        except MultiPartException as error:
            raise HTTPException(400, f"The multipart body is not valid: {error.message}") from None
        except ClientDisconnect:
            raise HTTPException(400, "The upload was broken off.") from None
        if not admitted:
            await discard(request)
        request.state.form = form
        # The body may have taken hours: who sent it is looked at anew before anything is done with it.
        await request.state.context.look_again()
        files = {name: value for name, value in form.items() if isinstance(value, UploadFile)}
        return FormData(files=files, form=form)


async def close_files(request: Request) -> None:
    """Remove the temporary files of a request's form."""
    form: Any = getattr(request.state, "form", None)
    if form is not None:
        for _, value in form.multi_items():
            if isinstance(value, UploadFile):
                await value.close()


async def _form_pieces(request: Request, max_file_bytes: int, pause: float) -> AsyncGenerator[bytes, None]:
    """A large file may take its time, but not stop for longer than `pause` seconds, nor come drop by drop."""
    limit = max_file_bytes * _DISCARD_FACTOR + _OVERHEAD_BYTES
    pieces = _bounded(request, limit, f"The file is larger than {max_file_bytes} bytes, the most allowed.")
    began, received = time.monotonic(), 0
    while True:
        late = began + pause + received / LEAST_BYTES_PER_SECOND - time.monotonic()
        try:
            async with asyncio.timeout(min(pause, late)):
                piece = await anext(pieces, None)
        except TimeoutError:
            slow = f"Nothing of the upload arrived for {pause:g} seconds, or less than {LEAST_BYTES_PER_SECOND} bytes"
            raise HTTPException(408, f"{slow} a second.") from None
        if piece is None:
            return
        received += len(piece)
        yield piece


async def _bounded(request: Request, limit: int, refusal: str) -> AsyncGenerator[bytes, None]:
    announced = int(request.headers.get("content-length") or 0)
    if announced > limit:
        raise BeyondLimitError(413, refusal, "request_bytes", limit, announced)
    received = 0
    async for piece in request.stream():
        received += len(piece)
        if received > limit:
            raise BeyondLimitError(413, refusal, "request_bytes", limit)
        yield piece


async def discard(request: Request) -> None:
    """Read on for a while: a client that is still sending would lose the answer with the connection."""
    if "expect" in request.headers:
        return  # it sends nothing until it is told to
    # RuntimeError: it has been read to its end already.
    with suppress(TimeoutError, HTTPException, ClientDisconnect, RuntimeError):
        async with asyncio.timeout(_DISCARD_SECONDS):
            async for _ in _bounded(request, _DISCARD_BYTES, ""):
                pass


async def discard_before_the_end(request: Request) -> None:
    """As `discard`, where the connection is closed behind the answer; on others what still comes is read anyway."""
    if request.scope["http_version"] == "1.0" or "close" in request.headers.get("connection", "").lower():
        await discard(request)
