"""Whether the servers that the settings name are there, told before anything is built on them."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections.abc import Iterator

import sqlalchemy as sa
from redis.exceptions import AuthenticationError, ResponseError
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from core.errors import ConfigurationError
from core.settings import Settings
from datastores.postgres_url import connect_arguments, engine_url, parse_url
from datastores.redis_client import REDIS_ERRORS, make_redis

PROBE_SECONDS = 5.0
_NO_SUCH_DATABASE = "3D000"
_NOT_LET_IN = ("28000", "28P01")


async def probe_postgres(
    settings: Settings, setting: str, url: str, *, remedy: str = "", role_expected: bool = True
) -> None:
    """One round trip as that URL's role. Raises `ConfigurationError` that names the setting, and never the password.

    `remedy` is what else to do about a server that is away. With `role_expected` off, a server that does not know the
    role or its password passes: the migration makes it.
    """
    parsed = parse_url(url, setting)
    address = _address(parsed.host or "localhost", parsed.port or 5432)
    try:
        engine = create_async_engine(engine_url(url), poolclass=NullPool, connect_args=connect_arguments(settings, url))
        async with asyncio.timeout(PROBE_SECONDS), engine.connect() as connection:
            await connection.execute(sa.text("SELECT 1"))
    except Exception as error:
        # Whatever a driver raises: an answer of PostgreSQL's has an SQLSTATE, anything else means that none came.
        causes = list(_causes(error))
        refusal = next((cause for cause in causes if isinstance(getattr(cause, "sqlstate", None), str)), None)
        if refusal is None:
            raise _unreachable(setting, address, causes, remedy) from None
        if role_expected or _state(refusal) not in _NOT_LET_IN:
            raise ConfigurationError(f"{setting}: {_refused(parsed, address, refusal, setting)}") from None


async def probe_redis(settings: Settings, *, remedy: str = "") -> None:
    """One round trip to `REDIS_URL`. Raises `ConfigurationError`, which never has the password."""
    redis = make_redis(settings)
    known = redis.connection_pool.connection_kwargs
    address = known.get("path") or _address(known.get("host", "localhost"), known.get("port", 6379))
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            await redis.ping()
    except (TypeError, *REDIS_ERRORS) as error:
        causes = list(_causes(error))
        refusal = next((cause for cause in causes if isinstance(cause, AuthenticationError | ResponseError)), None)
        if refusal is None:
            raise _unreachable("REDIS_URL", address, causes, remedy) from None
        raise ConfigurationError(
            f"REDIS_URL: {address} refuses: {_first_line(refusal)}. Correct the password or the number of the database."
        ) from None
    finally:
        await redis.aclose()


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error and those that it was raised from, the driver's among them."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _unreachable(setting: str, address: str, causes: list[BaseException], remedy: str) -> ConfigurationError:
    if isinstance(causes[0], TypeError):
        return ConfigurationError(f"{setting}: a parameter after the ? is unknown ({causes[0]}). Remove it.")
    advice = f"Start it, or {remedy or f'correct {setting}'}."
    return ConfigurationError(f"{setting}: could not connect to {address} ({_reason(causes)}). {advice}")


def _reason(causes: list[BaseException]) -> str:
    told = " ".join(map(str, causes))
    for cause in causes:
        if isinstance(cause, ssl.SSLError):
            return f"TLS failed: {cause.reason or cause.strerror or 'no certificate that is trusted'}"
        if isinstance(cause, socket.gaierror):
            return "no such host"
    # A name with several addresses gives one error with the text of all of them.
    if any(isinstance(cause, ConnectionRefusedError) for cause in causes) or f"[Errno {errno.ECONNREFUSED}]" in told:
        return "refused"
    if any(isinstance(cause, TimeoutError) for cause in causes):
        return f"no answer within {PROBE_SECONDS:.0f} s"
    return _first_line(causes[-1])


def _state(refusal: BaseException) -> str:
    return str(getattr(refusal, "sqlstate", ""))


def _refused(parsed: URL, address: str, refusal: BaseException, setting: str) -> str:
    if _state(refusal) in _NOT_LET_IN:
        return (
            f"{address} does not let {parsed.username!r} in ({_first_line(refusal)}). Correct the user or the "
            "password; in a new database `colloquy migrate` makes the roles."
        )
    if _state(refusal) == _NO_SUCH_DATABASE:
        return f"{address} has no database {parsed.database!r}. Create it, or correct {setting}."
    return f"{address} refuses: {_first_line(refusal)}."


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
