"""The database away for a while: which errors mean it, and waiting until it is back."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

_FIRST_WAIT = 0.1
"""Seconds before the second try; doubled from try to try."""
_LONGEST_WAIT = 1.0
# SQLSTATE: no connection (class 08), the server going down or coming up, no connection free. Not a statement that took
# too long (57014), which the same work would do again.
_AWAY = re.compile("08...|57P0[123]|53300")
# asyncpg has no class and no code of its own for the use of a connection that has been lost.
# Nor for one of which it has read the server's last words, but not the end of the connection behind them.
_LOST = re.compile("connection (is|was|has been) closed|cannot switch to state")
T = TypeVar("T")
log = structlog.get_logger(__name__)


def is_outage(error: BaseException) -> bool:
    """Whether what a door to the database raised is about the connection, and not about the work."""
    if isinstance(error, (ConnectionError, TimeoutError, socket.gaierror)):
        return True
    if isinstance(error, OSError):
        # Without a number it is asyncio's, of a server with several addresses that failed each in its own way.
        return error.errno is None
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    # The driver's own errors come through bare from COPY and from connecting, else as the cause of SQLAlchemy's.
    state = getattr(error, "sqlstate", None)
    if state is not None:
        return _AWAY.fullmatch(state) is not None
    return _LOST.search(str(error)) is not None or (error.__cause__ is not None and is_outage(error.__cause__))


def is_conflict(error: DBAPIError) -> bool:
    """Whether what was to be written refers to what somebody else has just removed, or waits for whoever waits for it.

    SQLSTATE 23503, a foreign key, and 40P01, a deadlock.
    """
    return getattr(error.orig, "sqlstate", None) in ("23503", "40P01")


def is_locked(error: DBAPIError) -> bool:
    """Whether somebody else held a row or a table for longer than the transaction was to wait (SQLSTATE 55P03)."""
    return getattr(error.orig, "sqlstate", None) == "55P03"


def is_overload(error: BaseException | None) -> bool:
    """Whether all connections of a pool were in use for longer than anybody waits for one."""
    return isinstance(error, PoolTimeoutError)


async def when_back(work: Callable[[], Awaitable[T]]) -> T:
    """The result of `work`, tried again (after 0.1 to 1 second) for as long as the database is away.

    What it does must bear being done twice: a connection may be lost after a commit and before its confirmation.
    """
    wait = _FIRST_WAIT
    while True:
        try:
            return await work()
        except Exception as error:
            if not is_outage(error):
                raise
            log.warning("database away", error=type(error).__name__)
        await asyncio.sleep(wait)
        wait = min(2 * wait, _LONGEST_WAIT)
