"""How the doors open a transaction: whose it is comes with its BEGIN, and goes with its end."""

from __future__ import annotations

import socket
import sys
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from core.ids import TenantId, new_id
from datastores.openings import SILENT_SECONDS
from datastores.postgres import Postgres, Purpose

SET = sa.text("SELECT current_setting('colloquy.tenant_id', true), current_setting('transaction_read_only')")
PURPOSE = sa.text("SELECT current_setting('colloquy.purpose', true)")


async def test_each_transaction_is_its_own_tenants_from_its_first_statement(single: Postgres) -> None:
    """On one connection: SQLAlchemy begins a transaction through `OpeningConnection.transaction`."""
    for read_only in (True, False, True):
        tenant_id = TenantId(new_id())
        async with (single.read if read_only else single.write)(tenant_id) as tx:
            assert list(map(tuple, await tx.rows(SET))) == [(str(tenant_id), "on" if read_only else "off")]


async def test_nothing_of_a_door_is_left_on_its_connection(single: Postgres) -> None:
    for statements in ([SET], []):
        # With no statement the transaction is never begun, and what it would have begun with must go, too.
        async with single.read(TenantId(new_id())) as tx:
            for statement in statements:
                await tx.rows(statement)
        async with single.engine.connect() as connection:
            assert (await connection.execute(SET)).one() in [("", "off"), (None, "off")]


async def test_the_platforms_purpose_ends_with_its_transaction(postgres: Postgres) -> None:
    for purpose in (Purpose.SWEEP, Purpose.RELAY):
        async with postgres.platform(purpose) as tx:
            assert await tx.scalar(PURPOSE) == purpose.value


async def test_a_transaction_that_cannot_be_opened_is_not_left_half_open(single: Postgres) -> None:
    async with single.engine.connect() as connection:
        driver: Any = (await connection.get_raw_connection()).driver_connection
        driver.open_next_with("BEGIN; SELECT 1 / 0")
        with pytest.raises(DBAPIError, match="division by zero"):
            await connection.execute(SET)
        assert not driver.is_in_transaction()
        assert (await connection.execute(SET)).one()[1] == "off"


async def test_a_connection_notices_that_its_server_is_gone_for_good(single: Postgres) -> None:
    """The kernel does, by these options, which are set on the driver's private transport."""
    async with single.engine.connect() as connection:
        driver: Any = (await connection.get_raw_connection()).driver_connection
        connected = driver._transport.get_extra_info("socket")
        assert connected.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        if sys.platform == "linux":
            names = ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT")
            idle, between, times = (connected.getsockopt(socket.IPPROTO_TCP, getattr(socket, name)) for name in names)
            assert idle + between * times == SILENT_SECONDS
            assert connected.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 1_000 * SILENT_SECONDS
