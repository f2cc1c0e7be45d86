"""How many frames one WebSocket may send, and with what headers one is refused."""

from __future__ import annotations

import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from websockets.exceptions import ProtocolError
from websockets.frames import Frame
from websockets.http11 import Response
from websockets.server import ServerProtocol

TOO_MANY = 4429


class TooManyMessagesError(ProtocolError):
    """The socket's budget is used up; it has been told so."""


class MessageBudget:
    """So many at once, and so many a second in the long run. In this process alone: a script in Redis would cost
    more than the message."""

    def __init__(self, per_second: int, burst: int) -> None:
        self.per_second = per_second
        self._burst = burst
        self._left: float = burst
        self._counted_at = time.monotonic()

    def take(self) -> bool:
        """Whether one more was allowed."""
        now = time.monotonic()
        self._left = min(self._burst, self._left + (now - self._counted_at) * self.per_second)
        self._counted_at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


class BudgetedServer(ServerProtocol):
    """Parses frames until there is one too many: what has arrived behind it is not even looked at.

    What refuses a handshake has the headers of every other response.
    """

    def __init__(self, budget: MessageBudget, headers: Mapping[str, str], **options: Any) -> None:
        super().__init__(**options)
        self._budget = budget
        self._headers = headers

    def send_response(self, response: Response) -> None:
        """Called for the answer to a handshake."""
        if response.status_code != HTTPStatus.SWITCHING_PROTOCOLS:
            for name, value in self._headers.items():
                response.headers.setdefault(name, value)
        super().send_response(response)

    def recv_frame(self, frame: Frame) -> None:
        """Called for each frame of any kind, pieces of messages and control frames among them."""
        if not self._budget.take():
            reason = f"More than {self._budget.per_second} messages a second, for longer than is allowed."
            self.fail(TOO_MANY, reason)
            raise TooManyMessagesError(reason)
        super().recv_frame(frame)
