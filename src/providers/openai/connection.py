"""One key's way to an OpenAI-compatible server: its address, its HTTP session, and the check at start."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote, urlsplit

import aiohttp
import orjson
import structlog

from core.errors import ConfigurationError, ProviderError
from providers.openai import failures
from providers.openai.failures import Refusal

VENDOR_URL = "https://api.openai.com/v1"
_CONNECT_SECONDS = 10.0
_CHECK_SECONDS = 10.0
_KEEP_SECONDS = 4.0
"""That an idle connection is kept: less than the 5 seconds after which uvicorn, and so vLLM, closes one."""
_ERROR_BYTES = 64 * 1024
_log = structlog.get_logger(__name__)


class OpenAIConnection:
    """Holds the address, the key, and the one session of its provider."""

    def __init__(self, *, api_key: str | None, base_url: str, timeout: float) -> None:
        """`timeout`: seconds to connect, at most ten. Raises `ConfigurationError`."""
        parts = urlsplit(base_url)
        if (
            parts.scheme not in ("http", "https")
            or not parts.hostname
            or parts.query
            or parts.fragment
            or "@" in base_url
        ):
            raise ConfigurationError(
                "OPENAI_BASE_URL: expected http(s)://host[:port]/path, such as http://127.0.0.1:11434/v1."
            )
        self._base_url = base_url.rstrip("/")
        self._headers = {"Accept": "text/event-stream", "Accept-Encoding": "identity"}
        if api_key is not None:
            key = api_key.strip()
            # It travels in a header; anything else would surface as an internal error of the HTTP client.
            if not key or " " in key or not key.isascii() or not key.isprintable():
                raise ConfigurationError("OPENAI_API_KEY: expected one word of ASCII letters, digits and signs.")
            self._headers["Authorization"] = f"Bearer {key}"
        self._timeout = timeout
        self._session: aiohttp.ClientSession | None = None
        self._closed = False

    @asynccontextmanager
    async def stream(self, body: Mapping[str, Any], model: str) -> AsyncGenerator[aiohttp.StreamReader, None]:
        """POST `chat/completions`: the body of the stream that comes back, to be read with `readany`.

        Leaving the block before the body's end closes the connection at once. Raises `ProviderError`, and
        `RefusedError` for an answer that says what it did not like.
        """
        async with self._response("POST", "chat/completions", data=orjson.dumps(body)) as response:
            if response.status == 200 and response.content_type not in ("application/json", "text/html"):
                yield response.content
                return
            received = await _read_refusal(response)
        if response.status == 200 and "error" not in received.keys:
            # A page of somebody else's, or an answer that was not streamed.
            raise failures.unreadable()
        raise RefusedError(received, model)

    async def check_model(self, model: str) -> None:
        """Ask whether the key is good and `model` exists; warn where the server gives no clear answer.

        Many servers of one's own know no list of models, or take any name. Raises `ConfigurationError`.
        """
        reason = ""
        try:
            async with self._response("GET", f"models/{quote(model, safe=':/')}", seconds=_CHECK_SECONDS) as response:
                if response.status == 200:
                    return
                received = await _read_refusal(response)
        except (ProviderError, TimeoutError) as error:
            reason = getattr(error, "message", "") or "no answer in time"
        else:
            if received.status in (401, 403):
                raise ConfigurationError(
                    f"OPENAI_API_KEY: {self._base_url} refused it. Set it to a key that is good there."
                )
            if received.status == 404 and failures.names_model(received):
                raise ConfigurationError(
                    f"OPENAI_CHAT_MODEL: there is no model {model!r} at {self._base_url} for this key. "
                    "Set it to one of those that `GET models` lists there."
                )
            reason = f"status {received.status}"
        _log.warning("openai_model_not_checked", model=model, base_url=self._base_url, reason=reason)

    async def aclose(self) -> None:
        """End running calls (they fail with PROVIDER_UNAVAILABLE) and close the connections. Safe to call twice."""
        self._closed = True
        if self._session is not None:
            await self._session.close()

    @asynccontextmanager
    async def _response(
        self, method: str, path: str, *, data: bytes | None = None, seconds: float | None = None
    ) -> AsyncGenerator[aiohttp.ClientResponse, None]:
        limits = aiohttp.ClientTimeout(total=seconds, sock_connect=min(self._timeout, _CONNECT_SECONDS))
        headers = {"Content-Type": "application/json"} if data is not None else None
        try:
            response = await self._open_session().request(
                method,
                f"{self._base_url}/{path}",
                data=data,
                headers=headers,
                timeout=limits,
                allow_redirects=False,
            )
            try:
                yield response
            finally:
                # What has been read to its end goes back to the pool; any other connection is closed here and now.
                if response.content.at_eof():
                    response.release()
                else:
                    response.close()
        except aiohttp.ClientResponseError as error:
            _log.info("openai_not_http", base_url=self._base_url, status=error.status)
            raise failures.unreadable() from error
        except (aiohttp.ClientError, OSError) as error:
            if isinstance(error, TimeoutError) and seconds is not None:
                raise
            _log.info("openai_connection_failed", base_url=self._base_url, error=type(error).__name__)
            raise failures.unavailable() from error

    def _open_session(self) -> aiohttp.ClientSession:
        if self._closed:
            raise failures.unavailable()
        if self._session is None:
            self._session = aiohttp.ClientSession(
                # How many answers are written at once is limited elsewhere; here none may wait unseen.
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEP_SECONDS),
                headers=self._headers,
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=True,
            )
        return self._session


class RefusedError(Exception):
    """The server answered with an error: `received` is what it said, `error` what it means to a client."""

    def __init__(self, received: Refusal, model: str) -> None:
        super().__init__(received.status)
        self.received = received
        self.error = failures.refused(received, model)


async def _read_refusal(response: aiohttp.ClientResponse) -> Refusal:
    body = bytearray()
    while len(body) < _ERROR_BYTES and (piece := await response.content.read(_ERROR_BYTES - len(body))):
        body += piece
    # An error with a good status is told by its words alone.
    return failures.refusal(response.status if response.status != 200 else 0, bytes(body), response.headers)
