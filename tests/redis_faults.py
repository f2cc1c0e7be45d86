"""Harm to one Redis database of a server on which other processes' tests have theirs."""

from __future__ import annotations

from redis.asyncio import Redis


async def cut_live_channels(redis: Redis) -> int:
    """Close every subscriber's connection that was made for this client's database; how many there were.

    A filter of CLIENT KILL by type would take other tests' subscribers too.
    """
    database = str((await redis.client_info())["db"])
    subscribers = [one["addr"] for one in await redis.client_list(_type="pubsub") if one["db"] == database]
    return sum([await redis.client_kill_filter(addr=address) for address in subscribers])
