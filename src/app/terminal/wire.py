"""From whatever the transports raise to one of the client's failures, in words."""

from __future__ import annotations

import ipaddress
import socket
import ssl
from collections.abc import Iterator
from urllib.parse import urlsplit

import aiohttp
from gql.transport.exceptions import TransportQueryError, TransportServerError
from websockets.exceptions import ConnectionClosed, InvalidStatus

from app.terminal.failures import ClientFailure, Limited, Refused, SignedOut, Transient

_HINTS = {
    "INVALID_CREDENTIALS": "Check the e-mail and the password.",
    "FORBIDDEN": "Sign in with --email and --password as somebody who may (documents need the role BUSINESS).",
    "GRAPHQL_VALIDATION_FAILED": "The server and this client are of different versions: update the older one.",
}
_AWAY = (429, 502, 503, 504)
"""HTTP statuses by which a server, or the balancer before it, says "not now"."""
_SIGNED_OUT = (4401, 4403)
"""graphql-transport-ws: Unauthorized, Forbidden; also the code that a server closes a revoked session with."""
_TOO_MANY_SOCKETS = 4429
"""Colloquy's own meaning; the protocol's, a second connection_init, is nothing that we send."""
_OUR_FAULT = range(4400, 4500)
"""graphql-transport-ws's other 44xx codes: the protocol was broken, and trying again breaks it again."""


def is_local(url: str) -> bool:
    """Whether the URL's host is this machine's loopback."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def refused(code: str, message: str, *, retry_after_ms: object = None) -> Refused:
    """A `UserError` or a top-level error, with what a person can do about it."""
    if code == "RATE_LIMITED":
        return Limited(message, retry_after_ms / 1000 if isinstance(retry_after_ms, int) else 1.0)
    return Refused(code, message, hint=_HINTS.get(code, ""))


def translate(error: BaseException, url: str) -> ClientFailure:
    """The failure that a person should hear of. Takes anything that gql, aiohttp or websockets raise."""
    if isinstance(error, ClientFailure):
        return error
    if isinstance(error, TransportQueryError):
        return _from_graphql_errors(error)
    if isinstance(error, TransportServerError) and error.code is not None:
        return _from_status(error.code, url)
    for cause in _causes(error):
        found = _from_cause(cause, url)
        if found is not None:
            return found
    return ClientFailure(f"What answers at {url} does not speak Colloquy's GraphQL. Check --url.")


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__


def _from_graphql_errors(error: TransportQueryError) -> ClientFailure:
    first = error.errors[0] if error.errors else {}
    if not isinstance(first, dict):
        first = {}
    extensions = first.get("extensions") or {}
    code, message = str(extensions.get("code", "INTERNAL")), str(first.get("message", "The server failed"))
    if code == "UNAUTHENTICATED":
        return SignedOut(f"The server does not accept this sign-in any more: {message}")
    if code == "INTERNAL" and isinstance(extensions.get("retryAfterMs"), int):
        return Transient(message)
    failure = refused(code, message, retry_after_ms=extensions.get("retryAfterMs"))
    request_id = extensions.get("requestId")
    return Refused(code, message, hint=f"Request {request_id}.") if code == "INTERNAL" and request_id else failure


def _from_status(status: int, url: str) -> ClientFailure:
    if status == 401:
        return SignedOut(f"{url} answered HTTP 401: not signed in.")
    if status in _AWAY:
        return Transient(f"{url} answered HTTP {status}: the server behind it is not ready. Try again in a moment.")
    if status == 413:
        return ClientFailure(f"{url} answered HTTP 413: the file is larger than the server accepts.")
    if status == 404:
        return ClientFailure(f"There is no GraphQL API at {url} (HTTP 404). Check --url.")
    return ClientFailure(f"{url} answered HTTP {status} without a GraphQL result. Check --url and the server's log.")


def _from_cause(cause: BaseException, url: str) -> ClientFailure | None:
    host = urlsplit(url).hostname
    match cause:
        case InvalidStatus():
            return _from_status(cause.response.status_code, url)
        case ConnectionClosed():
            code = cause.rcvd.code if cause.rcvd is not None else 1006
            if code in _SIGNED_OUT:
                return SignedOut("The server does not accept this sign-in any more.")
            reason = cause.rcvd.reason if cause.rcvd is not None else ""
            if code == _TOO_MANY_SOCKETS:
                return Transient(f"{url} closed the WebSocket: {reason or 'too many connections'}")
            if code in _OUR_FAULT and code != 4408:
                return ClientFailure(f"{url} closed the WebSocket: {reason or 'no reason given'} ({code}).")
            return Transient(f"The connection to {url} broke off.")
        case aiohttp.ClientConnectorCertificateError():
            return _unsafe(url, cause.certificate_error)
        case aiohttp.ClientConnectorSSLError():
            return _unsafe(url, cause.os_error)
        case ssl.SSLError():
            return _unsafe(url, cause)
        case aiohttp.ClientConnectorDNSError() | socket.gaierror():
            return ClientFailure(f"The host {host} is not known. Check --url.")
        case aiohttp.ClientConnectorError() | ConnectionRefusedError():
            return _nothing_there(url)
        case aiohttp.ServerDisconnectedError() | aiohttp.ClientPayloadError() | ConnectionResetError():
            return Transient(f"The connection to {url} broke off.")
        case TimeoutError():
            return Transient(f"{url} did not answer in time. Check that the server is well, then try again.")
        case aiohttp.ClientOSError():
            return Transient(f"The connection to {url} broke off.")
        case OSError():
            return _nothing_there(url)
    return None


def _unsafe(url: str, reason: Exception) -> ClientFailure:
    said = getattr(reason, "verify_message", None) or getattr(reason, "reason", None) or type(reason).__name__
    words = str(said).lower().replace("_", " ").rstrip(".")
    return ClientFailure(f"No safe connection to {url}: {words}. Check the certificate, or that it speaks https.")


def _nothing_there(url: str) -> Transient:
    site = url.removesuffix("/graphql")
    what_to_do = "start it with make run" if is_local(url) else "check the address, and that the server is up"
    return Transient(f"nothing answers at {site} - {what_to_do}")
