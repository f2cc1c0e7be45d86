"""A sweep that cannot run now says so in a line; any other failure stays one."""

from __future__ import annotations

from typing import Any

import pytest
from ingesting import log_lines

from jobs.sweeping import skipped_in_outages


@pytest.mark.parametrize("error", [ConnectionRefusedError(111, "refused"), TimeoutError()])
async def test_an_outage_is_a_line(error: Exception) -> None:
    async def sweep_it(_: dict[str, Any]) -> int:
        raise error

    with log_lines("jobs.sweeping") as lines:
        assert await skipped_in_outages(sweep_it)({}) is None
    assert ["sweep_it" in str(line) and type(error).__name__ in str(line) for line in lines] == [True]


async def test_a_fault_is_no_outage() -> None:
    async def sweep_it(_: dict[str, Any]) -> int:
        raise ValueError("wrong")

    with pytest.raises(ValueError, match="wrong"):
        await skipped_in_outages(sweep_it)({})
