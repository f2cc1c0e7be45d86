"""What a process knows of rate limits by itself: a limiter for when Redis is away, and what Redis has just refused."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Hashable

from datastores.rates import Demand, Refusal, limits_in

LOCAL_SUBJECTS = 10_000
"""Pairs of limit and subject that a process remembers. Whoever came longest ago is forgotten first."""


class LocalRateLimiter:
    """Decides as the script of `RateLimiter` does, by the process's own clock."""

    def __init__(self, *, subjects: int = LOCAL_SUBJECTS) -> None:
        self._subjects = subjects
        self._paid_off: OrderedDict[str, int] = OrderedDict()

    def __len__(self) -> int:
        return len(self._paid_off)

    def take(self, *demands: Demand, now_us: int | None = None) -> Refusal | None:
        """Admit all demands or none; `now_us` is in microseconds of a clock that never goes back."""
        now = monotonic_us() if now_us is None else now_us
        keys = limits_in(demands)
        paid_off = [
            max(self._paid_off.get(key, now), now) + demand.increment_us
            for key, demand in zip(keys, demands, strict=True)
        ]
        refusal, longest = None, 0
        for demand, due in zip(demands, paid_off, strict=True):
            wait = due - now - demand.limit.tolerance_us
            if wait > longest:
                refusal, longest = Refusal.after(demand.limit.name, wait), wait
        if refusal is None:
            for key, due in zip(keys, paid_off, strict=True):
                self._paid_off[key] = due
                self._paid_off.move_to_end(key)
            while len(self._paid_off) > self._subjects:
                self._paid_off.popitem(last=False)
        return refusal


class RecentRefusals:
    """Refusals that still hold. Nothing but time makes one untrue, so a flood is refused without asking again."""

    def __init__(self, *, subjects: int = LOCAL_SUBJECTS) -> None:
        self._subjects = subjects
        self._until: OrderedDict[Hashable, tuple[str, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._until)

    def add(self, asked: Hashable, limit: str, until_us: int) -> None:
        """What was asked is refused by that limit until `monotonic_us()` is `until_us`."""
        self._until[asked] = (limit, until_us)
        self._until.move_to_end(asked)
        while len(self._until) > self._subjects:
            self._until.popitem(last=False)

    def find(self, asked: Hashable) -> Refusal | None:
        """The refusal of the same as long as it holds."""
        found = self._until.get(asked)
        if found is None:
            return None
        limit, until = found
        wait = until - monotonic_us()
        if wait > 0:
            return Refusal.after(limit, wait)
        del self._until[asked]
        return None


def monotonic_us() -> int:
    """Microseconds of a clock that is this process's own and never goes back."""
    return time.monotonic_ns() // 1_000
