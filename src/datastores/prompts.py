"""The prompt library of a tenant."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from core.ids import TenantId, new_id
from core.shipped_prompts import SHIPPED
from datastores.models import Prompt, PromptVersion, Tenant
from datastores.pages import Page, PageRequest, keyset_page
from datastores.records import PromptVersionRecord, select_record, table
from datastores.transactions import PlatformTransaction, Reads, WriteTransaction

_prompts, _versions, _tenants = table(Prompt), table(PromptVersion), table(Tenant)
_WITH_TEXT = sa.select(
    *(_prompts.c[name] for name in ("id", "name", "description", "shipped_key", "newest", "created_at")),
    _versions.c.text,
).join(
    _versions,
    (_versions.c.tenant_id == _prompts.c.tenant_id)
    & (_versions.c.prompt_id == _prompts.c.id)
    & (_versions.c.number == _prompts.c.newest),
)


@dataclass(slots=True)
class PromptRecord:
    """A prompt with the text of its newest version."""

    id: UUID
    name: str
    description: str
    shipped_key: str | None
    newest: int
    created_at: datetime
    text: str


async def prompts(reads: Reads, request: PageRequest) -> Page[PromptRecord]:
    """All of them, oldest first."""
    statement = _WITH_TEXT.where(_prompts.c.tenant_id == reads.tenant_id)
    return await keyset_page(
        reads, PromptRecord, statement, [_prompts.c.created_at, _prompts.c.id], request, descending=False
    )


async def prompt_by_id(reads: Reads, prompt_id: UUID) -> PromptRecord | None:
    """The tenant's prompt of that id."""
    one = _WITH_TEXT.where(_prompts.c.tenant_id == reads.tenant_id, _prompts.c.id == prompt_id)
    return await reads.first(PromptRecord, one)


async def versions(reads: Reads, prompt_id: UUID, request: PageRequest) -> Page[PromptVersionRecord]:
    """All versions of a prompt, newest first."""
    statement = select_record(PromptVersionRecord).where(
        _versions.c.tenant_id == reads.tenant_id, _versions.c.prompt_id == prompt_id
    )
    keys = [_versions.c.created_at, _versions.c.id]
    return await keyset_page(reads, PromptVersionRecord, statement, keys, request, descending=True)


async def text_of(reads: Reads, prompt_id: UUID, number: int | None) -> str | None:
    """What that version says, or the newest; None when there is no such version."""
    statement = sa.select(_versions.c.text).where(
        _versions.c.tenant_id == reads.tenant_id, _versions.c.prompt_id == prompt_id
    )
    if number is not None:
        statement = statement.where(_versions.c.number == number)
    return await reads.scalar(statement.order_by(_versions.c.number.desc()).limit(1))  # type: ignore[no-any-return]


async def count(reads: Reads) -> int:
    """How many prompts the tenant has."""
    counted = sa.select(sa.func.count()).select_from(_prompts).where(_prompts.c.tenant_id == reads.tenant_id)
    return int(await reads.scalar(counted))


async def add_prompt(tx: WriteTransaction, prompt_id: UUID, *, name: str, description: str, text: str) -> None:
    """A new prompt with its first version."""
    tx.session.add(Prompt(tenant_id=tx.tenant_id, id=prompt_id, name=name, description=description))
    await tx.session.flush()
    tx.session.add(PromptVersion(tenant_id=tx.tenant_id, prompt_id=prompt_id, number=1, text=text))
    await tx.session.flush()


async def hold_prompt(tx: WriteTransaction, prompt_id: UUID) -> bool:
    """Whether it is there; nobody else changes it until this transaction ends."""
    one = sa.select(_prompts.c.id).where(_prompts.c.tenant_id == tx.tenant_id, _prompts.c.id == prompt_id)
    return bool(await tx.rows(one.with_for_update(key_share=True)))


async def change_prompt(tx: WriteTransaction, prompt_id: UUID, values: dict[str, str]) -> None:
    """Set name or description of one that is held."""
    if values:
        own = (_prompts.c.tenant_id == tx.tenant_id, _prompts.c.id == prompt_id)
        await tx.execute(sa.update(_prompts).where(*own).values(**values))


async def add_version(tx: WriteTransaction, prompt_id: UUID, number: int, text: str) -> None:
    """The newest version of a prompt that is held."""
    values = {"tenant_id": tx.tenant_id, "id": new_id(), "prompt_id": prompt_id, "number": number, "text": text}
    # Not the time of the transaction's beginning: it may have waited for whoever added the one before.
    now = sa.func.clock_timestamp()
    await tx.execute(sa.insert(_versions).values(**values, shipped=False, created_at=now))
    own = (_prompts.c.tenant_id == tx.tenant_id, _prompts.c.id == prompt_id)
    await tx.execute(sa.update(_prompts).where(*own).values(newest=number))


async def give_library(tx: PlatformTransaction, tenant_id: TenantId) -> None:
    """The shipped prompts, for a tenant that is being founded."""
    found = [_shipped_rows(tenant_id, shipped.key) for shipped in SHIPPED]
    await tx.add(sa.insert(_prompts), [prompt for prompt, _ in found])
    await tx.add(sa.insert(_versions), [version for _, version in found])


def ship(connection: sa.Connection) -> None:
    """As the owner: give every tenant the shipped prompts that it has not, and the texts that have changed.

    Another text is a new version, and comes to prompts alone of which the tenant has written no version itself.
    """
    for shipped in SHIPPED:
        has = sa.exists().where(_prompts.c.tenant_id == _tenants.c.id, _prompts.c.shipped_key == shipped.key)
        tenants = sa.select(_tenants.c.id).where(~has)
        for (tenant_id,) in connection.execute(tenants).all():
            prompt, version = _shipped_rows(tenant_id, shipped.key)
            connection.execute(sa.insert(_prompts).values(prompt))
            connection.execute(sa.insert(_versions).values(version))
        newest = _WITH_TEXT.with_only_columns(_prompts.c.tenant_id, _prompts.c.id, _prompts.c.newest)
        old = newest.where(_prompts.c.shipped_key == shipped.key, _versions.c.shipped, _versions.c.text != shipped.text)
        for tenant_id, prompt_id, number in connection.execute(old).all():
            row = _version_row(tenant_id, prompt_id, number + 1, shipped.text)
            connection.execute(sa.insert(_versions).values(row))
            own = (_prompts.c.tenant_id == tenant_id, _prompts.c.id == prompt_id)
            connection.execute(sa.update(_prompts).where(*own).values(newest=number + 1))


def _shipped_rows(tenant_id: TenantId, key: str) -> tuple[dict[str, Any], dict[str, Any]]:
    shipped, prompt_id = next(one for one in SHIPPED if one.key == key), new_id()
    prompt = {
        "tenant_id": tenant_id,
        "id": prompt_id,
        "name": shipped.name,
        "description": shipped.description,
        "shipped_key": key,
        "newest": 1,
    }
    return prompt, _version_row(tenant_id, prompt_id, 1, shipped.text)


def _version_row(tenant_id: TenantId, prompt_id: UUID, number: int, text: str) -> dict[str, Any]:
    return {
        "tenant_id": tenant_id,
        "id": new_id(),
        "prompt_id": prompt_id,
        "number": number,
        "text": text,
        "shipped": True,
    }
