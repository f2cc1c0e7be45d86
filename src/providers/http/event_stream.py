"""Server-sent events: bytes in as they come, the data of whole events out.

As the HTML standard has the format, less what no model server sends: field names other than `data` are left out, and
an event that the end of the stream cuts off is dropped.
"""

from __future__ import annotations

MAX_EVENT_BYTES = 4 * 1024 * 1024
"""Of one event, and of what is kept of an unfinished line: a megabyte of text, escaped, fits."""
_LINE_BYTES = 64
"""What keeping a line costs besides its text: an event of many short lines must not be had for nothing."""
_BOM = b"\xef\xbb\xbf"


class EventTooLongError(Exception):
    """An event, or a line, is longer than `MAX_EVENT_BYTES`."""


class EventStream:
    """Feed it the body's pieces, however they are cut. One per response."""

    __slots__ = ("_after_cr", "_begun", "_data", "_rest", "_size")

    def __init__(self) -> None:
        self._rest = bytearray()
        """The line that has not ended."""
        self._data: list[bytes] = []
        self._size = 0
        """What `_data` takes: the event that has not ended."""
        self._after_cr = False
        self._begun = False

    def feed(self, piece: bytes) -> list[bytes]:
        """The data of each event that ends in this piece, in order. Raises `EventTooLongError`."""
        if not piece:
            # It would stand between the two bytes of a CRLF, and make two line ends of them.
            return []
        if self._after_cr or b"\r" in piece:
            piece = self._with_plain_ends(piece)
        if b"\n" not in piece:
            self._keep(piece)
            return []
        if self._rest:
            self._rest += piece
            piece = bytes(self._rest)
            self._rest.clear()
        lines = piece.split(b"\n")
        unfinished = lines.pop()
        if not self._begun:
            self._begun = True
            lines[0] = lines[0].removeprefix(_BOM)
        events = self._events(lines)
        if unfinished:
            self._keep(unfinished)
        return events

    def _events(self, lines: list[bytes]) -> list[bytes]:
        events: list[bytes] = []
        for line in lines:
            if line.startswith(b"data:") or line == b"data":
                value = line[6:] if line.startswith(b"data: ") else line[5:]
                self._size += len(value) + _LINE_BYTES
                if self._size > MAX_EVENT_BYTES:
                    raise EventTooLongError
                self._data.append(value)
            elif not line and self._data:
                events.append(self._data[0] if len(self._data) == 1 else b"\n".join(self._data))
                self._data = []
                self._size = 0
        return events

    def _with_plain_ends(self, piece: bytes) -> bytes:
        """The same with each CRLF and CR as LF; the two bytes of a CRLF may come in two pieces."""
        if self._after_cr and piece.startswith(b"\n"):
            piece = piece[1:]
            if not piece:
                self._after_cr = False
                return piece
        self._after_cr = piece.endswith(b"\r")
        return piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _keep(self, piece: bytes) -> None:
        self._rest += piece
        if len(self._rest) > MAX_EVENT_BYTES:
            raise EventTooLongError
