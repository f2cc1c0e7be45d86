"""An SMTP server on a loopback port (aiosmtpd), with the faults of real ones."""

from __future__ import annotations

import asyncio
import ssl
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session

# The stand-ins live beside the tests of the providers.
sys.path.append(str(Path(__file__).parent / "providers"))

from tls_relay import make_certificate

USER, PASSWORD = "post@example.test", "p@ss:word/with?signs"


@dataclass
class Received:
    """A mail that the server took."""

    sender: str
    recipients: list[str]
    raw: bytes
    encrypted: bool
    user: str | None

    @property
    def message(self) -> EmailMessage:
        """As a mail program reads it."""
        return message_from_bytes(self.raw, policy=policy.default)  # type: ignore[return-value]


async def taken(_envelope: Envelope) -> str:
    """The answer to a mail that is welcome."""
    return "250 OK"


@dataclass
class MailServer:
    """What tests set before a mail comes, and read after it."""

    port: int = 0
    certificate: bytes = b""
    received: list[Received] = field(default_factory=list)
    connections: int = 0
    open: set[Any] = field(default_factory=set)
    logins: list[bytes] = field(default_factory=list)
    on_sender: Callable[[str], str | None] = lambda _: None
    on_recipient: Callable[[str], str | None] = lambda _: None
    """What refuses an address, as "550 no such user"; None accepts it."""
    on_data: Callable[[Envelope], Awaitable[str]] = taken
    """The answer to a whole mail; anything but 250 refuses it."""
    dies_in_data: int = 0
    """In how many mails, from now on, the connection is reset while the mail is on its way."""

    async def handle_EHLO(
        self, _server: SMTP, session: Session, _envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        session.host_name = hostname
        return responses

    async def handle_MAIL(
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        refusal = self.on_sender(address)
        if refusal is None:
            envelope.mail_from = address
            envelope.mail_options.extend(options)
        return refusal or "250 OK"

    async def handle_RCPT(
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        refusal = self.on_recipient(address)
        if refusal is None:
            envelope.rcpt_tos.append(address)
        return refusal or "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        answer = await self.on_data(envelope)
        if answer.startswith("250"):
            assert isinstance(envelope.content, bytes)
            assert envelope.mail_from is not None
            encrypted = session.ssl is not None or server.transport.get_extra_info("sslcontext") is not None
            self.received.append(
                Received(envelope.mail_from, envelope.rcpt_tos, envelope.content, encrypted, session.auth_data)
            )
        return answer

    def authenticate(self, _server: SMTP, _session: Session, _envelope: Envelope, _kind: str, data: Any) -> AuthResult:
        """One account is known."""
        self.logins.append(data.login)
        good = (data.login, data.password) == (USER.encode(), PASSWORD.encode())
        return AuthResult(success=good, handled=False, auth_data=USER)


class _Connection(SMTP):
    def __init__(self, mails: MailServer, **arguments: Any) -> None:
        super().__init__(mails, hostname="mail.example.test", timeout=60, **arguments)
        self._mails = mails

    def connection_made(self, transport: Any) -> None:
        if self._original_transport is None:
            self._mails.connections += 1
            self._mails.open.add(transport)
        super().connection_made(transport)

    async def smtp_DATA(self, arg: str) -> None:
        if not self._mails.dies_in_data:
            await super().smtp_DATA(arg)
            return
        self._mails.dies_in_data -= 1
        await self.push("354 go on")
        await self._reader.readline()
        self.transport.abort()


@asynccontextmanager
async def mail_server(
    *, tls: str = "none", smtputf8: bool = False, host: str = "127.0.0.1"
) -> AsyncIterator[MailServer]:
    """A server that speaks in clear (`none`), offers STARTTLS (`starttls`), or TLS from the first byte (`implicit`).

    With TLS there is an account, USER with PASSWORD.
    """
    mails = MailServer()
    mails.certificate, context = _identity()
    loop = asyncio.get_running_loop()

    def connection() -> SMTP:
        return _Connection(
            mails,
            loop=loop,
            enable_SMTPUTF8=smtputf8,
            tls_context=context if tls == "starttls" else None,
            auth_require_tls=tls != "implicit",
            authenticator=mails.authenticate,
        )

    server = await loop.create_server(connection, host, 0, ssl=context if tls == "implicit" else None)
    mails.port = server.sockets[0].getsockname()[1]
    try:
        yield mails
    finally:
        server.close()
        for transport in mails.open:
            transport.abort()
        await server.wait_closed()


def _identity() -> tuple[bytes, ssl.SSLContext]:
    """A certificate, and the context of the server that has its key."""
    certificate, key = make_certificate()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "both.pem")
        file.write_bytes(certificate + key)
        context.load_cert_chain(file)
    return certificate, context
