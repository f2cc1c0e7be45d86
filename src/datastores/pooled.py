"""Whether a connection of a pool is there still, found out without asking the server each time.

SQLAlchemy's `pool_pre_ping` takes three round trips before every transaction: more than most transactions take.
"""

from __future__ import annotations

import time
from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.exc import InvalidatePoolError

LOOK_AFTER_SECONDS = 10.0
"""A server that ends a connection is heard at once. One that has vanished is not, nor is a firewall that has forgotten
the connection: a connection that was idle for so long is tried before it is used."""
_IDLE_SINCE = "idle_since"


def look_at_pooled_connections(engine: Engine) -> None:
    """Have the engine's pool give out no connection that is known to be lost; others like it are made anew."""
    dialect = engine.dialect

    @event.listens_for(engine, "checkin")
    def returned(_connection: Any, record: Any) -> None:
        record.info[_IDLE_SINCE] = time.monotonic()

    @event.listens_for(engine, "checkout")
    def taken(connection: Any, record: Any, _proxy: Any) -> None:
        if connection.driver_connection.is_closed():
            raise InvalidatePoolError
        idle_since = record.info.get(_IDLE_SINCE)
        if idle_since is None or time.monotonic() - idle_since < LOOK_AFTER_SECONDS:
            return
        try:
            dialect.do_ping(connection)
        except dialect.loaded_dbapi.Error as error:
            raise InvalidatePoolError from error
