"""`/healthz` and `/readyz`: whether the process lives, and which part of what it needs does not."""

from __future__ import annotations

from typing import Any

from core.settings import Settings
from owner import until
from product import Product, running_product
from wire import relayed

PARTS = {"database", "redis", "worker"}


async def readyz(product: Product) -> tuple[int, dict[str, Any]]:
    """Status, and each part's state; the shape is checked, and that it says nothing beyond it."""
    async with product.http.get(f"{product.url}/readyz") as response:
        body = await response.json()
    assert set(body) == {"status", "parts"}
    assert body["status"] == ("ready" if response.status == 200 else "not ready")
    assert set(body["parts"]) == PARTS
    for part in body["parts"].values():
        # No driver's words, no address, no version: a stranger may read this.
        assert set(part) == {"state", "latencyMs"}
        assert part["state"] in ("up", "down", "absent")
        assert 0 <= part["latencyMs"] < 3_000
    return response.status, {name: part["state"] for name, part in body["parts"].items()}


async def until_readyz(product: Product, status: int, **states: str) -> None:
    """Ask until everything is as it should be."""
    expected = (status, dict.fromkeys(PARTS, "up") | states)

    async def as_expected() -> bool:
        return await readyz(product) == expected

    await until(as_expected)


async def assert_alive(product: Product) -> None:
    """The process lives, whatever it lacks."""
    async with product.http.get(f"{product.url}/healthz") as response:
        assert (response.status, await response.json()) == (200, {"status": "ok"})


async def test_with_everything_up_the_product_is_ready(own_product: Product) -> None:
    await assert_alive(own_product)
    await until_readyz(own_product, 200)


async def test_without_a_worker_it_is_not_ready_and_says_that_nobody_is_there(settings: Settings) -> None:
    async with running_product(settings, worker=False) as product:
        assert await readyz(product) == (503, {"database": "up", "redis": "up", "worker": "absent"})
        await assert_alive(product)


async def test_a_worker_that_has_ended_is_missed_within_seconds(own_product: Product) -> None:
    await until_readyz(own_product, 200)
    key = "colloquy:queue:health-check"
    # What a killed worker leaves behind ends by itself.
    assert 0 < await own_product.services.redis.pttl(key) <= 5_000


async def test_without_redis_it_is_not_ready_until_redis_is_back(settings: Settings) -> None:
    assert settings.redis_url is not None
    async with (
        relayed(settings.redis_url) as (url, relay),
        running_product(settings.model_copy(update={"redis_url": url}), worker=False) as product,
    ):
        assert (await readyz(product))[1]["redis"] == "up"
        await relay.close()
        assert await readyz(product) == (503, {"database": "up", "redis": "down", "worker": "down"})
        await assert_alive(product)
        await relay.listen_again()
        await until_readyz(product, 503, worker="absent")


async def test_without_the_database_it_is_not_ready_until_the_database_is_back(settings: Settings) -> None:
    assert settings.database_url is not None
    async with relayed(settings.database_url) as (url, relay):
        changed = settings.model_copy(update={"database_url": url})
        async with running_product(changed, worker=False) as product:
            assert (await readyz(product))[1]["database"] == "up"
            await relay.close()
            assert await readyz(product) == (503, {"database": "down", "redis": "up", "worker": "absent"})
            await assert_alive(product)
            await relay.listen_again()
            await until_readyz(product, 503, worker="absent")
