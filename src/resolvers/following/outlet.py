"""The short way from an event to a socket: rendered once for all who want the same of it, and written at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol
from uuid import UUID

from datastores.answer_events import LogEvent

Encoder = Callable[[UUID, LogEvent], bytes | None]
"""Makes of an answer's event what an operation selects of it, as JSON; None where that needs an execution."""


class Drained(Protocol):
    """Who waits for an outlet."""

    def drained(self) -> None:
        """The outlet takes more. Must not wait."""
        ...


class Outlet(Protocol):
    """One operation's part of a connection that takes results which are rendered already."""

    @property
    def writable(self) -> bool:
        """Whether what is written now goes out, rather than into a buffer that grows."""
        ...

    def write(self, data: bytes) -> bool:
        """Send one result, if it is `writable`; whether it was. What is written after the connection's end is lost."""
        ...

    def when_drained(self, waiting: Drained) -> None:
        """Tell somebody once when it is writable again."""
        ...

    def forget(self, waiting: Drained) -> None:
        """The end of `when_drained`, whether or not it has been told."""
        ...
