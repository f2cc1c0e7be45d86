"""Whose address a request has, where a proxy in front says so."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address

from starlette.types import ASGIApp, Receive, Scope, Send


class ClientAddress:
    """Makes an address of what `X-Forwarded-For` said, or nothing: it is stored, shown and logged."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve, with the client's address as it is usually written."""
        client = scope.get("client")
        if client is not None:
            # In the scope itself, which uvicorn's own log lines read, too.
            scope["client"] = (normal_address(client[0]), client[1])
        await self._app(scope, receive, send)


def normal_address(text: str | None) -> str:
    """An IPv4 or IPv6 address in its usual form; an empty text for what is none, such as a Unix socket's client."""
    try:
        address = ip_address(text or "")
    except ValueError:
        return ""
    if isinstance(address, IPv6Address):
        # The zone of a link-local address may be any text.
        return str(address.ipv4_mapped or IPv6Address(int(address)))
    return str(address)
