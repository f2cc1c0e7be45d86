"""What an operator could see and do behind the product's back: SQL as the owner of the tables, and files on disk."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg

from core.ids import parse_global
from core.security import TokenSigner
from core.settings import Settings
from product import Person, Product


async def as_owner(settings: Settings, statement: str, *values: Any) -> list[tuple[Any, ...]]:
    """Run one statement past row-level security; its rows."""
    connection = await asyncpg.connect(settings.database_owner_url)
    try:
        return [tuple(row) for row in await connection.fetch(statement, *values)]
    finally:
        await connection.close()


async def set_role(person: Person, role: str) -> None:
    """Give somebody another role, and tell the product as its own mutation would."""
    await as_owner(person.product.settings, "UPDATE users SET role = $1 WHERE email = $2", role, person.email)
    await person.product.services.standings.changed(person.tenant_id, [person.session_id])


async def counts(of: Product | Person) -> dict[str, int]:
    """Rows of the tables that documents fill, of all tenants or of the person's."""
    tables = ("documents", "document_pages", "chunks", "embeddings", "assistant_documents")
    columns = ", ".join(f"(SELECT count(*) FROM {table} WHERE $1::uuid IS NULL OR tenant_id = $1)" for table in tables)
    tenant = None if isinstance(of, Product) else of.tenant_id
    (row,) = await as_owner(_settings(of), f"SELECT {columns}", tenant)
    return dict(zip(tables, row, strict=True))


async def until(look: Callable[[], Awaitable[bool]]) -> None:
    """Look again and again until it is so; pytest's time limit for the test bounds it."""
    while not await look():  # noqa: ASYNC110 - it happens in another process, where there is nothing to wait for
        await asyncio.sleep(0.02)


def kept_files(of: Product | Person) -> list[Path]:
    """Every file in the storage of originals, whole or not, of all tenants or of the person's."""
    folder = _settings(of).data_dir / "files" / ("" if isinstance(of, Product) else of.tenant_id.hex)
    return [path for path in folder.rglob("*") if path.is_file()]


def uuid_of(global_id: str) -> UUID:
    """What an opaque id names."""
    return parse_global(global_id)[1]


def _settings(of: Product | Person) -> Settings:
    return of.settings if isinstance(of, Product) else of.product.settings


async def set_verified(person: Person) -> None:
    """Have the person's address verified, as the link in a mail would."""
    statement = "UPDATE users SET email_verified_at = now() WHERE email = $1"
    await as_owner(person.product.settings, statement, person.email)
    await person.product.services.standings.changed(person.tenant_id, [person.session_id])


def short_lived(person: Person, seconds: int) -> str:
    """A genuine token of the person's session that is good for so many seconds; below 0 its time is over."""
    secret = person.product.settings.secret_key
    assert secret is not None
    claims = person.product.services.signer.check_access(person.token)
    assert claims.user_id is not None
    signer = TokenSigner(secret.get_secret_value(), access_ttl=seconds)
    return signer.issue_access(claims.user_id, claims.tenant_id, claims.session_id)[0]
