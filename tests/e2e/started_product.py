"""The product as `make run` starts it, in a data folder and on a port of its own."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import aiohttp
import psutil


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class StartedProduct:
    """One `colloquy run`."""

    def __init__(self, data_dir: Path, port: int, process: asyncio.subprocess.Process) -> None:
        self.data_dir = data_dir
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.process = process
        self.printed = ""

    @classmethod
    async def start(cls, data_dir: Path, port: int | None = None) -> StartedProduct:
        """Start it; it is not ready yet."""
        port = port or free_port()
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("DATABASE_", "REDIS_", "COLLOQUY_"))}
        own = {"DATA_DIR": str(data_dir), "PORT": str(port), "LOCAL_TOKEN_INTERVAL_MS": "2"}
        # A test asks faster than a person may.
        environment = clean | own | {"RATE_LIMIT_REQUESTS_PER_MINUTE": "100000", "RATE_LIMIT_BURST": "100000"}
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "app.cli",
            "run",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )
        return cls(data_dir, port, process)

    async def ready(self, seconds: float = 50) -> None:
        """Wait until it says that it is ready."""
        assert self.process.stdout is not None
        async with asyncio.timeout(seconds):
            while "Ready" not in self.printed:
                line = await self.process.stdout.readline()
                assert line, f"it ended:\n{self.printed}"
                self.printed += line.decode()

    async def said_at_its_end(self, seconds: float = 30) -> int:
        """Read to its end; the exit status."""
        async with asyncio.timeout(seconds):
            rest, _ = await self.process.communicate()
        self.printed += rest.decode()
        assert self.process.returncode is not None
        return self.process.returncode

    async def stop(self) -> int:
        """Ctrl-C; the exit status."""
        self.process.send_signal(signal.SIGINT)
        return await self.said_at_its_end()

    def children(self) -> list[psutil.Process]:
        """Every process below it."""
        return psutil.Process(self.process.pid).children(recursive=True)

    async def log_in(self, http: aiohttp.ClientSession, role: str = "BUSINESS") -> str:
        """The access token of a demo log-in."""
        logins = json.loads((self.data_dir / "demo.json").read_text())["logins"]
        (login,) = [entry for entry in logins if entry["role"] == role]
        query = """mutation($input: SignInInput!) { signIn(input: $input) {
          ... on SignInPayload { session { accessToken } } } }"""
        values: dict[str, Any] = {"email": login["email"], "password": login["password"]}
        payload = {"query": query, "variables": {"input": values}}
        async with http.post(f"{self.url}/graphql", json=payload) as response:
            body = await response.json()
        return body["data"]["signIn"]["session"]["accessToken"]  # type: ignore[no-any-return]
