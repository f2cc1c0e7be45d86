"""The outbox: written with its cause, claimed across tenants, and open to the platform's role for no more than that."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy.exc import DBAPIError

from core.ids import TenantId, new_id
from core.mail import Mail
from core.settings import Settings
from datastores import outbox
from datastores.models import Role
from datastores.people import add_tenant
from datastores.postgres import PLATFORM_ROLE, Postgres, Purpose
from datastores.transactions import PlatformTransaction
from owner import as_owner

LINK = "https://example.test/reset?token=8c7bK3n9Vq2LmZ0xW4tYpR6s"
MAIL = Mail("patricia@example.test", "Your link", f"Here: {LINK}\n")


async def count(settings: Settings) -> int:
    ((rows,),) = await as_owner(settings, "SELECT count(*) FROM outbox")
    return int(rows)


async def test_a_mail_to_another_tenant_is_refused_and_nothing_is_written(
    postgres: Postgres, settings: Settings, tenant: TenantId
) -> None:
    other = TenantId(new_id())
    await as_owner(
        settings,
        "INSERT INTO tenants (id, name, embedding_model_id, keep_originals) VALUES ($1, 'Other', 'model', true)",
        other,
    )

    async def write() -> None:
        async with postgres.write(tenant) as tx:
            await outbox.add_mail(tx, other, MAIL)

    with pytest.raises(DBAPIError, match="row-level security") as caught:
        await write()
    # What is logged of it says nothing of the mail.
    assert LINK not in str(caught.value)
    assert MAIL.to not in str(caught.value)
    assert await count(settings) == 0


async def test_a_mail_may_be_written_where_there_is_no_tenant_yet(postgres: Postgres, settings: Settings) -> None:
    async with postgres.platform(Purpose.SIGN_UP) as tx:
        user = await add_tenant(
            tx, organization="Org", embedding_model_id="model", name="Pat", email="pat@example.test", password_hash="-"
        )
        assert user is not None
        assert user.role is Role.BUSINESS
        await outbox.add_mail(tx, TenantId(user.tenant_id), MAIL)
    async with postgres.platform(Purpose.RELAY) as tx:
        entry = await outbox.claim(tx, outbox.MAIL)
    assert entry is not None
    assert (entry.tenant_id, Mail(**entry.payload), entry.attempts) == (user.tenant_id, MAIL, 1)


async def test_claims_at_once_get_different_entries_without_waiting(
    postgres: Postgres, settings: Settings, tenant: TenantId
) -> None:
    async with postgres.write(tenant) as tx:
        written = {await outbox.add_mail(tx, tenant, MAIL) for _ in range(2)}
    all_claimed = asyncio.Barrier(3)

    async def claim() -> Any:
        async with postgres.platform(Purpose.RELAY) as tx:
            entry = await outbox.claim(tx, outbox.MAIL)
            # Each holds its row while the others look.
            await all_claimed.wait()
        return entry

    claimed = await asyncio.gather(claim(), claim(), claim())
    assert {entry.id for entry in claimed if entry is not None} == written
    assert claimed.count(None) == 1


async def test_a_claim_that_is_rolled_back_was_not_made(
    postgres: Postgres, settings: Settings, tenant: TenantId
) -> None:
    async with postgres.write(tenant) as tx:
        await outbox.add_mail(tx, tenant, MAIL)

    async def claim_and_fail() -> None:
        async with postgres.platform(Purpose.RELAY) as tx:
            await outbox.claim(tx, outbox.MAIL)
            raise RuntimeError("too early")

    with pytest.raises(RuntimeError, match="too early"):
        await claim_and_fail()
    async with postgres.platform(Purpose.RELAY) as tx:
        entry = await outbox.claim(tx, outbox.MAIL)
    assert entry is not None
    assert entry.attempts == 1


async def test_the_longest_due_comes_first_and_what_is_not_due_does_not_come(
    postgres: Postgres, settings: Settings, tenant: TenantId
) -> None:
    async with postgres.write(tenant) as tx:
        early, late, later = [await outbox.add_mail(tx, tenant, MAIL) for _ in range(3)]
    for entry, due in ((early, "-1 second"), (late, "-2 seconds"), (later, "1 minute")):
        await as_owner(settings, f"UPDATE outbox SET next_try_at = now() + interval '{due}' WHERE id = $1", entry)

    async def claimed(tx: PlatformTransaction) -> Any:
        entry = await outbox.claim(tx, outbox.MAIL)
        return entry and entry.id

    async with postgres.platform(Purpose.RELAY) as tx:
        assert [await claimed(tx) for _ in range(3)] == [late, early, None]


async def test_the_platform_may_not_move_an_entry_or_make_it_look_tried(settings: Settings) -> None:
    rights = await as_owner(
        settings,
        """SELECT privilege_type, array_agg(column_name::text ORDER BY column_name::text)
           FROM information_schema.column_privileges WHERE table_name = 'outbox' AND grantee = $1 GROUP BY 1""",
        PLATFORM_ROLE,
    )
    everything = ["attempts", "created_at", "id", "last_error", "next_try_at", "payload", "tenant_id", "topic"]
    assert {right: set(columns) for right, columns in rights} == {
        "SELECT": set(everything),
        "INSERT": {"id", "payload", "tenant_id", "topic"},
        "UPDATE": {"attempts", "last_error", "next_try_at", "payload"},
    }
