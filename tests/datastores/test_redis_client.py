"""The process's Redis connections."""

from __future__ import annotations

import asyncio

import pytest

from core.errors import ConfigurationError
from core.settings import Settings
from datastores.redis_client import make_redis


async def test_a_loop_over_redis_ends_whenever_it_is_cancelled(settings: Settings) -> None:
    redis = make_redis(settings)

    async def ping_for_ever() -> None:
        while True:
            await redis.ping()

    try:
        await redis.ping()
        for turns in range(300):
            task = asyncio.create_task(ping_for_ever())
            for _ in range(turns % 30):
                await asyncio.sleep(0)
            task.cancel()
            done, _ = await asyncio.wait({task}, timeout=2)
            assert done, f"still running after it was cancelled {turns % 30} turns of the loop later"
            assert task.cancelled()
            assert await redis.echo(str(turns)) == str(turns).encode()
    finally:
        await redis.aclose()


@pytest.mark.parametrize("url", [None, "", "http://127.0.0.1:1", "127.0.0.1:6379"])
def test_a_url_that_is_none_is_told_with_the_name_of_its_setting(url: str | None) -> None:
    with pytest.raises(ConfigurationError, match="REDIS_URL"):
        make_redis(Settings(redis_url=url))
