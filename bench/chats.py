"""Concurrent chats through the whole product, and in the same run through a bare proxy. From the repository's root:

    python bench/chats.py                          25 and 100 chats of 500 tokens at 100 tokens/s, two rounds of each
    python bench/chats.py --chats 250 --rounds 1
    python bench/chats.py --merge 0                without merging; any setting of the product may come as a variable

The product is `colloquy run` as it stands, with its worker, PostgreSQL and Redis; the provider is the tests' stand-in
behind OPENAI_BASE_URL, in a process of its own. The peer is bench/chats_parts/bare_proxy.py. Every token carries its
number and the moment at which the provider wrote it, so that each one's order and delay are known.

What is printed, of each: processor time of all server processes together for a token, of the whole run (from the first
question to the last terminal event) and of the time in which all chats stream; the longest chat's time from the
provider's first token to the end, against the ideal; from the question to the end; what is added to the provider's
first token; each token's delay; the longest gap between two frames.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import os
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import aiohttp
import psutil
import uvloop
from chats_parts.clients import BEGUN, REFUSALS, Person, Seen, bare
from product_parts.running import own_product, process, wait_until_up

from app.embedded.ports import free_port

PARTS = ("app.cli serve", "app.cli work", "postgres", "redis", "bare_proxy")
"""What a server process is told by: a word of its command line."""
Run = Callable[[int], Awaitable[Callable[[], Awaitable[list[Seen]]]]]
"""What prepares so many chats, and gives what runs them."""


@dataclass
class Figures:
    """One run of so many chats."""

    name: str
    chats: int
    cpu_us: float
    streaming_us: float
    parts_us: dict[str, float]
    streaming_s: float
    whole_s: float
    added_first_ms: tuple[float, float]
    delay_ms: tuple[float, float]
    gap_ms: tuple[float, float]
    tokens_per_frame: float

    def line(self) -> str:
        return (
            f"{self.name:8} {self.chats:5} {self.cpu_us:9.1f} {self.streaming_us:8.1f}"
            f" {self.streaming_s:8.2f} {self.whole_s:7.2f}"
            f" {self.added_first_ms[0]:9.1f} {self.added_first_ms[1]:7.1f}"
            f" {self.delay_ms[0]:8.1f} {self.delay_ms[1]:7.1f}"
            f" {self.gap_ms[0]:8.1f} {self.gap_ms[1]:7.1f} {self.tokens_per_frame:7.2f}"
        )


HEADER = (
    "              CPU us a token      stream   whole  added to first    token's delay       longest gap  tokens\n"
    "server   chats    whole  streams       s       s  p50 ms  max ms    p50 ms  p99 ms    p50 ms  max ms  a frame"
)


def cpu_seconds(server: psutil.Process) -> Counter[str]:
    """Processor time of a process and of all below it, so far, by what they are."""
    used: Counter[str] = Counter()
    for each in (server, *server.children(recursive=True)):
        try:
            times, words = each.cpu_times(), " ".join(each.cmdline())
        except psutil.NoSuchProcess:
            continue
        used[next((part for part in PARTS if part in words), "rest")] += times.user + times.system
    return used


async def while_all_stream(chats: int, server: psutil.Process) -> float:
    """Microseconds of processor time for a token, from when all chats have begun to when the first one ends.

    NaN where there is no such time worth measuring.
    """
    # Looked at now and then: to be told of each token would cost the clients more.
    while len(BEGUN) < chats or not all(one.first_at for one in BEGUN):  # noqa: ASYNC110
        await asyncio.sleep(0.02)
    before, tokens = cpu_seconds(server), sum(len(one.latencies) for one in BEGUN)
    while not any(one.ended_at for one in BEGUN):  # noqa: ASYNC110
        await asyncio.sleep(0.02)
    came = sum(len(one.latencies) for one in BEGUN) - tokens
    used = cpu_seconds(server).total() - before.total()
    return 1e6 * used / came if came > 20 * chats else math.nan


async def measure(name: str, chats: int, tokens: int, run: Run, server: psutil.Process) -> Figures:
    """Run, check that every token has come, and give the figures."""
    start = await run(chats)
    BEGUN.clear()
    REFUSALS.clear()
    before = cpu_seconds(server)
    watching = asyncio.create_task(while_all_stream(chats, server))
    async with asyncio.timeout(180):
        seen = await start()
    streaming = await watching
    used = cpu_seconds(server)
    used.subtract(before)
    for one in seen:
        assert len(one.latencies) == tokens, f"{len(one.latencies)} of {tokens} tokens came"
    if restarts := [reason for one in seen for reason in one.restarts]:
        print(f"{len(restarts)} restarts: {sorted(set(restarts))}")
    if REFUSALS:
        print(f"refused for now, and asked again: {dict(REFUSALS)}")
    delays = sorted(delay for one in seen for delay in one.latencies)
    first = [1000 * (one.first_at - one.first_written_at) for one in seen]
    gaps = [1000 * one.gap for one in seen]
    return Figures(
        name,
        chats,
        1e6 * used.total() / (chats * tokens),
        streaming,
        {part: 1e6 * seconds / (chats * tokens) for part, seconds in used.items()},
        max(one.ended_at - one.first_written_at for one in seen),
        max(one.ended_at - one.asked_at for one in seen),
        (statistics.median(first), max(first)),
        (1000 * delays[len(delays) // 2], 1000 * delays[len(delays) * 99 // 100]),
        (statistics.median(gaps), max(gaps)),
        chats * tokens / sum(one.frames for one in seen),
    )


async def main(arguments: argparse.Namespace) -> None:
    rate = (str(arguments.tokens), str(arguments.rate), str(arguments.think))
    bare_port = free_port()
    bare_url = f"http://127.0.0.1:{bare_port}"
    with tempfile.TemporaryDirectory(prefix="colloquy-bench-", ignore_cleanup_errors=True) as folder:
        async with (
            process("-m", "chats_parts.provider", *rate) as (provider, _),
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=1)) as http,
        ):
            assert provider.stdout is not None
            base_url = (await provider.stdout.readline()).decode().strip()
            settings = {
                "ENVIRONMENT": "production",
                "CHAT_PROVIDER": "openai",
                "OPENAI_BASE_URL": base_url,
                "MERGE_LONGEST_MS": str(arguments.merge),
            }
            async with (
                process("-m", "chats_parts.bare_proxy", base_url, str(bare_port)) as (_, bare_process),
                own_product(http, folder, **settings) as (our_url, our_process),
            ):
                await wait_until_up(http, f"{bare_url}/none")
                person = await Person.sign_up(http, our_url, "bench")

                def wait(number: int, chats: int) -> float:
                    return arguments.spread * number / chats

                async def with_proxy(chats: int) -> Callable[[], Awaitable[list[Seen]]]:
                    return lambda: asyncio.gather(
                        *(bare(http, bare_url, number, wait(number, chats)) for number in range(chats))
                    )

                async def with_colloquy(chats: int) -> Callable[[], Awaitable[list[Seen]]]:
                    conversations = [await person.conversation() for _ in range(chats)]
                    ready = asyncio.Barrier(chats)
                    return lambda: asyncio.gather(
                        *(person.ask(c, n, ready, wait(n, chats)) for n, c in enumerate(conversations))
                    )

                # What is loaded with the first answer is not what is measured.
                for prepare in (with_proxy, with_colloquy):
                    await (await prepare(2))()
                print(HEADER)
                await compare(arguments, with_proxy, bare_process, with_colloquy, our_process)


async def compare(
    arguments: argparse.Namespace,
    with_proxy: Run,
    bare_process: psutil.Process,
    with_colloquy: Run,
    our_process: psutil.Process,
) -> None:
    """Round by round, one after the other, so that whatever else the machine does falls on both."""
    for chats in arguments.chats:
        ratios = []
        for _ in range(arguments.rounds):
            proxy = await measure("bare", chats, arguments.tokens, with_proxy, bare_process)
            ours = await measure("colloquy", chats, arguments.tokens, with_colloquy, our_process)
            print(proxy.line(), ours.line(), sep="\n", flush=True)
            parts = sorted(ours.parts_us.items(), key=lambda item: -item[1])
            print("         of it", ", ".join(f"{part} {spent:.1f}" for part, spent in parts if spent >= 0.1))
            ratios.append(ours.cpu_us / proxy.cpu_us)
        ideal = (arguments.tokens - 1) / arguments.rate
        print(
            f"{chats} chats: CPU {statistics.median(ratios):.2f} x bare; "
            f"the stream takes {ours.streaming_s / ideal:.2f} x the ideal {ideal:.2f} s, "
            f"the whole {ours.whole_s / ideal:.2f} x; "
            f"load of the machine {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores",
            flush=True,
        )


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chats", type=int, nargs="+", default=[25, 100])
    parser.add_argument("--tokens", type=int, default=500)
    parser.add_argument("--rate", type=float, default=100.0, help="tokens a second in each chat")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--think", type=float, default=0.5, help="seconds before the provider's first token")
    parser.add_argument("--spread", type=float, default=0.0, help="seconds over which the questions are asked")
    parser.add_argument("--merge", type=float, default=40.0, help="MERGE_LONGEST_MS")
    return parser.parse_args()


if __name__ == "__main__":
    began = time.monotonic()
    uvloop.run(main(parsed()))
    print(f"{time.monotonic() - began:.0f} s in all")
