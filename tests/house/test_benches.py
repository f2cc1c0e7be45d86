"""The benches begin: nothing that they import has been moved away from under them."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BENCHES = sorted((ROOT / "bench").glob("*.py"))


@pytest.mark.long
@pytest.mark.parametrize("bench", BENCHES, ids=lambda bench: bench.stem)
async def test_a_bench_says_how_it_is_used(bench: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(bench), "--help"), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    said, complaint = await process.communicate()
    assert process.returncode == 0, complaint.decode()
    assert b"usage" in said
