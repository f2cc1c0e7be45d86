"""Mail for nobody's mailbox: a file for each, for a product without an SMTP server."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from uuid import UUID

import structlog

from core.mail import Mail, shortened
from datastores.files import write_private
from providers.mail.base import Mailer, MailServerUnavailableError
from providers.mail.message import Sender, readable_message

_LINK = re.compile(r"https?://\S+")
log = structlog.get_logger(__name__)


class MailFolder:
    """Writes each mail to `<folder>/<id>.eml`; the ids are UUIDv7, so the names are in the order of the mails.

    A line in the log tells of it: in development with its links, so that a person can follow them from the terminal;
    elsewhere with neither them nor the whole address.
    """

    def __init__(self, folder: Path, sender: Sender, *, development: bool) -> None:
        self._folder = folder
        self._sender = sender
        self._development = development

    @asynccontextmanager
    async def session(self) -> AsyncGenerator[Mailer, None]:
        """Nothing to open."""
        yield self

    async def send(self, mail: Mail, *, mail_id: UUID, written_at: datetime) -> None:
        """Write the file, mode 0600; the same mail again replaces it. Raises `MailServerUnavailableError`."""
        file = self._folder / f"{mail_id.hex}.eml"
        try:
            await asyncio.to_thread(_write, file, readable_message(mail, self._sender, mail_id, written_at))
        except OSError as error:
            raise MailServerUnavailableError(f"{file.parent} cannot be written: {error.strerror}") from None
        if self._development:
            log.info("mail written", file=str(file), to=mail.to, subject=mail.subject, links=_LINK.findall(mail.text))
        else:
            log.info("mail written", file=str(file), to=shortened(mail.to), subject=mail.subject)


def _write(file: Path, message: bytes) -> None:
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_private(file, message)
