"""What browsers are told with every response, errors and files included."""

from __future__ import annotations

from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core.settings import Settings

COMMON: Final = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    # JSON and plain text need nothing; a page brings a policy of its own.
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}
HSTS: Final = "max-age=31536000"
"""A year. Hosts below this one are the operator's business, so they are not included."""


def browser_headers(settings: Settings) -> dict[str, str]:
    """Of every response, where it does not say otherwise itself."""
    return COMMON | ({"Strict-Transport-Security": HSTS} if settings.environment == "production" else {})


def refusal_headers(settings: Settings) -> dict[str, str]:
    """Of what is refused before the application is asked."""
    return browser_headers(settings) | ({"Vary": "Origin"} if settings.cors_origins else {})


class BrowserHeaders:
    """Adds what a response does not say itself. Outermost, so that no error of the application escapes it."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._headers = browser_headers(settings)
        self._per_origin = bool(settings.cors_origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve with the headers."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
                if self._per_origin and "origin" not in headers.get("vary", "").lower():
                    # Also where the origin was not allowed: what a cache keeps must not be given to another page.
                    headers.add_vary_header("Origin")
            await send(message)

        await self._app(scope, receive, send_with_headers)
