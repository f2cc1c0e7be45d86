"""A WebSocket by hand: frames that no client library would send."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from contextlib import suppress
from types import TracebackType
from typing import Any

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
PROTOCOL = "graphql-transport-ws"
_KEY = "dGhlIHNhbXBsZSBub25jZQ=="


class Refused(Exception):
    """The upgrade was: the HTTP status."""


class Closed(Exception):
    """The server has closed the socket: the code, and the reason."""


def frame(
    payload: bytes, opcode: int = TEXT, *, end: bool = True, reserved: int = 0, mask: bool = True, size: int = -1
) -> bytes:
    """One frame (RFC 6455, 5.2); `size` is what its header says, where that is not true."""
    size = len(payload) if size < 0 else size
    bit = 0x80 if mask else 0
    head = bytes([(0x80 if end else 0) | reserved << 4 | opcode])
    if size < 126:
        head += bytes([bit | size])
    elif size < 1 << 16:
        head += struct.pack("!BH", bit | 126, size)
    else:
        head += struct.pack("!BQ", bit | 127, size)
    # A key of zeros leaves the payload as it is.
    return head + (b"\0\0\0\0" if mask else b"") + payload


class RawSocket:
    """One connection, as a context; `receive` gives messages, and raises `Closed`.

    With `room`, so many bytes (about) are taken from the network before they are asked for, and no more.
    """

    def __init__(
        self, host: str, port: int, protocol: str = PROTOCOL, *, room: int | None = None, **headers: str
    ) -> None:
        self._address, self._room = (host, port), room
        self.pongs = 0
        self._headers = {
            "Host": f"{host}:{port}",
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": _KEY,
            "Sec-WebSocket-Protocol": protocol,
            **headers,
        }

    async def __aenter__(self) -> RawSocket:
        if self._room is None:
            self._reader, self._writer = await asyncio.open_connection(*self._address)
        else:
            connection = socket.socket()
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._room)
            connection.setblocking(False)
            await asyncio.get_running_loop().sock_connect(connection, self._address)
            self._reader, self._writer = await asyncio.open_connection(sock=connection, limit=self._room)
        try:
            await self._upgrade()
        except BaseException:
            self._writer.close()
            raise
        return self

    async def _upgrade(self) -> None:
        head = "".join(f"{name}: {value}\r\n" for name, value in self._headers.items())
        self._writer.write(f"GET /graphql HTTP/1.1\r\n{head}\r\n".encode())
        status = int((await self._reader.readuntil(b"\r\n\r\n")).split()[1])
        if status != 101:
            raise Refused(str(status))

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()

    async def send(self, *frames: bytes) -> None:
        """Bytes as they are. What the server no longer reads is lost."""
        try:
            for one in frames:
                self._writer.write(one)
                await self._writer.drain()
        except ConnectionError:
            pass  # it has closed, and `receive` says why

    async def send_json(self, *messages: Any) -> None:
        """Messages, in one piece."""
        await self.send(b"".join(map(text_frame, messages)))

    async def sign_in(self, token: str | None) -> None:
        """Begin, and have it acknowledged."""
        payload = {} if token is None else {"authorization": f"Bearer {token}"}
        await self.send_json({"type": "connection_init", "payload": payload})
        assert (await self.receive())["type"] == "connection_ack"

    async def subscribe(self, id: str, query: str, /, **variables: Any) -> None:
        """Send an operation."""
        await self.send_json(operation(id, query, **variables))

    async def ended(self) -> None:
        """Wait until the server has ended the connection; what comes until then is passed over."""
        with suppress(ConnectionError):
            await self._reader.read()

    async def receive(self) -> dict[str, Any]:
        """The next message. Raises `Closed`."""
        while True:
            try:
                first, second = await self._reader.readexactly(2)
                size = second & 0x7F
                if size > 125:
                    wide = "!H" if size == 126 else "!Q"
                    (size,) = struct.unpack(wide, await self._reader.readexactly(struct.calcsize(wide)))
                payload = await self._reader.readexactly(size)
            except (asyncio.IncompleteReadError, ConnectionError):
                raise Closed(1006, "") from None
            if first & 0x0F == CLOSE:
                code = struct.unpack("!H", payload[:2])[0] if payload else 1005
                raise Closed(code, payload[2:].decode())
            self.pongs += first & 0x0F == PONG
            if first & 0x0F == TEXT:
                return json.loads(payload)  # type: ignore[no-any-return]


def text_frame(message: Any) -> bytes:
    """A message as a client sends it."""
    return frame(json.dumps(message).encode())


def operation(id: str, query: str, /, **variables: Any) -> dict[str, Any]:
    """A `subscribe` message."""
    return {"id": id, "type": "subscribe", "payload": {"query": query, "variables": variables}}
