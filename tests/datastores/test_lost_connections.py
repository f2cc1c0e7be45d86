"""A connection that is lost in the middle of work: told as that, whatever the driver makes of it, and replaced."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
import sqlalchemy as sa

from core.ids import TenantId, new_id
from core.settings import Settings
from datastores.outages import is_outage
from datastores.postgres import Postgres
from datastores.transactions import WriteTransaction
from wire import relayed

ONE = sa.text("SELECT 1")
READY_IN_TRANSACTION = b"Z\x00\x00\x00\x05T"
_FATAL = b"SFATAL\x00VFATAL\x00C57P02\x00Mterminating connection because of crash of another server process\x00\x00"
CRASHED = b"E" + (len(_FATAL) + 4).to_bytes(4, "big") + _FATAL


async def _copy(tx: WriteTransaction) -> None:
    await tx.copy("staging", ["number"], [(number,) for number in range(1_000)])


async def _insert(tx: WriteTransaction) -> None:
    await tx.execute(sa.text("INSERT INTO staging VALUES (1)"))


async def _select(tx: WriteTransaction) -> None:
    await tx.scalar(ONE)


@pytest.mark.parametrize("work", [_copy, _insert, _select])
async def test_the_last_words_of_a_server_that_crashes_between_two_statements_are_an_outage(
    settings: Settings, work: Callable[[WriteTransaction], Awaitable[None]]
) -> None:
    """asyncpg goes on with a connection whose end it has not read yet, and then takes itself for busy."""
    assert settings.database_url is not None
    tenant_id = TenantId(new_id())
    async with relayed(settings.database_url) as (url, relay):
        one = {"database_url": url, "database_pool_size": 1, "database_pool_overflow": 0}
        doors = Postgres(settings.model_copy(update=one))
        try:

            async def transaction() -> None:
                async with doors.write(tenant_id) as tx:
                    await tx.execute(sa.text("CREATE TEMPORARY TABLE staging (number integer) ON COMMIT DROP"))
                    for ask in (_select, _copy):  # prepared from now on
                        await ask(tx)
                    relay.add_behind(READY_IN_TRANSACTION, CRASHED)
                    await _select(tx)
                    await work(tx)

            with pytest.raises(Exception) as raised:  # noqa: PT011 - `is_outage` says which
                await transaction()
            assert is_outage(raised.value), raised.value
            async with doors.write(tenant_id) as tx:
                assert await tx.scalar(ONE) == 1
        finally:
            await doors.aclose()
