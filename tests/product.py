"""The product as tests use it: real sockets, real servers, one process."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any
from uuid import UUID

import aiohttp
import uvicorn
from starlette.applications import Starlette

from app.asgi import create_app
from app.server import server_config
from app.worker import run_worker
from core.ids import TenantId
from core.settings import Settings
from core.tasks import end_tasks
from datastores.redis_client import make_redis
from resolvers.services import Services

PASSWORD = "a good password"
UPLOAD = """mutation($input: UploadDocumentInput!) { uploadDocument(input: $input) {
  __typename ... on UploadDocumentPayload { document { id status name contentType } }
  ... on DuplicateDocument { document { id } } ... on UserError { code reason: message } } }"""
PROGRESS = """subscription($id: ID!) { documentProgress(id: $id) {
  status pagesDone pagesTotal chunksDone chunksTotal failure { code message retryable } document { id } } }"""
START = """mutation($input: StartConversationInput!) { startConversation(input: $input) {
  __typename ... on StartConversationPayload { conversation { id title } } ... on UserError { code message } } }"""
SEND = """mutation($input: SendMessageInput!) { sendMessage(input: $input) {
  __typename ... on SendMessagePayload { message { id } answer { id status } }
  ... on UserError { code reason: message } ... on InvalidInput { field } } }"""
ANSWER = """subscription($id: ID!, $after: String) { answer(id: $id, after: $after) {
  __typename ... on StreamEvent { sequence cursor } ... on AnswerStarted { answerId attempt }
  ... on AnswerStep { step detail } ... on AnswerDelta { firstSequence text }
  ... on AnswerCitation { citation { marker quote page documentName distance chunk { id text page start end } } }
  ... on AnswerRestarted { attempt reason }
  ... on AnswerCompleted { answer { id status attempt message { text } citations { marker quote } } }
  ... on AnswerFailed { failure { code message retryable } answer { status message { text } } } } }"""


class OperationFailed(Exception):
    """A subscription was refused: its errors."""


@dataclass
class Person:
    """Somebody who is signed in."""

    product: Product
    token: str
    email: str
    user_id: str

    @property
    def tenant_id(self) -> TenantId:
        """The tenant of the token."""
        return self.product.services.signer.check_access(self.token).tenant_id

    @property
    def session_id(self) -> UUID:
        """The session of the token."""
        return self.product.services.signer.check_access(self.token).session_id

    async def query(self, query: str, **variables: Any) -> dict[str, Any]:
        """The data of an operation that must succeed."""
        body = await self.raw(query, **variables)
        assert "errors" not in body, body
        return body["data"]  # type: ignore[no-any-return]

    async def raw(self, query: str, **variables: Any) -> dict[str, Any]:
        """The whole response."""
        return await self.product.post(query, variables, self.token)

    async def upload(self, content: bytes, name: str = "notes.txt", **fields: Any) -> dict[str, Any]:
        """The result of `uploadDocument`."""
        return await self.product.upload(self.token, content, name, **fields)

    async def ready_document(self, content: bytes, name: str = "notes.txt") -> str:
        """The id of a document that has been uploaded and made searchable."""
        result = await self.upload(content, name)
        assert result["__typename"] == "UploadDocumentPayload", result
        document_id: str = result["document"]["id"]
        last = [event async for event in self.subscribe(PROGRESS, "documentProgress", id=document_id)][-1]
        assert last["status"] == "READY", last
        return document_id

    async def conversation(self) -> str:
        """The id of a new conversation."""
        result = (await self.query(START, input={}))["startConversation"]
        return result["conversation"]["id"]  # type: ignore[no-any-return]

    async def send(self, conversation_id: str, text: str, **fields: Any) -> dict[str, Any]:
        """The result of `sendMessage`."""
        variables = {"conversationId": conversation_id, "text": text, **fields}
        return (await self.query(SEND, input=variables))["sendMessage"]  # type: ignore[no-any-return]

    async def ask(self, text: str, conversation_id: str | None = None) -> list[dict[str, Any]]:
        """All events of the answer to a question."""
        sent = await self.send(conversation_id or await self.conversation(), text)
        return [event async for event in self.follow(sent["answer"]["id"])]

    async def follow(self, answer_id: str, after: str | None = None) -> AsyncIterator[dict[str, Any]]:
        """Events of an answer."""
        async for event in self.subscribe(ANSWER, "answer", id=answer_id, after=after):
            yield event

    async def subscribe(self, query: str, field_name: str, **variables: Any) -> AsyncIterator[dict[str, Any]]:
        """Events of a subscription until it completes. Raises `OperationFailed` when it is refused."""
        async with self.product.socket(self.token) as socket:
            await socket.send_json(
                {"id": "1", "type": "subscribe", "payload": {"query": query, "variables": variables}}
            )
            async for message in socket:
                frame = json.loads(message.data)
                if frame["type"] == "complete":
                    return
                if frame["type"] == "error":
                    raise OperationFailed(frame["payload"])
                assert "errors" not in frame["payload"] or not frame["payload"]["errors"], frame
                yield frame["payload"]["data"][field_name]
            raise AssertionError(f"the socket closed with {socket.close_code}")


@dataclass
class Product:
    """A running API and worker, and a client's view of them."""

    url: str
    settings: Settings
    services: Services
    http: aiohttp.ClientSession
    app: Starlette | None = None
    """The API, where it is in this process, and what serves it."""
    server: uvicorn.Server | None = None
    _people: int = field(default=0)

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of the API."""
        host, _, port = self.url.removeprefix("http://").partition(":")
        return host, int(port)

    async def post(
        self, query: str, variables: dict[str, Any] | None = None, token: str | None = None
    ) -> dict[str, Any]:
        """One operation over HTTP."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        payload = {"query": query, "variables": variables or {}}
        async with self.http.post(f"{self.url}/graphql", json=payload, headers=headers) as response:
            return json.loads(await response.read())  # type: ignore[no-any-return]

    async def sign_up(self, email: str | None = None) -> Person:
        """The BUSINESS person of a new tenant."""
        self._people += 1
        email = email or f"person{self._people}@example.test"
        query = """mutation($input: SignUpInput!) { signUp(input: $input) {
          ... on SignUpPayload { session { accessToken user { id } } } ... on UserError { code message } } }"""
        values = {"organization": f"Org {self._people}", "name": "Pat", "email": email, "password": PASSWORD}
        session = (await self.post(query, {"input": values}))["data"]["signUp"]["session"]
        return Person(self, session["accessToken"], email, session["user"]["id"])

    async def upload(self, token: str | None, content: bytes, name: str, **fields: Any) -> dict[str, Any]:
        """The result of `uploadDocument`, by the GraphQL multipart request specification."""
        body = await self.upload_raw(token, content, name, **fields)
        assert "errors" not in body, body
        return body["data"]["uploadDocument"]  # type: ignore[no-any-return]

    async def upload_raw(
        self,
        token: str | None,
        content: bytes,
        name: str,
        *,
        preflight: bool = True,
        query: str = UPLOAD,
        **fields: Any,
    ) -> dict[str, Any]:
        """The whole response to an upload."""
        form = aiohttp.FormData(quote_fields=False)  # the file's name to the letter, as browsers send it
        operations = {"query": query, "variables": {"input": {"file": None, **fields}}}
        form.add_field("operations", json.dumps(operations))
        form.add_field("map", json.dumps({"0": ["variables.input.file"]}))
        form.add_field("0", BytesIO(content), filename=name, content_type="application/octet-stream")
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        if preflight:
            headers["x-colloquy-preflight"] = "1"
        async with self.http.post(f"{self.url}/graphql", data=form, headers=headers) as response:
            return json.loads(await response.read())  # type: ignore[no-any-return]

    @asynccontextmanager
    async def socket(self, token: str | None) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        """A graphql-transport-ws socket that has been acknowledged."""
        async with self.http.ws_connect(f"{self.url}/graphql", protocols=("graphql-transport-ws",)) as socket:
            payload = {"authorization": f"Bearer {token}"} if token else {}
            await socket.send_json({"type": "connection_init", "payload": payload})
            assert (await socket.receive_json())["type"] == "connection_ack"
            yield socket


@asynccontextmanager
async def running_product(settings: Settings, *, worker: bool = True, flush: bool = True) -> AsyncIterator[Product]:
    """Start the API (on a free port) and, unless told otherwise, a worker; stop both at the end.

    Redis is emptied first, unless the test goes on with what an earlier product left there.
    """
    if flush:
        redis = make_redis(settings)
        await redis.flushdb()
        await redis.aclose()
    app = create_app(settings)
    server = Server(server_config(app, settings, grace_seconds=2))
    serving = asyncio.create_task(server.serve())
    working = asyncio.create_task(run_worker(settings)) if worker else None
    try:
        started = asyncio.create_task(server.ready.wait())
        await asyncio.wait({started, serving}, return_when=asyncio.FIRST_COMPLETED)
        if not server.ready.is_set():
            started.cancel()
            await serving
            raise AssertionError("the API did not start")
        port = server.servers[0].sockets[0].getsockname()[1]
        # Shorter than the server's five seconds: a connection that it is about to close is not used again. Without a
        # limit: a test's sockets stay open while it opens more.
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(keepalive_timeout=1, limit=0)) as http:
            yield Product(f"http://127.0.0.1:{port}", settings, app.state.services, http, app, server)
    finally:
        if working is not None:
            await end_tasks([working])
        server.should_exit = True
        await serving


class Server(uvicorn.Server):
    """A server inside a test: says when it listens, and leaves the signals alone."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        if self.started:
            self.ready.set()

    def install_signal_handlers(self) -> None: ...

    async def serve(self, sockets: Any = None) -> None:
        try:
            await self._serve(sockets)
        except SystemExit as error:
            # It would end the loop of all tests, and not only this one.
            raise AssertionError("the API did not start: its reason is in the log") from error
