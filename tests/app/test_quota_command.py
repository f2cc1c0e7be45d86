"""`colloquy quota`: the server's operator says how much one organisation may keep."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from core.ids import NodeKind, new_id, to_global
from core.settings import Settings
from product import running_product

SOURCES = Path(__file__).parents[2] / "src"


async def quota(settings: Settings, *arguments: str) -> tuple[int | None, str, str]:
    """Run the command to its end: status, output, errors."""
    assert settings.secret_key is not None
    given = {
        "PYTHONPATH": str(SOURCES),
        "DATA_DIR": str(settings.data_dir),
        "DATABASE_URL": settings.database_url or "",
        "DATABASE_PLATFORM_URL": settings.database_platform_url or "",
        "REDIS_URL": settings.redis_url or "",
        "SECRET_KEY": settings.secret_key.get_secret_value(),
        "QUOTA_DOCUMENTS": "7",
        "QUOTA_BYTES": "8000",
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "app.cli", "quota", *arguments),
        env=os.environ | given,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    return process.returncode, out.decode().strip(), err.decode().strip()


@pytest.mark.long
async def test_the_operator_sees_and_sets_what_an_organisation_may_keep(settings: Settings) -> None:
    async with running_product(settings, worker=False) as product:
        person = await product.sign_up()
        tenant = to_global(NodeKind.TENANT, person.tenant_id)
        await person.upload(b"x" * 1_234)
        assert await quota(settings, tenant) == (0, f"{tenant}: 1 of 7 documents, 1,234 of 8,000 bytes", "")
        changed = (0, f"{tenant}: 1 of 1 documents, 1,234 of 8,000 bytes", "")
        assert await quota(settings, tenant, "--documents", "1", "--default") == changed
        # The running product has it at once.
        refused = await person.upload(b"y")
        assert (refused["__typename"], refused["code"]) == ("QuotaExceeded", "QUOTA_EXCEEDED")


@pytest.mark.long
async def test_what_is_wrong_is_one_line_and_changes_nothing(settings: Settings) -> None:
    missing = to_global(NodeKind.TENANT, new_id())
    wanted = "colloquy: Give both --documents and --bytes, or one of them and --default for the other."
    assert await quota(settings, missing, "--documents", "1") == (2, "", wanted)
    assert await quota(settings, missing) == (2, "", "colloquy: There is no such organisation.")
    status, _, words = await quota(settings, "nonsense")
    assert (status, words.startswith("colloquy: "), words.count("\n")) == (2, True, 0)
