"""What sends mail."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol
from uuid import UUID

from core.mail import Mail


class MailError(Exception):
    """A mail was not taken. `reason` is for logs and the outbox: nothing of the text, no whole address, no secret."""

    def __init__(self, reason: str, *, retryable: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retryable = retryable


class MailServerUnavailableError(MailError):
    """Nothing can be sent at present, whoever it is for: no use in trying the next mail at once."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason, retryable=True)


class Mailer(Protocol):
    """Sends mails one after the other."""

    async def send(self, mail: Mail, *, mail_id: UUID, written_at: datetime) -> None:
        """Hand the mail over for good; takes up to 30 s. Raises `MailError`.

        The message depends on nothing but the arguments and the settings, `Message-ID` included: a mail that is sent
        twice arrives as the same message.
        """
        ...


class MailTransport(Protocol):
    """How this deployment sends mail."""

    def session(self) -> AbstractAsyncContextManager[Mailer]:
        """A mailer for a few mails in a row: what it connects with the first is closed at the end."""
        ...
