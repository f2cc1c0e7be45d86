"""`/healthz`: the process is alive. `/readyz`: so is what it needs, each part with its state and latency."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from datastores import redis_keys
from resolvers.services import Services

PROBE_SECONDS = 2.0
log = structlog.get_logger(__name__)


class _Absent(Exception):
    """Nothing is wrong with the connection, but nobody is there."""


async def healthz(_request: Request) -> Response:
    """Alive: 200."""
    return JSONResponse({"status": "ok"})


async def readyz(request: Request) -> Response:
    """200 when the database, Redis and at least one worker answer, else 503; either way each part's state."""
    services: Services = request.app.state.services
    names = ("database", "redis", "worker")
    probes = (services.postgres.ping, _ping(services), _worker(services))
    states = await asyncio.gather(*(_probe(name, probe) for name, probe in zip(names, probes, strict=True)))
    ready = all(state["state"] == "up" for state in states)
    body = {"status": "ready" if ready else "not ready", "parts": dict(zip(names, states, strict=True))}
    return JSONResponse(body, 200 if ready else 503)


def _ping(services: Services) -> Callable[[], Awaitable[None]]:
    async def ping() -> None:
        await services.redis.ping()

    return ping


def _worker(services: Services) -> Callable[[], Awaitable[None]]:
    async def worker() -> None:
        # arq's workers keep this key alive while they poll the queue.
        if not await services.redis.exists(f"{redis_keys.QUEUE}:health-check"):
            raise _Absent

    return worker


async def _probe(name: str, probe: Callable[[], Awaitable[None]]) -> dict[str, Any]:
    began = time.perf_counter()
    state = "up"
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            await probe()
    except _Absent:
        state = "absent"
    except Exception as error:
        # Whatever a driver raises, the part is down; what exactly is for the log, not for a stranger.
        log.warning("probe failed", part=name, error=type(error).__name__)
        state = "down"
    return {"state": state, "latencyMs": round((time.perf_counter() - began) * 1000, 2)}
