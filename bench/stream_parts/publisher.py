"""Writes answers' logs and publishes, as the producer's script does, in a process of its own:
`python -m stream_parts.publisher REDIS TENANT FIRST_SEQUENCE DELTAS RATE ANSWER…` (from bench/).

`RATE` is in events a second over all answers; 0 is as fast as Redis takes them. The text of each delta begins with the
time of its publication, in nanoseconds of the machine's monotonic clock. Prints how far it fell behind, in seconds.
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from uuid import UUID

import redis.asyncio

sys.path.insert(0, str(Path(__file__).parents[2] / "src"))

from core.ids import TenantId
from datastores import redis_keys
from datastores.answer_events import Body, Completed, Delta, encode_event

GENERATION = "bench"
AT_ONCE = 100
"""Events in one round trip, where there is no rate."""
WORD = " gravitational"


async def publish(client: redis.asyncio.Redis, tenant: TenantId, events: list[tuple[UUID, int, Body]]) -> None:
    """Each event to its log and to its channel, in one round trip."""
    async with client.pipeline(transaction=False) as pipe:
        for answer, sequence, body in events:
            data = encode_event(GENERATION, sequence, body)
            pipe.rpush(redis_keys.answer_log(tenant, answer), data)
            pipe.publish(redis_keys.answer_live(tenant, answer), data)
        await pipe.execute()


async def main(url: str, tenant_hex: str, first: int, deltas: int, rate: float, answers: list[UUID]) -> None:
    """One delta to each answer in turn, so many times, and then the ends."""
    client = redis.asyncio.from_url(url)
    tenant = TenantId(UUID(tenant_hex))
    total, sent, lag = deltas * len(answers), 0, 0.0
    began = time.perf_counter()
    while sent < total:
        due = min(total, int((time.perf_counter() - began) * rate)) if rate else min(total, sent + AT_ONCE)
        if due == sent:
            await asyncio.sleep(0.0005)
            continue
        if rate:
            lag = max(lag, (due - sent) / rate)
        events: list[tuple[UUID, int, Body]] = [
            (answers[number % len(answers)], first + number // len(answers), Delta(f"{time.monotonic_ns()}{WORD}"))
            for number in range(sent, due)
        ]
        await publish(client, tenant, events)
        sent = due
    await publish(client, tenant, [(answer, first + deltas, Completed(answer)) for answer in answers])
    print(f"{lag:.3f}", flush=True)
    await client.aclose()


if __name__ == "__main__":
    _, url, tenant, first, deltas, rate, *answers = sys.argv
    asyncio.run(main(url, tenant, int(first), int(deltas), float(rate), [UUID(answer) for answer in answers]))
