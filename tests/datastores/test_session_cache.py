"""A change to sessions is announced, whatever has become of the copies."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest

from core.ids import TenantId
from core.settings import Settings
from datastores import redis_keys
from datastores.redis_client import make_redis
from datastores.session_cache import EVERYBODY, SessionCache
from wire import relayed

TENANT, SESSION = TenantId(uuid4()), uuid4()


@pytest.mark.parametrize(
    ("whole_tenant", "words"), [(True, EVERYBODY), (False, SESSION.hex.encode())], ids=["a tenant", "a session"]
)
async def test_a_change_is_announced_though_the_copies_are_on_a_server_that_is_away(
    settings: Settings, whole_tenant: bool, words: bytes
) -> None:
    assert settings.redis_url is not None
    live = make_redis(settings)
    async with relayed(settings.redis_url) as (url, relay), live.pubsub() as ear:
        away = make_redis(settings.model_copy(update={"redis_url": url}))
        await relay.close()
        await ear.subscribe(redis_keys.identity_live(TENANT))
        assert (await ear.get_message(timeout=5) or {})["type"] == "subscribe"
        cache = SessionCache(away, live, ttl=60)
        await (cache.forget_tenant(TENANT) if whole_tenant else cache.forget(TENANT, [SESSION]))
        async with asyncio.timeout(5):
            assert (await ear.get_message(timeout=5) or {}).get("data") == words
        await away.aclose()
    await live.aclose()
