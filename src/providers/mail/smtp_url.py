"""SMTP_URL as operators write it."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from core.errors import ConfigurationError

_EXPECTED = "Expected smtp://user:password@host:587 or smtps://user:password@host:465."
_PORTS = {"smtp": 587, "smtps": 465}


@dataclass(frozen=True, slots=True)
class SmtpServer:
    """Where mail is handed over. `tls` is None for a server that is spoken to in clear."""

    host: str
    port: int
    tls: ssl.SSLContext | None = field(repr=False)
    implicit_tls: bool = False
    """TLS from the first byte, instead of STARTTLS."""
    user: str | None = None
    password: str | None = field(default=None, repr=False)


def parse_smtp_url(url: str, root_certificates: Path | None) -> SmtpServer:
    """The server that the URL names. Raises `ConfigurationError`, without showing the password.

    TLS is required, its certificate checked: `smtp://` is STARTTLS (`?tls=starttls` says the same), `smtps://` is TLS
    from the start. Only `?tls=none` turns it off, and then there is no password to be sent in clear.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
        options = dict(parse_qsl(parts.query, strict_parsing=bool(parts.query)))
    except ValueError:
        raise ConfigurationError(f"SMTP_URL: not a URL. {_EXPECTED}") from None
    if parts.scheme not in _PORTS or not host or parts.path not in ("", "/"):
        raise ConfigurationError(f"SMTP_URL: not the URL of an SMTP server. {_EXPECTED}")
    implicit = parts.scheme == "smtps"
    mode = options.pop("tls", "implicit" if implicit else "starttls")
    if options or mode not in (("implicit",) if implicit else ("starttls", "none")):
        raise ConfigurationError("SMTP_URL: after the ? there may be tls=starttls or tls=none, for smtp:// alone.")
    if parts.username is not None and mode == "none":
        raise ConfigurationError("SMTP_URL: with tls=none the password would be sent in clear. Use TLS, or no account.")
    return SmtpServer(
        host=host,
        port=port or _PORTS[parts.scheme],
        tls=None if mode == "none" else _trust(root_certificates),
        implicit_tls=implicit,
        user=None if parts.username is None else unquote(parts.username),
        password=None if parts.password is None else unquote(parts.password),
    )


def _trust(root_certificates: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=root_certificates)
    except (OSError, ssl.SSLError):
        raise ConfigurationError(
            f"SMTP_ROOT_CERTIFICATES: {root_certificates} is not a file with certificates in PEM."
        ) from None
