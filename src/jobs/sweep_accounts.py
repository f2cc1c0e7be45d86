"""Delete links and invitations whose time is over. They are worthless already: this only keeps the tables small."""

from __future__ import annotations

from typing import Any

from datastores.invitations import sweep_invitations
from datastores.one_time_tokens import sweep_tokens
from datastores.postgres import Purpose
from jobs.services import JobServices


async def sweep_accounts(ctx: dict[str, Any]) -> int:
    """Run every minute; how many rows went."""
    services: JobServices = ctx["services"]
    async with services.postgres.platform(Purpose.SWEEP) as tx:
        return await sweep_tokens(tx) + await sweep_invitations(tx)
