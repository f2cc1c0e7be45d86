"""Colloquy's public API for the terminal: GraphQL over HTTP (with multipart uploads) and over WebSocket, on gql.

Every method raises `failures.ClientFailure` or one of its kinds, and nothing else of the network's.
"""

from __future__ import annotations

import asyncio
import functools
import io
import mimetypes
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Concatenate, Final, ParamSpec, Self, TypeVar
from urllib.parse import urlsplit, urlunsplit

import aiohttp
from gql import Client, FileVar, GraphQLRequest
from gql.client import AsyncClientSession
from gql.transport.aiohttp import AIOHTTPTransport
from gql.transport.async_transport import AsyncTransport
from gql.transport.exceptions import TransportError
from gql.transport.websockets import WebsocketsTransport

from app.terminal import operations
from app.terminal.events import Event, Json, Progress, StoredDocument, read_event, read_progress
from app.terminal.failures import ClientFailure, Limited, SignedOut
from app.terminal.wire import is_local, refused, translate

CONNECT_TIMEOUT: Final = 10.0
"""Seconds to a connection, and from connection_init to its acknowledgement."""
RESPONSE_TIMEOUT: Final = 60.0
"""Seconds that a response may keep silent; an upload may take as long as its bytes need."""
PING_INTERVAL: Final = 5.0
"""Seconds between the WebSocket's pings: with PING_TIMEOUT a dead network is noticed within 15 s."""
PING_TIMEOUT: Final = 10.0
LONGEST_WAIT: Final = 60.0
"""Seconds that one call waits in all, where the server says that it comes too often; the slowest limit that it meets
lets somebody in every 12."""
MAX_FRAME: Final = 16 * 1024 * 1024
"""Bytes. A snapshot of a whole answer comes in one frame; the library's own limit is 1 MiB."""

T = TypeVar("T")
P = ParamSpec("P")


@dataclass(frozen=True, slots=True)
class Sent:
    """A stored question. `answer_id` is None where a person, not a machine, answers in that conversation."""

    message_id: str
    answer_id: str | None


class _CountedFile(io.BufferedReader):
    """A file that reports how many of its bytes have been read so far. It keeps its length, so that the request has a
    Content-Length and a server can refuse what is too large before it is sent."""

    def __init__(self, path: Path, on_read: Callable[[int], None]) -> None:
        super().__init__(io.FileIO(path, "rb"))
        self._on_read = on_read

    def read(self, size: int | None = -1, /) -> bytes:
        block = super().read(size)
        self._on_read(self.tell())
        return block


def graphql_url(url: str) -> str:
    """The endpoint for what a person types: `127.0.0.1:8000`, `https://host/base/`, with or without `/graphql`.

    Raises ValueError for what cannot be a URL of ours.
    """
    parts = urlsplit(url.strip() if "://" in url else f"http://{url.strip()}")
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
        raise ValueError("not an http:// or https:// address")
    path = parts.path.rstrip("/")
    return urlunsplit((parts.scheme, parts.netloc, path if path.endswith("/graphql") else f"{path}/graphql", "", ""))


def _patient(
    call: Callable[Concatenate[ColloquyClient, P], Awaitable[T]],
) -> Callable[Concatenate[ColloquyClient, P], Awaitable[T]]:
    """The call, made again when the server says so where it was refused for coming too often: nothing was done then."""

    @functools.wraps(call)
    async def made(self: ColloquyClient, /, *args: P.args, **kwargs: P.kwargs) -> T:
        left = LONGEST_WAIT
        while True:
            try:
                return await call(self, *args, **kwargs)
            except Limited as limit:
                left -= limit.retry_after
                if left < 0:
                    raise
                await self.wait_for(limit)

    return made


class ColloquyClient:
    """One person's session with one server. Use as `async with`; signs in on `sign_in()`, and again by itself when an
    access token has run out (they live 15 minutes)."""

    def __init__(self, url: str, email: str, password: str) -> None:
        self.url = graphql_url(url)
        self.email = email
        self._password = password
        self._token: str | None = None
        self.on_limited: Callable[[Limited], None] = lambda _: None
        """Hears of each wait before it begins."""
        # A proxy of the environment is for the world outside; a server on this machine is reached directly.
        self._use_proxy = not is_local(self.url)
        self._http = AIOHTTPTransport(
            self.url,
            client_session_args={
                "trust_env": self._use_proxy,
                "timeout": aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT, sock_read=RESPONSE_TIMEOUT),
            },
        )
        self._opened = AsyncExitStack()
        self._session: AsyncClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = await self._opened.enter_async_context(_open(self._http))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._session = None
        await self._opened.aclose()

    async def wait_for(self, limit: Limited) -> None:
        """Come back when the server would admit what it has refused."""
        self.on_limited(limit)
        await asyncio.sleep(limit.retry_after)

    @_patient
    async def sign_in(self) -> str:
        """Sign in; returns the person's name. Raises Refused(INVALID_CREDENTIALS)."""
        self._token = None
        data = await self._post(operations.SIGN_IN, {"input": {"email": self.email, "password": self._password}})
        with self._reading():
            session = _payload(data["signIn"])["session"]
            name, self._token = str(session["user"]["name"]), str(session["accessToken"])
        return name

    @_patient
    async def upload(self, path: Path, on_sent: Callable[[int], None]) -> StoredDocument:
        """Send a file; `on_sent` hears how many bytes have left. The same bytes are kept once: the document may have
        been there. Raises Refused, and OSError when the file cannot be read."""

        async def send() -> Json:
            with _CountedFile(path, on_sent) as content:  # opened anew, should the token have to be renewed in between
                media_type = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
                file = FileVar(content, filename=path.name, content_type=media_type)
                # aiohttp percent-encodes the file's name in the form, which the API takes to the letter.
                values = {"input": {"file": file, "name": path.name}}
                return await self._post(operations.UPLOAD_DOCUMENT, values, upload=True)

        data = await self.renewing(send)
        with self._reading():
            result = data["uploadDocument"]
            was_there = result["__typename"] == "DuplicateDocument"
            document = (result if was_there else _payload(result))["document"]
            return StoredDocument(str(document["id"]), str(document["name"]), was_there)

    @_patient
    async def start_conversation(self) -> str:
        """A new conversation with the tenant's default assistant; returns its id."""
        data = await self._call(operations.START_CONVERSATION, {"input": {}})
        with self._reading():
            return str(_payload(data["startConversation"])["conversation"]["id"])

    @_patient
    async def send_message(self, conversation_id: str, text: str, idempotency_key: str) -> Sent:
        """Ask. Sending again under the same key gives the same message and answer, so that a lost response is harmless.

        Raises Refused: NOT_FOUND, INVALID_INPUT, IDEMPOTENCY_CONFLICT, INSUFFICIENT_CREDITS.
        """
        question = {"conversationId": conversation_id, "text": text, "idempotencyKey": idempotency_key}
        data = await self._call(operations.SEND_MESSAGE, {"input": question})
        with self._reading():
            payload = _payload(data["sendMessage"])
            answer = payload["answer"]
            return Sent(str(payload["message"]["id"]), None if answer is None else str(answer["id"]))

    @_patient
    async def stop_answer(self, answer_id: str) -> None:
        """Have an answer end with what it has said; harmless for one that has ended. Raises Refused(NOT_FOUND)."""
        data = await self._call(operations.STOP_ANSWER, {"input": {"answerId": answer_id}})
        with self._reading():
            _payload(data["stopAnswer"])

    async def document_progress(self, document_id: str) -> AsyncGenerator[Progress, None]:
        """From where the document stands to its end, over one connection."""
        async with aclosing(self._subscribe(operations.DOCUMENT_PROGRESS, {"id": document_id})) as results:
            async for data in results:
                with self._reading():
                    progress = read_progress(data["documentProgress"])
                yield progress

    async def answer_events(self, answer_id: str, after: str | None) -> AsyncGenerator[Event, None]:
        """An answer's events after a cursor, over one connection; `follow.follow_answer` is the one that holds on."""
        async with aclosing(self._subscribe(operations.ANSWER, {"id": answer_id, "after": after})) as results:
            async for data in results:
                with self._reading():
                    event = read_event(data["answer"])
                yield event

    async def renewing(self, call: Callable[[], Awaitable[T]]) -> T:
        """The call's result, after a second try with a new access token where the first was UNAUTHENTICATED."""
        try:
            return await call()
        except SignedOut:
            await self.sign_in()
            return await call()

    async def _call(self, document: str, variables: Mapping[str, object]) -> Json:
        return await self.renewing(lambda: self._post(document, variables))

    async def _post(self, document: str, variables: Mapping[str, object], *, upload: bool = False) -> Json:
        assert self._session is not None, "use as `async with ColloquyClient(...)`"
        headers = {"x-colloquy-preflight": "1"}
        if self._token is not None:
            headers["authorization"] = f"Bearer {self._token}"
        # Redirects are not followed: a redirected POST arrives as a GET, and the password would travel on with it.
        extra = {"headers": headers, "allow_redirects": False}
        request = GraphQLRequest(document, variable_values=dict(variables))
        try:
            return await self._session.execute(request, extra_args=extra, upload_files=upload)
        except TransportError as error:
            location = getattr(self._http, "response_headers", {}).get("Location")
            if location and not error.__cause__:
                raise ClientFailure(f"{self.url} redirects to {location}. Give that as --url.") from error
            raise translate(error, self.url) from error

    async def _subscribe(self, document: str, variables: Mapping[str, object]) -> AsyncGenerator[Json, None]:
        transport = WebsocketsTransport(
            url="ws" + self.url.removeprefix("http"),
            init_payload={"authorization": f"Bearer {self._token}"},
            subprotocols=[WebsocketsTransport.GRAPHQLWS_SUBPROTOCOL],
            connect_timeout=CONNECT_TIMEOUT,
            ack_timeout=CONNECT_TIMEOUT,
            close_timeout=1.0,  # seconds; whoever leaves should not wait for the other side's good-bye
            connect_args={
                "ping_interval": PING_INTERVAL,
                "ping_timeout": PING_TIMEOUT,
                "close_timeout": 1.0,
                "max_size": MAX_FRAME,
                "proxy": True if self._use_proxy else None,
            },
        )
        request = GraphQLRequest(document, variable_values=dict(variables))
        try:
            async with _open(transport) as session, aclosing(session.subscribe(request)) as results:
                async for data in results:
                    yield data
        except (TransportError, TimeoutError) as error:
            raise translate(error, self.url) from error

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Reads a response; what is not as the contract says becomes one clear failure."""
        try:
            yield
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ClientFailure(
                f"{self.url} answered something unexpected ({type(error).__name__}: {error}). "
                "The server and this client may be of different versions."
            ) from error


@asynccontextmanager
async def _open(transport: AsyncTransport) -> AsyncIterator[AsyncClientSession]:
    """A session on a transport, without gql's limit of 10 s for a whole request: an upload may take longer."""
    session = AsyncClientSession(Client(transport=transport, execute_timeout=None))
    try:
        await session.connect()  # type: ignore[no-untyped-call]
        yield session
    finally:
        # Also after a WebSocket whose connection_init failed: gql itself leaves that socket open.
        await session.close()  # type: ignore[no-untyped-call]


def _payload(result: Any) -> Json:
    """A mutation's payload out of its result union. Raises Refused for a `UserError`, TypeError for anything else."""
    if not isinstance(result, dict):
        raise TypeError("a mutation's result is not an object")
    if "code" in result:
        raise refused(result["code"], result["reason"], retry_after_ms=result.get("retryAfterMs"))
    return result
