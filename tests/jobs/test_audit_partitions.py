"""The audit log's months are made ahead, and rows that came before their month move into it."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from core.settings import Settings
from datastores.audit import ensure_partitions
from datastores.postgres import Postgres, Purpose
from owner import as_owner, until
from product import running_product

MONTHS = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'audit_log'::regclass ORDER BY 1"
WHERE = "SELECT tableoid::regclass::text, action FROM audit_log ORDER BY id"


async def months(settings: Settings) -> list[str]:
    """Names of the partitions."""
    return [name for (name,) in await as_owner(settings, MONTHS)]


async def test_a_missing_month_is_made_with_the_rows_that_waited_for_it(settings: Settings, postgres: Postgres) -> None:
    *expected, last, default = await months(settings)
    _, year, month = last.rsplit("_", 2)
    begin = datetime(int(year), int(month), 1, tzinfo=UTC)
    await as_owner(settings, f"DROP TABLE {last}")
    # Its first millisecond, and the last of the month before.
    for name, milliseconds in (("inside", 0), ("before", -1)):
        await as_owner(
            settings,
            "INSERT INTO audit_log (tenant_id, id, at, action, targets, address, outcome, request_id, details) "
            "VALUES ($1, $2, $3, $4, '{}', '', 'SUCCEEDED', '', '{}')",
            UUID(int=0),
            UUID(int=int(begin.timestamp() * 1_000) + milliseconds << 80),
            begin,
            name,
        )
    assert await as_owner(settings, WHERE) == [(expected[-1], "before"), (default, "inside")]
    for made in (1, 0):
        async with postgres.platform(Purpose.AUDIT) as tx:
            assert await ensure_partitions(tx) == made
    assert await months(settings) == [*expected, last, default]
    assert await as_owner(settings, WHERE) == [(expected[-1], "before"), (last, "inside")]


async def test_a_worker_that_starts_makes_what_is_missing(settings: Settings) -> None:
    *_, last, _ = before = await months(settings)
    await as_owner(settings, f"DROP TABLE {last}")

    async def made() -> bool:
        return await months(settings) == before

    async with running_product(settings):
        await until(made)
