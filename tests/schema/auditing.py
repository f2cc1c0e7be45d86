"""The audit log as its owner sees it: all tenants' rows, and the file."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import orjson

from core.settings import Settings
from owner import as_owner
from product import Person, Product

COLUMNS = ("action", "outcome", "code", "actor_id", "targets", "details", "session_id", "api_key_id", "address")


async def rows(of: Product | Person, action: str | None = None) -> list[dict[str, Any]]:
    """Entries oldest first: of the person's tenant, or those of no tenant."""
    settings: Settings = of.settings if isinstance(of, Product) else of.product.settings
    tenant_id = UUID(int=0) if isinstance(of, Product) else of.tenant_id
    found = await as_owner(
        settings,
        f"SELECT {', '.join(COLUMNS)} FROM audit_log WHERE tenant_id = $1 AND ($2::text IS NULL OR action = $2) "
        "ORDER BY id",
        tenant_id,
        action,
    )
    entries = [dict(zip(COLUMNS, row, strict=True)) for row in found]
    return [{**entry, "details": orjson.loads(entry["details"])} for entry in entries]


async def outcomes(of: Product | Person, action: str | None = None) -> list[tuple[str, str, str | None]]:
    """Action, outcome and code of the same entries."""
    return [(row["action"], row["outcome"], row["code"]) for row in await rows(of, action)]


async def lines(product: Product) -> list[dict[str, Any]]:
    """What the file has, once everything has been written."""
    await product.services.audit_file.aclose()
    text = (product.settings.data_dir / "logs" / "audit.log").read_bytes()
    return [orjson.loads(line) for line in text.splitlines()]
