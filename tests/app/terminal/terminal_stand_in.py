"""A server that speaks the published contract on a loopback port, follows a test's script, and misbehaves on demand.

It checks every operation against the contract's types, so a client that asks for what is not there fails its test. It
knows nothing of the product's code: clients are written against the wire.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import WSMsgType, web
from graphql import build_schema, execute_sync, get_operation_ast, parse, validate

CONTRACT = build_schema((Path(__file__).parent / "contract.graphql").read_text())


@dataclass(frozen=True)
class Close:
    """Close the socket with a code; None tears the TCP connection down without a word."""

    code: int | None


@dataclass(frozen=True)
class Hang:
    """Say nothing more until the client leaves."""


@dataclass(frozen=True)
class UntilCalled:
    """Say nothing more until the client has called this mutation."""

    name: str


@dataclass(frozen=True)
class Errors:
    """The protocol's `error` message for this operation."""

    code: str
    message: str
    retry_after_ms: int | None = None


@dataclass(frozen=True)
class Fault:
    """What happens to one HTTP request: a status with a plain body, or the connection torn down after the work."""

    status: int | None = None
    location: str | None = None
    body: str = "no"


Script = list[Any]
"""What one subscription yields: contract values (dicts), or the faults above."""


@dataclass
class StandIn:
    """The server's state; a test sets it before it calls the client, and reads the records after."""

    answers: list[Script] = field(default_factory=list)
    """One script for each `answer` subscription, in order."""
    progress: list[Script] = field(default_factory=list)
    results: dict[str, list[Any]] = field(default_factory=dict)
    """For a mutation's field, results to give instead of the usual ones, in order."""
    faults: dict[str, list[Fault]] = field(default_factory=dict)
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    """Every operation that got through: field name and arguments."""
    uploads: list[tuple[str, str, bytes, str | None]] = field(default_factory=list)
    """File name, content type, bytes, and the request's Content-Length."""
    preflights: list[str | None] = field(default_factory=list)
    left: threading.Event = field(default_factory=threading.Event)
    """Set when a client has left a hanging subscription."""
    came: dict[str, asyncio.Event] = field(default_factory=lambda: defaultdict(asyncio.Event))
    """By a mutation's field: that it has been called."""
    url: str = ""
    _tokens: set[str] = field(default_factory=set)
    _issued: int = 0
    _by_key: dict[str, str] = field(default_factory=dict)

    def forget(self) -> None:
        """As new, at the same address."""
        url, fresh = self.url, StandIn()
        self.__dict__.update(fresh.__dict__)
        self.url = url

    def revoke(self) -> None:
        """Every access token stops working, as after 15 minutes."""
        self._tokens.clear()

    def called(self, name: str) -> list[dict[str, Any]]:
        return [arguments for field_name, arguments in self.calls if field_name == name]

    def _root(self) -> dict[str, Any]:
        def mutation(name: str, usual: Callable[[dict[str, Any]], Any]) -> Callable[..., Any]:
            def resolve(_info: Any, input: dict[str, Any]) -> Any:
                self.calls.append((name, input))
                self.came[name].set()
                scripted = self.results.get(name)
                return scripted.pop(0) if scripted else usual(input)

            return resolve

        return {
            "signIn": mutation("signIn", self._sign_in),
            "uploadDocument": mutation("uploadDocument", self._upload),
            "startConversation": mutation(
                "startConversation",
                lambda _: {"__typename": "StartConversationPayload", "conversation": {"id": "conversation-1"}},
            ),
            "sendMessage": mutation("sendMessage", self._send),
            "stopAnswer": mutation(
                "stopAnswer", lambda given: {"__typename": "StopAnswerPayload", "answer": {"id": given["answerId"]}}
            ),
        }

    def _sign_in(self, given: dict[str, Any]) -> Any:
        if given["password"] != "right":
            return {"__typename": "Refusal", "code": "INVALID_CREDENTIALS", "message": "Wrong e-mail or password."}
        self._issued += 1
        token = f"token-{self._issued}"
        self._tokens.add(token)
        return {"__typename": "SignInPayload", "session": {"accessToken": token, "user": {"name": "Ada"}}}

    def _upload(self, given: dict[str, Any]) -> Any:
        name, content_type, content, length = given["file"]
        self.uploads.append((name, content_type, content, length))
        document = {"id": "document-1", "name": name}
        return {"__typename": "UploadDocumentPayload", "document": document}

    def _send(self, given: dict[str, Any]) -> Any:
        number = self._by_key.setdefault(given["idempotencyKey"], str(len(self._by_key) + 1))
        message, answer = {"id": f"message-{number}"}, {"id": f"answer-{number}"}
        return {"__typename": "SendMessagePayload", "message": message, "answer": answer}

    async def http(self, request: web.Request) -> web.StreamResponse:
        self.preflights.append(request.headers.get("x-colloquy-preflight"))
        if request.headers.get("upgrade", "").lower() == "websocket":
            return await self._socket(request)
        if request.content_type == "multipart/form-data":
            form: Any = await request.post()
            operation = json.loads(bytes(form["operations"]))
            assert json.loads(bytes(form["map"])) == {"0": ["variables.input.file"]}
            part = form["0"]
            length = request.headers.get("content-length")
            operation["variables"]["input"]["file"] = (part.filename, part.content_type, part.file.read(), length)
        else:
            operation = await request.json()
        document = parse(operation["query"])
        name = get_operation_ast(document).selection_set.selections[0].name.value  # type: ignore[union-attr]
        fault = self.faults[name].pop(0) if self.faults.get(name) else None
        if fault is not None and fault.status is not None:
            headers = {"Location": fault.location} if fault.location else {}
            return web.Response(status=fault.status, text=fault.body, headers=headers)
        result = self._execute(document, operation.get("variables"), request.headers.get("authorization"), name)
        if fault is not None:
            request.transport.abort()  # type: ignore[union-attr]
        return web.json_response(result)

    def _execute(self, document: Any, variables: Any, authorization: str | None, name: str) -> dict[str, Any]:
        if problems := validate(CONTRACT, document):
            return _errors("GRAPHQL_VALIDATION_FAILED", problems[0].message)
        if name != "signIn" and (authorization or "").removeprefix("Bearer ") not in self._tokens:
            return _errors("UNAUTHENTICATED", "Sign in first.")
        result = execute_sync(CONTRACT, document, self._root(), variable_values=variables)
        return result.formatted  # type: ignore[return-value]

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(protocols=["graphql-transport-ws"])
        await socket.prepare(request)
        assert socket.ws_protocol == "graphql-transport-ws"
        init = await socket.receive_json()
        assert init["type"] == "connection_init"
        if init["payload"]["authorization"].removeprefix("Bearer ") not in self._tokens:
            await socket.close(code=4403, message=b"Forbidden")
            return socket
        await socket.send_json({"type": "connection_ack"})
        subscribe = await socket.receive_json()
        identity, payload = subscribe["id"], subscribe["payload"]
        document = parse(payload["query"])
        assert not validate(CONTRACT, document), validate(CONTRACT, document)
        name = get_operation_ast(document).selection_set.selections[0].name.value  # type: ignore[union-attr]
        self.calls.append((name, payload["variables"]))
        script = (self.answers if name == "answer" else self.progress).pop(0)
        for step in script:
            match step:
                case Close(code=None):
                    request.transport.abort()  # type: ignore[union-attr]
                    return socket
                case Close(code=int() as code):
                    await socket.close(code=code)
                    return socket
                case Hang():
                    while (await socket.receive()).type is WSMsgType.TEXT:
                        pass
                    self.left.set()
                    return socket
                case UntilCalled():
                    await self.came[step.name].wait()
                case Errors():
                    error = _errors(step.code, step.message, step.retry_after_ms)["errors"]
                    await socket.send_json({"id": identity, "type": "error", "payload": error})
                    break
                case _ if callable(step):
                    step()
                case _:
                    data = execute_sync(
                        CONTRACT, document, {name: step}, variable_values=payload["variables"]
                    ).formatted
                    await socket.send_json({"id": identity, "type": "next", "payload": data})
        else:
            await socket.send_json({"id": identity, "type": "complete"})
        while not socket.closed:
            await socket.receive()
        return socket


def _errors(code: str, message: str, retry_after_ms: int | None = None) -> dict[str, Any]:
    extensions: dict[str, Any] = {"code": code, "requestId": "request-7"}
    if retry_after_ms is not None:
        extensions["retryAfterMs"] = retry_after_ms
    return {"data": None, "errors": [{"message": message, "extensions": extensions}]}


@contextmanager
def running_stand_in() -> Iterator[StandIn]:
    """The server on a free loopback port, in a thread of its own, for as long as the block."""
    stand_in = StandIn()
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="stand-in")
    thread.start()

    async def start() -> web.AppRunner:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_route("*", "/graphql", stand_in.http)
        runner = web.AppRunner(app, shutdown_timeout=0.5)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        stand_in.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        return runner

    runner = asyncio.run_coroutine_threadsafe(start(), loop).result()
    try:
        yield stand_in
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
