"""How results are written into an HTTP response that goes on: the two protocols that clients speak."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

import orjson

from app.negotiation import JSON, content_type

EVENT_STREAM: Final = "text/event-stream"
MULTIPART: Final = "multipart/mixed"
_BOUNDARY: Final = "graphql"
_SUBSCRIPTION_SPEC: Final = "1.0"


class Framing(Protocol):
    """One protocol. What each method returns is sent as it is."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Of the response."""
        ...

    @property
    def heartbeat(self) -> bytes:
        """What keeps an idle connection from being taken for a dead one."""
        ...

    def begin(self) -> bytes:
        """Sent at once, so that the client knows that it is connected."""
        ...

    def result(self, body: object, cursor: str | None) -> bytes:
        """One result of the operation; `cursor` is the place after it, where there is one."""
        ...

    def one_result(self, body: bytes) -> bytes:
        """The only result of an operation, which is JSON already, and the end."""
        ...

    def refused(self, errors: list[object]) -> bytes:
        """The operation is ended from outside."""
        ...

    def complete(self) -> bytes:
        """There is nothing more to come. A stream that ends without it has been cut, and can be resumed."""
        ...


class EventStream:
    """GraphQL over SSE, distinct connections mode: the protocol of the package graphql-sse."""

    headers: Final = {
        "Content-Type": f"{EVENT_STREAM}; charset=utf-8",
        # `no-transform`: a compressing proxy would hold events back. The other one is nginx's.
        "Cache-Control": "no-store, no-transform",
        "X-Accel-Buffering": "no",
    }
    heartbeat: Final = b":\n\n"

    def begin(self) -> bytes:
        """A comment: some clients take the response's head for nothing until a byte of the body has come."""
        return self.heartbeat

    def result(self, body: object, cursor: str | None) -> bytes:
        """`event: next`, with the cursor as the id that browsers send back as `Last-Event-ID`."""
        place = b"" if cursor is None else b"id: %b\n" % cursor.encode()
        return b"event: next\n%bdata: %b\n\n" % (place, orjson.dumps(body))

    def one_result(self, body: bytes) -> bytes:
        """As any other result, and the end."""
        return b"event: next\ndata: %b\n\n%b" % (body, self.complete())

    def refused(self, errors: list[object]) -> bytes:
        """A last result, and the end."""
        return self.result({"errors": errors}, None) + self.complete()

    def complete(self) -> bytes:
        """`event: complete`. Browsers drop an event without data, so there is an empty one."""
        return b"event: complete\ndata:\n\n"


class Multipart:
    """Apollo's multipart subscription protocol, `subscriptionSpec=1.0`."""

    headers: Final = {
        "Content-Type": f'{MULTIPART};boundary="{_BOUNDARY}";subscriptionSpec={_SUBSCRIPTION_SPEC}',
        "Cache-Control": "no-store, no-transform",
        "X-Accel-Buffering": "no",
    }

    def __init__(self) -> None:
        self.heartbeat: Final = self._part({})

    def begin(self) -> bytes:
        """The boundary before the first part, and a heartbeat."""
        return b"\r\n--%b%b" % (_BOUNDARY.encode(), self.heartbeat)

    def result(self, body: object, cursor: str | None) -> bytes:
        """A part with the result as its `payload`; a cursor has no place of its own here."""
        return self._part({"payload": body})

    def one_result(self, body: bytes) -> bytes:
        """As any other result, and the end."""
        return self._part({"payload": orjson.Fragment(body)}) + self.complete()

    def refused(self, errors: list[object]) -> bytes:
        """Errors beside an empty payload are the transport's, and end the subscription."""
        return self._part({"payload": None, "errors": errors}) + self.complete()

    def complete(self) -> bytes:
        """What makes of the last boundary the end."""
        return b"--\r\n"

    def _part(self, content: object) -> bytes:
        # With the boundary that follows: a client knows a part's end by it, and must not wait for the next one.
        head = f"\r\nContent-Type: {JSON}; charset=utf-8\r\n\r\n".encode()
        return b"%b%b\r\n--%b" % (head, orjson.dumps(content), _BOUNDARY.encode())


def framing_for(accept: Sequence[str]) -> Framing | None:
    """The first that the `Accept` headers name and that we speak; None when they name none."""
    for part in (part for value in accept for part in value.split(",")):
        kind, parameters = content_type(part)
        if parameters.get("q", "1").strip("0.") == "":
            continue
        if kind == EVENT_STREAM:
            return EventStream()
        # Without the parameter it is the protocol of `@defer`, which is another one.
        if kind == MULTIPART and parameters.get("subscriptionspec") == _SUBSCRIPTION_SPEC:
            return Multipart()
    return None
