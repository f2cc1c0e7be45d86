"""The product as benches start it: `colloquy run` as it stands, in a folder that is thrown away."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import psutil

BENCH = Path(__file__).parents[1]
SOURCES = BENCH.parent / "src"
sys.path[:0] = [str(SOURCES), str(BENCH.parent / "tests")]

from app.embedded.ports import free_port  # noqa: E402 - of the sources that have just been found

START_SECONDS = 180
_RATES = (
    *("REQUESTS_PER_MINUTE", "BURST", "SIGN_UP_PER_MINUTE", "SIGN_UP_BURST", "ANONYMOUS_BURST"),
    *("UPLOADS_PER_MINUTE", "UPLOADS_BURST", "SOCKETS_PER_MINUTE", "SOCKETS_BURST"),
)
PLENTY = {f"RATE_LIMIT_{name}": "1000000" for name in _RATES} | {
    "RATE_LIMIT_CONCURRENT_ANSWERS": "10000",
    "SOCKETS_PER_PERSON": "10000",
    "SOCKETS_PER_ADDRESS": "10000",
}
"""Settings by which nobody is refused for coming too often."""


@asynccontextmanager
async def process(
    *arguments: str, **variables: str
) -> AsyncIterator[tuple[asyncio.subprocess.Process, psutil.Process]]:
    """A Python program of ours, ended with the block."""
    path = os.pathsep.join(filter(None, [str(SOURCES), str(BENCH), os.environ.get("PYTHONPATH")]))
    ours = {"PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}
    started = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, stdout=asyncio.subprocess.PIPE, env=os.environ | ours | variables
    )
    try:
        yield started, psutil.Process(started.pid)
    finally:
        if started.returncode is None:
            started.terminate()
            # What is still printed must not fill the pipe.
            await started.communicate()


async def wait_until_up(http: aiohttp.ClientSession, url: str) -> None:
    """Ask until it answers with no fault of its own."""
    async with asyncio.timeout(START_SECONDS):
        while True:
            try:
                async with http.get(url) as response:
                    if response.status < 500:
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.2)


@asynccontextmanager
async def own_product(
    http: aiohttp.ClientSession, folder: str, **settings: str
) -> AsyncIterator[tuple[str, psutil.Process]]:
    """Its address and its supervisor's process, once it is ready. It keeps what it has in the folder."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    variables = {"PUBLIC_URL": url, "PORT": str(port), "DATA_DIR": f"{folder}/data"} | PLENTY | settings
    async with process("-m", "app.cli", "run", **variables) as (_, supervisor):
        await wait_until_up(http, f"{url}/readyz")
        yield url, supervisor
