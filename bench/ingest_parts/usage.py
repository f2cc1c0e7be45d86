"""What a running product uses: processor time and memory of the worker with its parsers, and of PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import psutil

LOOK_SECONDS = 0.05


@dataclass
class Usage:
    """Of one stretch of work: seconds of processor time, and the highest sum of resident memory, in MiB."""

    worker_cpu: float = 0.0
    postgres_cpu: float = 0.0
    peak_mib: float = 0.0
    _running: bool = field(default=True, repr=False)


class Processes:
    """The worker of a supervisor, and its PostgreSQL."""

    def __init__(self, supervisor: psutil.Process, postgres: int) -> None:
        (self._worker,) = [
            child for child in supervisor.children() if child.cmdline()[-3:] == ["-m", "app.cli", "work"]
        ]
        self._postgres = psutil.Process(postgres)

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[Usage]:
        """Inside the block they are looked at; what they used is known when it ends."""
        usage = Usage()
        before, database = _cpu(self._worker), self._backends()
        watching = asyncio.create_task(self._watch(usage))
        try:
            yield usage
        finally:
            usage.worker_cpu = _cpu(self._worker) - before
            usage.postgres_cpu = self._backends() - database
            watching.cancel()
            await asyncio.wait({watching})

    async def _watch(self, usage: Usage) -> None:
        while True:
            total = 0
            for each in (self._worker, *self._worker.children(recursive=True)):
                with suppress(psutil.NoSuchProcess):
                    total += each.memory_info().rss
            usage.peak_mib = max(usage.peak_mib, total / 2**20)
            await asyncio.sleep(LOOK_SECONDS)

    def _backends(self) -> float:
        total = 0.0
        for each in (self._postgres, *self._postgres.children()):
            with suppress(psutil.NoSuchProcess):
                times = each.cpu_times()
                total += times.user + times.system
        return total


def _cpu(process: psutil.Process) -> float:
    """With that of the parsers that have ended."""
    times = process.cpu_times()
    return float(times.user + times.system + times.children_user + times.children_system)
