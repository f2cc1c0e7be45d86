"""At the default rates, which every other attack here is spared: a flood is refused for less than it costs to send."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from by_socket import MOST, flood
from measuring import Door
from target import VIEWER, Target

from api_process import ApiProcess
from app.embedded.ports import free_port
from core.settings import Settings

pytestmark = pytest.mark.timeout(60)
REQUESTS = 200
AIM_SECONDS = 0.05


@pytest.fixture(scope="module")
async def limited(
    door: Door, attacked_settings: Settings, attacked_folder: Path
) -> AsyncIterator[tuple[ApiProcess, Target]]:
    """The same organisations, served once more with every limit as it comes; its counts are in a database apart."""
    rates = {name for name in Settings.model_fields if name.startswith("rate_limit_")}
    kept = attacked_settings.model_dump(include=attacked_settings.model_fields_set - rates)
    redis_url = f"{attacked_settings.redis_url}".rpartition("/")[0] + "/1"
    settings = Settings(**kept | {"port": free_port(), "redis_url": redis_url})
    api = await ApiProcess.start(settings, attacked_folder / "limited.log")
    try:
        yield api, replace(door.target, url=api.url, settings=settings)
    finally:
        api.stop()


async def _measured(api: ApiProcess, send: Callable[[], Awaitable[str]], times: int) -> tuple[Counter[str], float]:
    """What came back, and the mean CPU time of one."""
    outcomes: Counter[str] = Counter()
    before = api.cpu_seconds()
    for _ in range(times):
        outcomes[await send()] += 1
    return outcomes, (api.cpu_seconds() - before) / times


async def test_a_flood_of_requests_is_refused_but_for_the_burst(
    limited: tuple[ApiProcess, Target], report_attack: Callable[..., None]
) -> None:
    api, target = limited
    for name, token, burst in (
        ("nobody", None, target.settings.rate_limit_anonymous_burst),
        ("a person", target.attacker.token, target.settings.rate_limit_burst),
    ):
        outcomes, cpu = await _measured(api, lambda: target.graphql({"query": VIEWER}, token), REQUESTS)  # noqa: B023
        report_attack(f"a flood of requests, by {name}", " / ".join(outcomes), cpu * 1000)
        assert set(outcomes) == {"200 answered", "429 RATE_LIMITED"}
        # While they come, one more is allowed every second.
        assert burst <= outcomes["200 answered"] < REQUESTS / 2
        assert cpu < AIM_SECONDS
        assert await target.graphql({"query": VIEWER}, target.victim.token) == "200 answered"


async def test_a_flood_of_operations_on_a_socket_is_refused_but_for_the_burst(
    limited: tuple[ApiProcess, Target], report_attack: Callable[..., None]
) -> None:
    api, target = limited
    outcomes, cpu = await _measured(api, lambda: flood(target), 1)
    report_attack("operations on one socket, at the default rate", " / ".join(outcomes), cpu / MOST * 1000)
    assert outcomes == {"error RATE_LIMITED": 1}
    assert cpu / MOST < AIM_SECONDS
    assert await target.graphql({"query": VIEWER}, target.victim.token) == "200 answered"
