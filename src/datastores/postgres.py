"""The doors to PostgreSQL, and no other: `read(tenant)`, `write(tenant)` and `platform(purpose)`.

Returning from a door commits, raising rolls back; nobody calls `commit()`. The transaction begins with the first
statement, and in the same round trip the tenant is set for it alone (`set_config(…, true)`), so a transaction-mode
pooler between us and the server is fine.
"""

from __future__ import annotations

import asyncio
import copy
import enum
import math
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, cast
from uuid import UUID
from weakref import WeakSet

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from core.errors import ConfigurationError
from core.ids import TenantId
from core.settings import Settings
from datastores.openings import OpeningConnection
from datastores.pooled import look_at_pooled_connections
from datastores.postgres_url import app_url, connect_arguments, engine_url, platform_url
from datastores.transactions import PlatformTransaction, ReadTransaction, WriteTransaction

APP_ROLE = "colloquy_app"
PLATFORM_ROLE = "colloquy_platform"
CUT_SECONDS = 0.5
"""How long the work of a cancelled task may go on, and how long closing the pools may take. It takes milliseconds; a
server that hangs would take for ever, so its connections are cut."""
# A filtered query must go on reading its HNSW index until it has enough rows (pgvector 0.8's iterative scan). With the
# default `ef_search` of 40, recall@10 of a tenant that has a quarter of the index was 0.97 (tests: test_recall.py).
_TENANT = (
    "SELECT set_config('colloquy.tenant_id', '{}', true), "
    "set_config('hnsw.iterative_scan', 'strict_order', true), set_config('hnsw.ef_search', '100', true)"
)
_PURPOSE = "SELECT set_config('colloquy.purpose', '{}', true)"
_LOCKS = ", set_config('lock_timeout', '{}ms', true)"


class Purpose(enum.Enum):
    """Why the platform door is opened; it is visible in `pg_stat_activity` and in logs."""

    SIGN_IN = "sign-in"
    SIGN_UP = "sign-up"
    PASSWORD_RESET = "password-reset"  # noqa: S105 - no password, a name
    INVITE = "invite"
    SWEEP = "sweep"
    RELAY = "relay"
    HEALTH = "health"
    TRUSTED_DOCUMENTS = "trusted-documents"
    ADMIN = "admin"
    AUDIT = "audit"


class Postgres:
    """Two pools: the application role behind row-level security, and the platform role with its named tables."""

    def __init__(self, settings: Settings) -> None:
        self._app = _engine(settings, app_url(settings), settings.database_pool_size)
        # Sign-in and sweeps are short and few; they must not be able to eat the server's connections.
        self._platform = _engine(settings, platform_url(settings), max(2, settings.database_pool_size // 4))
        self._made = WeakSet[OpeningConnection]()
        self._patient = False
        for engine in (self._app, self._platform):
            event.listen(engine.sync_engine, "connect", self._remember)

    def patient(self) -> Postgres:
        """The same pools, for work that nobody can be told to repeat: it waits for a connection until there is one."""
        patient = copy.copy(self)
        patient._patient = True
        return patient

    @property
    def engine(self) -> AsyncEngine:
        """The application role's pool, for instruments (statement counts, pool metrics); never for queries."""
        return self._app

    @asynccontextmanager
    async def read(self, tenant_id: TenantId) -> AsyncGenerator[ReadTransaction, None]:
        """A read-only transaction that sees this tenant's rows."""
        async with _transaction(self._app, "BEGIN READ ONLY", _of_tenant(tenant_id), self._patient) as connection:
            yield ReadTransaction(connection, tenant_id)

    @asynccontextmanager
    async def write(
        self, tenant_id: TenantId, *, lock_seconds: float | None = None
    ) -> AsyncGenerator[WriteTransaction, None]:
        """A read-write transaction on this tenant's rows; entities that were added are flushed before the commit.

        It waits `lock_seconds` for what others hold, or (None) for as long as they do; then a statement raises what
        `datastores.outages.is_locked` knows.
        """
        setting = _of_tenant(tenant_id) + _locks(lock_seconds)
        async with _transaction(self._app, "BEGIN", setting, self._patient) as connection:
            transaction = WriteTransaction(connection, tenant_id)
            yield transaction
            await transaction.flush()

    @asynccontextmanager
    async def platform(
        self, purpose: Purpose, *, lock_seconds: float | None = None
    ) -> AsyncGenerator[PlatformTransaction, None]:
        """A transaction of the platform role: for what has no tenant yet or crosses tenants. Waits as `write` does."""
        setting = _PURPOSE.format(purpose.value) + _locks(lock_seconds)
        async with _transaction(self._platform, "BEGIN", setting, self._patient) as connection:
            transaction = PlatformTransaction(connection)
            yield transaction
            await transaction.flush()

    async def refuse_unsafe_roles(self) -> None:
        """Check at start-up that row-level security binds us. Raises `ConfigurationError` when it would not."""
        async with self._app.connect() as connection:
            row = (await connection.execute(_ROLE_CHECK, {"platform": PLATFORM_ROLE})).one()
        reasons = [
            reason
            for wrong, reason in (
                (row.superuser, "is (or may become) a superuser"),
                (row.bypass, "has (or may take on) BYPASSRLS"),
                (row.owner, "owns tables, or is a member of the role that does"),
                (row.platform, f"is a member of {PLATFORM_ROLE}"),
            )
            if wrong
        ]
        if reasons:
            raise ConfigurationError(
                f"DATABASE_URL: the role {row.name!r} {' and '.join(reasons)}, so row-level security would not keep "
                f"tenants apart. Connect as {APP_ROLE}, which `colloquy migrate` creates."
            )

    async def ping(self) -> None:
        """One round trip. Raises what the driver raises when the database cannot be reached."""
        async with self._app.connect() as connection:
            await connection.execute(sa.text("SELECT 1"))

    async def aclose(self) -> None:
        """Close both pools, or, where the server does not answer, cut their connections. Safe to call twice."""
        closing = asyncio.create_task(self._dispose())
        try:
            await asyncio.wait({closing}, timeout=CUT_SECONDS)
        finally:
            while not closing.done():
                for connection in list(self._made):
                    connection.terminate()
                closing.cancel()
                await asyncio.wait({closing}, timeout=CUT_SECONDS)
        if not closing.cancelled():
            closing.result()

    async def _dispose(self) -> None:
        await self._app.dispose()
        await self._platform.dispose()

    def _remember(self, connection: Any, _record: Any) -> None:
        self._made.add(connection.driver_connection)
        connection.driver_connection.notice_a_dead_server()


@asynccontextmanager
async def _transaction(
    engine: AsyncEngine, begin: str, setting: str, patient: bool
) -> AsyncGenerator[AsyncConnection, None]:
    """A transaction, which the first statement opens with these two: they and it take two round trips, not three."""
    async with _connection(engine, patient) as (connection, driver):
        driver.open_next_with(f"{begin}; {setting}")
        try:
            async with connection.begin():
                yield connection
        finally:
            driver.open_next_with(None)  # it may not have been needed


@asynccontextmanager
async def _connection(
    engine: AsyncEngine, patient: bool
) -> AsyncGenerator[tuple[AsyncConnection, OpeningConnection], None]:
    """A connection of the pool, and the driver's own in it.

    SQLAlchemy 2.1 loses a connection (open, and in no pool) when it is cancelled while it sets it up, so the set-up
    runs to its end in a task of its own and what it made is given back.
    """
    while (connection := await _started(engine, patient)) is None:
        pass
    driver = _driver(connection)
    try:
        yield connection, driver
    finally:
        await _ended(asyncio.create_task(connection.close()), driver)


async def _started(engine: AsyncEngine, patient: bool) -> AsyncConnection | None:
    """A connection of the pool; None, for the patient, where all were in use for as long as others wait."""
    connection = engine.connect()
    opening = asyncio.create_task(connection.start())
    try:
        await _ended(opening)
    except asyncio.CancelledError:
        if not opening.cancelled() and opening.exception() is None:
            await _ended(asyncio.create_task(connection.close()), _driver(connection))
        raise
    except PoolTimeoutError:
        if patient:
            return None
        raise
    return connection


def _driver(connection: AsyncConnection) -> OpeningConnection:
    assert connection.sync_connection is not None, "it has been started"
    return cast("OpeningConnection", connection.sync_connection.connection.driver_connection)


async def _ended(task: asyncio.Task[Any], driver: OpeningConnection | None = None) -> None:
    """Wait for the task's end, however often we are cancelled meanwhile. Raises CancelledError then, or what it raised.

    A pool that is closed while a connection is still on its way back to it never sees that connection again. Only from
    a server that has not answered `CUT_SECONDS` after we were cancelled is it cut.
    """
    loop = asyncio.get_running_loop()
    cancelled: asyncio.CancelledError | None = None
    until = math.inf
    while not task.done():
        left = until - loop.time()
        if left <= 0:
            if driver is None or driver.is_closed():
                task.cancel()
            else:
                driver.terminate()
            until, left = loop.time() + CUT_SECONDS, CUT_SECONDS
        try:
            await asyncio.wait({task}, timeout=None if left == math.inf else left)
        except asyncio.CancelledError as error:
            if cancelled is None:
                until = loop.time() + CUT_SECONDS
            cancelled = error
    if cancelled is not None:
        if not task.cancelled():
            task.exception()  # asked for, or asyncio would log it
        raise cancelled
    task.result()


def _of_tenant(tenant_id: TenantId) -> str:
    # Made anew of its number: nothing but a UUID gets into the statement.
    return _TENANT.format(UUID(int=tenant_id.int))


def _locks(seconds: float | None) -> str:
    return "" if seconds is None else _LOCKS.format(round(seconds * 1000))


def _engine(settings: Settings, url: str, size: int) -> AsyncEngine:
    engine = create_async_engine(
        engine_url(url),
        pool_size=size,
        max_overflow=settings.database_pool_overflow,
        pool_timeout=settings.database_pool_timeout,
        pool_recycle=3600,
        # An error that is logged has its statement, not the values: hashes of passwords, links in mails.
        hide_parameters=True,
        connect_args=connect_arguments(settings, url) | {"connection_class": OpeningConnection},
    )
    look_at_pooled_connections(engine.sync_engine)
    return engine


# pg_has_role(…, 'MEMBER') is true for a role that could SET ROLE to the other, not only for one that inherits it.
_ROLE_CHECK = sa.text(
    """
    SELECT current_user AS name,
           (SELECT bool_or(r.rolsuper) FROM pg_roles r WHERE pg_has_role(current_user, r.oid, 'MEMBER')) AS superuser,
           (SELECT bool_or(r.rolbypassrls) FROM pg_roles r WHERE pg_has_role(current_user, r.oid, 'MEMBER')) AS bypass,
           EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                   WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p')
                     AND pg_has_role(current_user, c.relowner, 'MEMBER')) AS owner,
           COALESCE((SELECT pg_has_role(current_user, oid, 'MEMBER') FROM pg_roles WHERE rolname = :platform), false)
             AS platform
    """
)
