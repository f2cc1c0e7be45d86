"""How often a process that dies is started again, and after what delay."""

from __future__ import annotations

from collections import deque

_WINDOW = 60.0  # seconds
_LIMIT = 5  # deaths within the window that are forgiven
_FIRST, _LONGEST = 0.1, 2.0  # seconds


class RestartBudget:
    """For one process. Times are `time.monotonic()`'s."""

    def __init__(self) -> None:
        self._deaths: deque[float] = deque()

    def delay_after_death(self, now: float) -> float | None:
        """Seconds to wait before the next start, doubling with each death; None after too many in a minute."""
        self._deaths.append(now)
        while self._deaths[0] <= now - _WINDOW:
            self._deaths.popleft()
        if len(self._deaths) > _LIMIT:
            return None
        return min(_FIRST * 2.0 ** (len(self._deaths) - 1), _LONGEST)
