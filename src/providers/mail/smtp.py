"""Mail by SMTP (RFC 5321), through aiosmtplib. This module alone knows the library."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from uuid import UUID

import aiosmtplib

from core.mail import Mail, shortened
from providers.mail.base import Mailer, MailError, MailServerUnavailableError
from providers.mail.message import Sender, recipient, wire_message
from providers.mail.smtp_url import SmtpServer

STEP_SECONDS = 10.0
"""For the connection, and for each answer of the server."""
MAIL_SECONDS = 30.0
"""For one mail with its connection, whatever its steps take."""
_QUIT_SECONDS = 2.0
_CLOSING = 421
"""The server is about to close the connection, whatever it was asked."""
_REASON_CHARS = 200
# What a server may repeat of a mail that it refuses: its links, and what could be a token.
_SECRETS = re.compile(r"\S*://\S*|[\w-]{20,}")


class SmtpTransport:
    """Hands mail to one server."""

    def __init__(self, server: SmtpServer, sender: Sender) -> None:
        self._server = server
        self._sender = sender

    @asynccontextmanager
    async def session(self) -> AsyncGenerator[Mailer, None]:
        """One connection, opened with the first mail and after each break."""
        session = _Session(self._server, self._sender)
        try:
            yield session
            await session.quit()
        finally:
            session.close()


class _Session:
    def __init__(self, server: SmtpServer, sender: Sender) -> None:
        self._sender = sender
        self._client = aiosmtplib.SMTP(
            hostname=server.host,
            port=server.port,
            username=server.user,
            password=server.password,
            # The library's own choice asks the resolver, which may take its time.
            local_hostname=sender.domain,
            timeout=STEP_SECONDS,
            use_tls=server.implicit_tls,
            start_tls=server.tls is not None and not server.implicit_tls,
            tls_context=server.tls,
        )

    async def send(self, mail: Mail, *, mail_id: UUID, written_at: datetime) -> None:
        to = recipient(mail)
        message = wire_message(mail, self._sender, mail_id, written_at)
        connected = False
        try:
            async with asyncio.timeout(MAIL_SECONDS):
                if not self._client.is_connected:
                    await self._client.connect()
                connected = True
                options = [] if to.isascii() else ["SMTPUTF8"]
                await self._client.sendmail(self._sender.address, [to], message, mail_options=options)
        except (aiosmtplib.SMTPRecipientsRefused, aiosmtplib.SMTPDataError) as error:
            # The library has reset the conversation: the next mail can have the same connection.
            raise _refusal(error, mail) from None
        except aiosmtplib.SMTPNotSupported as error:
            if not connected:
                raise MailServerUnavailableError(_reason(str(error), mail)) from None
            raise MailError("The server does not take addresses beyond ASCII.", retryable=False) from None
        except (aiosmtplib.SMTPException, OSError) as error:
            self.close()
            raise MailServerUnavailableError(_reason(_told(error), mail)) from None
        except BaseException:
            # A command whose answer nobody has read: no other may follow it.
            self.close()
            raise

    async def quit(self) -> None:
        """Take leave, where there is somebody."""
        if self._client.is_connected:
            with suppress(aiosmtplib.SMTPException, OSError):
                await self._client.quit(timeout=_QUIT_SECONDS)

    def close(self) -> None:
        """Drop the connection. Safe to call twice."""
        self._client.close()


def _refusal(error: aiosmtplib.SMTPRecipientsRefused | aiosmtplib.SMTPDataError, mail: Mail) -> MailError:
    """This mail is not wanted: for good with a code of 500 and more, for now with one below."""
    # There is one recipient in each mail.
    answer = error.recipients[0] if isinstance(error, aiosmtplib.SMTPRecipientsRefused) else error
    reason = _reason(_told(answer), mail)
    if answer.code == _CLOSING:
        return MailServerUnavailableError(reason)
    return MailError(reason, retryable=answer.code < 500)


def _told(error: BaseException) -> str:
    if isinstance(error, aiosmtplib.SMTPResponseException):
        return f"{error.code} {error.message}"
    return str(error) or type(error).__name__


def _reason(told: str, mail: Mail) -> str:
    """What was told, fit for a log."""
    for address in (mail.to, recipient(mail)):
        told = re.sub(re.escape(address), shortened(address), told, flags=re.IGNORECASE)
    local = mail.to.rpartition("@")[0]
    told = re.sub(rf"(?<!\w){re.escape(local)}(?!\w)", f"{local[:1]}…", told, flags=re.IGNORECASE)
    printable = "".join(character if character.isprintable() else " " for character in told)
    return _SECRETS.sub("[…]", printable)[:_REASON_CHARS]
