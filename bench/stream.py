"""Streams of answers: the product beside what one would write by hand, and beside stock Strawberry, in one run.

From the repository's root:

    python bench/stream.py                         all of it, three rounds: about ten minutes
    python bench/stream.py --rounds 1 --idle 0     without idle subscriptions
    python bench/stream.py --reader product        the peers listen to Redis as the product does

The servers are in bench/stream_parts/servers.py. Each is a process of its own on a core of its own; viewers, publisher,
Redis and PostgreSQL share the other. Each round measures all peers, one after the other, so a ratio is one of
neighbours. Nothing is merged: every viewer gets every delta, which is checked. Of each: processor time of the server
process for a delivered delta; latency from its publication to its arrival; memory and processor time of a subscription
on which nothing happens.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import uvloop

sys.path.insert(0, str(Path(__file__).parent.parent / "src"))

from stream_parts.client import Tally, connect
from stream_parts.installation import BENCH, OTHER_CORE, Installation, Server, installation, pin
from stream_parts.servers import PEERS

from core.ids import NodeKind, parse_id

PATIENCE = 120.0
WARM_UP = 200
"""Subscriptions before those whose memory is measured."""


@dataclass(frozen=True)
class Load:
    """So many answers with so many viewers each; `rate` is in events a second over all answers, 0 flat out."""

    name: str
    answers: int
    viewers: int
    deltas: int
    rate: float


LOADS = (
    Load("200 answers x 1 viewer, 5,000 events/s", 200, 1, 200, 5_000),
    Load("200 answers x 1 viewer, 1,000 events/s", 200, 1, 50, 1_000),
    Load("200 answers x 1 viewer, flat out", 200, 1, 200, 0),
    Load("1 answer x 1,000 viewers, 10 events/s", 1, 1_000, 100, 10),
    Load("1 answer x 1,000 viewers, flat out", 1, 1_000, 100, 0),
)


@dataclass
class Figures:
    """Of one load on one server."""

    cpu_us: float
    p50_ms: float
    p99_ms: float
    per_second: float
    lag_s: float
    """How far the publisher fell behind its rate at the worst moment."""


@dataclass
class Idle:
    """Of one subscription on which nothing happens, on a socket of its own."""

    kib: float
    cpu_us: float
    seconds_cpu_share: float
    """Of a core, that all of them together take while nothing happens."""


async def stream(load: Load, place: Installation, server: Server, token: str | None) -> Figures:
    """Run a load."""
    answers = place.answers[: load.answers]
    await place.begin(answers)
    tally = Tally()
    viewers = await connect(tally, server.port, [answer for answer in answers for _ in range(load.viewers)], token)
    await asyncio.sleep(1.0)
    cpu, began = server.cpu_us(), time.perf_counter()
    publisher = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "stream_parts.publisher", str(place.settings.redis_url), place.tenant.hex),
        *("2", str(load.deltas), str(load.rate)),
        *(parse_id(NodeKind.ANSWER, answer).hex for answer in answers),
        cwd=BENCH,
        stdout=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(PATIENCE):
        while tally.ended + tally.lost < len(viewers):  # noqa: ASYNC110 - looked at 50 times a second, it costs the viewers nothing
            await asyncio.sleep(0.02)
    seconds, cpu = time.perf_counter() - began, server.cpu_us() - cpu
    said, _ = await publisher.communicate()
    assert not tally.lost, f"{tally.lost} viewers were lost"
    expected = load.answers * load.viewers * load.deltas
    assert tally.deltas == expected, f"{tally.deltas} of {expected} deltas arrived"
    for viewer in viewers:
        assert viewer.transport is not None
        viewer.transport.abort()
    times = sorted(tally.latencies)
    p50, p99 = (times[int(len(times) * part)] / 1e6 for part in (0.5, 0.99))
    return Figures(cpu / tally.deltas, p50, p99, tally.deltas / seconds, float(said))


async def idle(count: int, place: Installation, server: Server, token: str | None) -> Idle:
    """Subscribe so many times, each to an answer of its own as long as there are some, and wait."""
    answers = place.answers
    await place.begin(answers)
    wanted = [answers[number % len(answers)] for number in range(WARM_UP + count)]
    tally = Tally()
    kept = await connect(tally, server.port, wanted[:WARM_UP], token)
    rss, cpu = server.rss_kib(), server.cpu_us()
    kept += await connect(tally, server.port, wanted[WARM_UP:], token)
    cpu = server.cpu_us() - cpu
    await asyncio.sleep(1.0)
    kib = (server.rss_kib() - rss) / count
    before = server.cpu_us()
    await asyncio.sleep(10.0)
    share = (server.cpu_us() - before) / 10e6
    for viewer in kept:
        assert viewer.transport is not None
        viewer.transport.abort()
    return Idle(kib, cpu / count, share)


def table(measured: dict[str, dict[str, list[Any]]], peers: Sequence[str]) -> None:
    """Medians over the rounds; in brackets the median of the ratios to `bare` of the same round."""

    def cell(name: str, peer: str, attribute: str) -> str:
        values = [getattr(one, attribute) for one in measured[name][peer]]
        shown = f"{statistics.median(values):,.2f}"
        if "bare" in peers and peer != "bare":
            bare = [getattr(one, attribute) for one in measured[name]["bare"]]
            ratios = [value / other for value, other in zip(values, bare, strict=True) if other]
            shown += f" ({statistics.median(ratios):.2f}x)" if ratios else ""
        return shown

    rows = [(name, attribute) for name, by_peer in measured.items() for attribute in vars(by_peer[peers[0]][0])]
    print(f"\n| | | {' | '.join(peers)} |\n| --- | --- | {' | '.join('---' for _ in peers)} |")
    for name, attribute in rows:
        print(f"| {name} | {attribute} | {' | '.join(cell(name, peer, attribute) for peer in peers)} |")


def machine() -> str:
    """On what, and of what, this was measured."""
    names = ("strawberry-graphql", "graphql-core", "starlette", "uvicorn", "websockets", "redis", "uvloop", "orjson")
    model = next((x for x in Path("/proc/cpuinfo").read_text().splitlines() if x.startswith("model name")), ": unknown")
    versions = ", ".join(f"{name} {version(name)}" for name in names)
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    return (
        f"{model.partition(': ')[2]}, {os.cpu_count()} cores, load {load} at the start; "
        f"Python {platform.python_version()}, {versions}"
    )


async def main(arguments: argparse.Namespace) -> None:
    """Measure, and print a table."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    pin(os.getpid(), OTHER_CORE)
    print(machine(), flush=True)
    loads = [load for load in LOADS if arguments.only in load.name]
    measured: dict[str, dict[str, list[Any]]] = {load.name: {peer: [] for peer in arguments.peers} for load in loads}
    idle_name = f"{arguments.idle:,} idle subscriptions"
    if arguments.idle:
        measured[idle_name] = {peer: [] for peer in arguments.peers}
    with tempfile.TemporaryDirectory(prefix="colloquy-bench-") as folder:
        async with installation(Path(folder), min(max(arguments.idle, 200), 2_000)) as place:
            for number in range(arguments.rounds):
                for peer in arguments.peers:
                    token = None if peer == "bare" else place.token
                    async with place.serving(peer, READER=arguments.reader) as server:
                        for load in loads:
                            measured[load.name][peer].append(await stream(load, place, server, token))
                            print(number, peer, load.name, measured[load.name][peer][-1], flush=True)
                    if arguments.idle:
                        async with place.serving(peer, READER=arguments.reader) as server:
                            measured[idle_name][peer].append(await idle(arguments.idle, place, server, token))
                            print(number, peer, idle_name, measured[idle_name][peer][-1], flush=True)
    table(measured, arguments.peers)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS))
    parser.add_argument("--idle", type=int, default=2_000, help="subscriptions; 0 leaves that out")
    parser.add_argument("--only", default="", help="loads whose name has this in it")
    parser.add_argument("--reader", choices=("listen", "product"), default="listen", help="of `bare` and `stock`")
    uvloop.run(main(parser.parse_args()))
