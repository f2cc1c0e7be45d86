"""One key's way to a model server over HTTP: its address, its session, and the check at start."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote, urlsplit

import aiohttp
import orjson
import structlog

from core.errors import ConfigurationError, ProviderError
from providers import failures
from providers.http.refusals import Names, Refusal, RefusedError, names_model, refusal, refusal_of

_CONNECT_SECONDS = 10.0
_CHECK_SECONDS = 10.0
_KEEP_SECONDS = 4.0
"""That an idle connection is kept: less than the 5 seconds after which uvicorn, and so vLLM, closes one."""
_ERROR_BYTES = 64 * 1024
_PIECE_BYTES = 64 * 1024
_log = structlog.get_logger(__name__)


def header_key(key: str, setting: str) -> str:
    """The key as a header can carry it. Raises `ConfigurationError`."""
    key = key.strip()
    # Anything else would surface as an internal error of the HTTP client.
    if not key or " " in key or not key.isascii() or not key.isprintable():
        raise ConfigurationError(f"{setting}: expected one word of ASCII letters, digits and signs.")
    return key


class HttpConnection:
    """Holds the address, the headers, and the one session of its provider."""

    def __init__(self, *, base_url: str, headers: Mapping[str, str], names: Names, timeout: float) -> None:
        """`headers` carry the key; `timeout`: seconds to connect, at most ten. Raises `ConfigurationError`."""
        parts = urlsplit(base_url)
        if (
            parts.scheme not in ("http", "https")
            or not parts.hostname
            or parts.query
            or parts.fragment
            or "@" in base_url
        ):
            raise ConfigurationError(
                f"{names.base_url}: expected http(s)://host[:port]/path, such as http://127.0.0.1:11434/v1."
            )
        self.names = names
        self._base_url = base_url.rstrip("/")
        self._headers = {"Accept-Encoding": "identity", **headers}
        self._timeout = timeout
        self._session: aiohttp.ClientSession | None = None
        self._closed = False

    @asynccontextmanager
    async def stream(
        self, path: str, body: Mapping[str, Any], model: str
    ) -> AsyncGenerator[aiohttp.StreamReader, None]:
        """POST JSON: the body of the stream that comes back, to be read with `readany`.

        Leaving the block before the body's end closes the connection at once. Raises `ProviderError`, and
        `RefusedError` for an answer that says what it did not like.
        """
        async with self._response("POST", path, accept="text/event-stream", data=orjson.dumps(body)) as response:
            if response.status == 200 and response.content_type not in ("application/json", "text/html"):
                yield response.content
                return
            received = await _read_refusal(response)
        if response.status == 200 and "error" not in received.keys:
            # A page of somebody else's, or an answer that was not streamed.
            raise failures.unreadable()
        raise RefusedError(received, model, self.names)

    async def call(
        self, path: str, body: Mapping[str, Any], model: str, *, seconds: float, most_bytes: int
    ) -> dict[str, Any]:
        """POST JSON: the JSON object that comes back, within so many seconds and of no more than so many bytes.

        Raises `ProviderError`, and `RefusedError` for an answer that says what it did not like.
        """
        try:
            async with self._response("POST", path, data=orjson.dumps(body), seconds=seconds) as response:
                if response.status != 200:
                    raise RefusedError(await _read_refusal(response), model, self.names)
                received = await _read(response, most_bytes)
        except TimeoutError:
            raise failures.timed_out() from None
        try:
            content = orjson.loads(received)
        except orjson.JSONDecodeError:
            raise failures.unreadable() from None
        if not isinstance(content, dict):
            raise failures.unreadable()
        if content.get("error"):
            raise RefusedError(refusal_of(content), model, self.names)
        return content

    async def check_model(self, path: str, model: str) -> None:
        """Ask, by GET `path`/`model`, whether the key is good and the model exists; warn where that is not clear.

        Many servers of one's own know no list of models, or take any name. Raises `ConfigurationError`.
        """
        names, (status, model_is_missing, reason) = self.names, await self._looked_up(path, model)
        if status in (401, 403):
            raise ConfigurationError(f"{names.key}: {self._base_url} refused it. Set it to a key that is good there.")
        if model_is_missing:
            raise ConfigurationError(
                f"{names.model}: there is no model {model!r} at {self._base_url} for this key. "
                "Set it to one of those that `GET models` lists there."
            )
        if status != 200:
            _log.warning(
                "model_not_checked", provider=names.provider, model=model, base_url=self._base_url, reason=reason
            )

    async def has_model(self, path: str, model: str) -> bool | None:
        """The same for `ChatProvider.has_model`. Raises `ProviderError` PROVIDER_AUTH."""
        status, model_is_missing, _ = await self._looked_up(path, model)
        if status in (401, 403):
            raise failures.bad_key()
        return False if model_is_missing else True if status == 200 else None

    async def _looked_up(self, path: str, model: str) -> tuple[int, bool, str]:
        """The status, or 0 without an answer; whether the model is what is missing; what else is to be said of it."""
        if any(part in ("", ".", "..") for part in model.split("/")):
            # It would be another path of the server's, which is asked with a key.
            return 404, True, "no name of a model"
        try:
            async with self._response("GET", f"{path}/{quote(model, safe=':/')}", seconds=_CHECK_SECONDS) as response:
                if response.status == 200:
                    return 200, False, ""
                received = await _read_refusal(response)
        except (ProviderError, TimeoutError) as error:
            return 0, False, getattr(error, "message", "") or "no answer in time"
        missing = received.status == 404 and names_model(received)
        return received.status, missing, f"status {received.status}"

    async def aclose(self) -> None:
        """End running calls (they fail with PROVIDER_UNAVAILABLE) and close the connections. Safe to call twice."""
        self._closed = True
        if self._session is not None:
            await self._session.close()

    @asynccontextmanager
    async def _response(
        self,
        method: str,
        path: str,
        *,
        accept: str = "application/json",
        data: bytes | None = None,
        seconds: float | None = None,
    ) -> AsyncGenerator[aiohttp.ClientResponse, None]:
        """Raises `ProviderError`, and TimeoutError where a time limit was given."""
        limits = aiohttp.ClientTimeout(total=seconds, sock_connect=min(self._timeout, _CONNECT_SECONDS))
        headers = {"Accept": accept}
        if data is not None:
            headers["Content-Type"] = "application/json"
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
            self._log_failure("provider_not_http", status=error.status)
            raise failures.unreadable() from error
        except (aiohttp.ClientError, OSError) as error:
            if isinstance(error, TimeoutError) and seconds is not None:
                raise
            self._log_failure("provider_connection_failed", error=type(error).__name__)
            raise failures.unavailable() from error

    def _log_failure(self, event: str, **fields: object) -> None:
        _log.info(event, provider=self.names.provider, base_url=self._base_url, **fields)

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


async def _read_refusal(response: aiohttp.ClientResponse) -> Refusal:
    body = bytearray()
    while len(body) < _ERROR_BYTES and (piece := await response.content.read(_ERROR_BYTES - len(body))):
        body += piece
    # An error with a good status is told by its words alone.
    return refusal(response.status if response.status != 200 else 0, bytes(body), response.headers)


async def _read(response: aiohttp.ClientResponse, most_bytes: int) -> bytes:
    """The whole body. Raises PROVIDER_BAD_RESPONSE for a longer one."""
    body = bytearray()
    async for piece in response.content.iter_chunked(_PIECE_BYTES):
        body += piece
        if len(body) > most_bytes:
            raise failures.unreadable()
    return bytes(body)
