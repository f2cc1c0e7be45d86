"""Programs of this folder, run in Node."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

HERE = Path(__file__).resolve().parent
PROGRAM_SECONDS = 50


class RunNode(Protocol):
    """Runs a program with these arguments and gives its output; fails with all that it said when it fails."""

    async def __call__(self, program: str, *arguments: str, folder: Path = HERE) -> str: ...


@dataclass
class NodeProgram:
    """A program that is running."""

    name: str
    process: asyncio.subprocess.Process

    async def line(self) -> str:
        """The next line of its output; the test's time limit bounds the wait."""
        assert self.process.stdout is not None
        line = (await self.process.stdout.readline()).decode()
        return line.rstrip("\n") if line else await self.rest()

    async def rest(self) -> str:
        """What it prints until its end, which must be a good one."""
        async with asyncio.timeout(PROGRAM_SECONDS):
            output, complaints = await self.process.communicate()
        code = self.process.returncode
        assert code == 0, f"{self.name}: {code}\n{output.decode()}\n{complaints.decode()}"
        return output.decode()


@asynccontextmanager
async def started(node: Path, program: str, *arguments: str, folder: Path = HERE) -> AsyncIterator[NodeProgram]:
    """The program at work in that folder; gone afterwards."""
    process = await asyncio.create_subprocess_exec(
        node, HERE / program, *arguments, cwd=folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        yield NodeProgram(program, process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
