"""The browser's refresh token: a cookie that its scripts cannot read, and that other sites' pages cannot use."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.websockets import WebSocket

from core.errors import RequestError
from core.settings import Settings

COOKIE = "colloquy_refresh"
HEADER = "x-colloquy-csrf"
"""A page of another site cannot send it without our permission (CORS): it says that the cookie may be used."""
PATH = "/graphql"


class ResponseCookie:
    """One request's refresh token, and what becomes of it in the response."""

    def __init__(self, value: str | None, response: Response, *, secure: bool) -> None:
        self.value = value
        self._response = response
        self._secure = secure

    def set(self, token: str, max_age: int) -> None:
        """Keep the token for so many seconds."""
        self._response.set_cookie(
            COOKIE, token, max_age=max_age, path=PATH, secure=self._secure, httponly=True, samesite="strict"
        )

    def clear(self) -> None:
        """Drop it."""
        self._response.delete_cookie(COOKIE, path=PATH, secure=self._secure, httponly=True, samesite="strict")


def allowed_origins(settings: Settings) -> tuple[str, ...]:
    """Where pages may be that use the cookie or open a socket, besides the host that a request was sent to."""
    return (*settings.cors_origins, *([settings.resolved_public_url] if settings.public_url else []))


def cookie_of(
    request: Request | WebSocket, response: Response | WebSocket, settings: Settings
) -> ResponseCookie | None:
    """The cookie, for a browser that asks by header to be signed in by one; else None, and any cookie is ignored.

    Never on a socket, nor by GET, to which browsers add no `Origin`. Raises `RequestError` FORBIDDEN when the page that
    asks is neither ours nor one of CORS_ORIGINS', or does not say where it is.
    """
    if not isinstance(response, Response) or HEADER not in request.headers or request.scope["method"] != "POST":
        return None
    origin = request.headers.get("origin")
    if origin is None:
        raise RequestError.forbidden("Whoever uses this API's cookie must say in `Origin` where its page is.")
    if origin not in {f"{request.url.scheme}://{request.url.netloc}", *allowed_origins(settings)}:
        raise RequestError.forbidden(f"Pages of {origin[:100]} may not use this API's cookie.")
    secure = settings.environment == "production"
    return ResponseCookie(request.cookies.get(COOKIE), response, secure=secure)
