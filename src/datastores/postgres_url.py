"""From `DATABASE_URL` as operators write it to what SQLAlchemy and asyncpg expect."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from core.errors import ConfigurationError
from core.settings import Settings

_SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_LOCAL_HOSTS = {None, "", "localhost", "127.0.0.1", "::1"}


def parse_url(url: str, setting: str = "DATABASE_URL") -> URL:
    """The parsed URL. Raises `ConfigurationError`, without showing the password."""
    try:
        parsed = make_url(url)
        # An @ left in the host is the end of a password with an @ in it.
        well_formed = "@" not in (parsed.host or "") and 0 <= (parsed.port or 0) <= 65535
    except (ArgumentError, ValueError):
        well_formed = False
    if not well_formed:
        raise ConfigurationError(
            f"{setting}: not a URL. Expected postgresql://user:password@host:port/name, with %40, %2F and %3A for @, / "
            "and : in a password."
        )
    if (mode := parsed.query.get("sslmode")) is not None and mode not in _SSL_MODES:
        raise ConfigurationError(f"{setting}: sslmode={mode} is unknown. Expected one of {', '.join(_SSL_MODES)}.")
    if parsed.drivername.split("+")[0] not in ("postgresql", "postgres"):
        raise ConfigurationError(f"{setting}: {parsed.drivername}:// is not PostgreSQL. Expected postgresql://…")
    return parsed


def engine_url(url: str) -> URL:
    """The URL for the asyncpg driver; `sslmode` is taken out (see `connect_arguments`)."""
    return parse_url(url).set(drivername="postgresql+asyncpg").difference_update_query(["sslmode"])


def connect_arguments(settings: Settings, url: str) -> dict[str, Any]:
    """asyncpg's arguments: TLS is required in production off this machine unless `sslmode` says otherwise."""
    parsed = parse_url(url)
    mode = parsed.query.get("sslmode")
    if mode is None and settings.environment == "production" and parsed.host not in _LOCAL_HOSTS:
        mode = "require"
    arguments: dict[str, Any] = {
        "timeout": 10,
        "server_settings": {"application_name": "colloquy", "jit": "off"},
    }
    if mode is not None:
        arguments["ssl"] = mode
    if not settings.database_prepared_statements:
        # A transaction-mode pooler hands each transaction another server: no cache, and names that cannot clash.
        arguments |= {
            "statement_cache_size": 0,
            "prepared_statement_cache_size": 0,
            "prepared_statement_name_func": lambda: f"__colloquy_{uuid4().hex}__",
        }
    return arguments


def app_url(settings: Settings) -> str:
    """`DATABASE_URL`. Raises `ConfigurationError` when it is not set."""
    if settings.database_url is None:
        raise ConfigurationError("DATABASE_URL: not set. `make run` sets it to the embedded server.")
    return settings.database_url


def owner_url(settings: Settings) -> str:
    """`DATABASE_OWNER_URL`. Raises `ConfigurationError` when it is not set."""
    if settings.database_owner_url is None:
        raise ConfigurationError("DATABASE_OWNER_URL: not set. The role that owns the tables is needed to migrate.")
    return settings.database_owner_url


def platform_url(settings: Settings) -> str:
    """`DATABASE_PLATFORM_URL`, or `DATABASE_URL` with the platform role's name."""
    if settings.database_platform_url:
        return settings.database_platform_url
    parsed = parse_url(app_url(settings))
    return parsed.set(username="colloquy_platform").render_as_string(hide_password=False)
