"""Mail by SMTP against a real server: what it takes, how it refuses, and how it breaks."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote
from uuid import UUID

import pytest
from aiosmtpd.smtp import Envelope

from core.ids import new_id
from core.mail import Mail
from mail_server import PASSWORD, USER, MailServer, mail_server
from providers.mail import smtp
from providers.mail.base import Mailer, MailError, MailServerUnavailableError
from providers.mail.message import Sender
from providers.mail.smtp import SmtpTransport
from providers.mail.smtp_url import parse_smtp_url

SENDER = Sender("post@example.test", "Büro")
ID = UUID("0198c0de-0000-7000-8000-000000000001")
AT = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
LINK = "https://example.test/reset?token=8c7bK3n9Vq2LmZ0xW4tYpR6s"
MAIL = Mail("patricia@example.test", "Grüße aus Vexholm — 日本語", f"Hallo Jörg,\n.\n..\n{LINK}\n")
ACCOUNT = f"{quote(USER, safe='')}:{quote(PASSWORD, safe='')}@"


def transport(url: str, trusted: bytes = b"", folder: Path | None = None) -> SmtpTransport:
    """What a worker makes of SMTP_URL and SMTP_ROOT_CERTIFICATES."""
    certificates = None
    if folder is not None:
        certificates = folder / "roots.pem"
        certificates.write_bytes(trusted)
    return SmtpTransport(parse_smtp_url(url, certificates), SENDER)


async def send(mailer: Mailer, mail: Mail = MAIL, mail_id: UUID | None = None) -> None:
    await mailer.send(mail, mail_id=mail_id or new_id(), written_at=AT)


async def refusal(mailer: Mailer, mail: Mail = MAIL) -> MailError:
    """The error that sending the mail raises."""
    with pytest.raises(MailError) as caught:
        await send(mailer, mail)
    # It goes to logs: nothing of the person's but the first letter.
    assert "atricia" not in caught.value.reason
    assert "8c7bK3n9Vq2LmZ0xW4tYpR6s" not in caught.value.reason
    assert PASSWORD not in caught.value.reason
    return caught.value


@pytest.fixture
async def server() -> AsyncIterator[MailServer]:
    """A server that speaks in clear."""
    async with mail_server() as one:
        yield one


@pytest.fixture
async def mailer(server: MailServer) -> AsyncIterator[Mailer]:
    """A session with it."""
    async with transport(f"smtp://127.0.0.1:{server.port}?tls=none").session() as session:
        yield session


async def test_a_mail_arrives_as_it_was_written(server: MailServer, mailer: Mailer) -> None:
    await send(mailer, mail_id=ID)
    (received,) = server.received
    assert (received.sender, received.recipients) == ("post@example.test", ["patricia@example.test"])
    assert received.raw.isascii()
    message = received.message
    assert message["Subject"] == MAIL.subject
    assert message["To"] == MAIL.to
    assert message["From"] == "Büro <post@example.test>"
    assert message["Message-ID"] == f"<{ID.hex}@example.test>"
    assert message.get_content().splitlines() == MAIL.text.splitlines()


async def test_mails_in_a_row_share_a_connection(server: MailServer, mailer: Mailer) -> None:
    for _ in range(5):
        await send(mailer)
    assert (len(server.received), server.connections) == (5, 1)


@pytest.mark.parametrize(("tls", "scheme"), [("starttls", "smtp"), ("implicit", "smtps")])
async def test_the_account_and_the_mail_go_through_tls(tls: str, scheme: str, tmp_path: Path) -> None:
    async with mail_server(tls=tls) as server:
        way = transport(f"{scheme}://{ACCOUNT}localhost:{server.port}", server.certificate, tmp_path)
        async with way.session() as mailer:
            await send(mailer)
    assert [(one.encrypted, one.user) for one in server.received] == [(True, USER)]


@pytest.mark.parametrize(("tls", "scheme"), [("starttls", "smtp"), ("implicit", "smtps")])
async def test_a_server_of_another_authority_gets_neither_account_nor_mail(
    tls: str, scheme: str, tmp_path: Path
) -> None:
    async with mail_server(tls=tls) as server, mail_server(tls=tls) as other:
        way = transport(f"{scheme}://{ACCOUNT}localhost:{server.port}", other.certificate, tmp_path)
        async with way.session() as mailer:
            error = await refusal(mailer)
        assert isinstance(error, MailServerUnavailableError)
        assert "certificate verify failed" in error.reason
        assert (server.logins, server.received) == ([], [])


@pytest.mark.parametrize(("tls", "scheme"), [("starttls", "smtp"), ("implicit", "smtps")])
async def test_a_server_of_another_name_gets_neither_account_nor_mail(tls: str, scheme: str, tmp_path: Path) -> None:
    # Its certificate is for localhost and 127.0.0.1.
    async with mail_server(tls=tls, host="127.0.0.2") as server:
        way = transport(f"{scheme}://{ACCOUNT}127.0.0.2:{server.port}", server.certificate, tmp_path)
        async with way.session() as mailer:
            error = await refusal(mailer)
        assert isinstance(error, MailServerUnavailableError)
        assert "certificate verify failed" in error.reason
        assert (server.logins, server.received) == ([], [])


async def test_a_server_that_does_not_offer_tls_gets_neither_account_nor_mail(
    server: MailServer, tmp_path: Path
) -> None:
    way = transport(f"smtp://{ACCOUNT}127.0.0.1:{server.port}", server.certificate, tmp_path)
    async with way.session() as mailer:
        assert isinstance(await refusal(mailer), MailServerUnavailableError)
    assert (server.logins, server.received) == ([], [])


async def test_a_wrong_password_is_the_server_s_fault_not_the_mail_s(tmp_path: Path) -> None:
    async with mail_server(tls="implicit") as server:
        way = transport(f"smtps://post:wrong-password@localhost:{server.port}", server.certificate, tmp_path)
        async with way.session() as mailer:
            error = await refusal(mailer)
    assert isinstance(error, MailServerUnavailableError)
    assert error.reason.startswith("535")
    assert "wrong-password" not in error.reason


async def test_a_refused_connection_can_be_tried_again() -> None:
    listener = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    listener.close()
    await listener.wait_closed()
    async with transport(f"smtp://127.0.0.1:{port}?tls=none").session() as mailer:
        assert isinstance(await refusal(mailer), MailServerUnavailableError)


async def test_a_server_that_says_nothing_is_left_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smtp, "STEP_SECONDS", 0.2)
    async with _silent() as port, transport(f"smtp://127.0.0.1:{port}?tls=none").session() as mailer:
        async with asyncio.timeout(2):
            error = await refusal(mailer)
    assert isinstance(error, MailServerUnavailableError)
    assert "Timed out" in error.reason


async def test_a_server_that_falls_silent_in_a_mail_is_left_in_time(
    server: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smtp, "STEP_SECONDS", 0.2)
    never = asyncio.Event()

    async def silent(_envelope: Envelope) -> str:
        await never.wait()
        return "250 OK"

    server.on_data = silent
    async with transport(f"smtp://127.0.0.1:{server.port}?tls=none").session() as mailer:
        async with asyncio.timeout(2):
            assert isinstance(await refusal(mailer), MailServerUnavailableError)
        never.set()
        # What the server says late must not be taken for the answer to the next mail.
        await send(mailer, Mail("quinn@example.test", "Second", "text"))
    assert server.received[-1].recipients == ["quinn@example.test"]
    assert server.connections == 2


async def test_a_server_that_is_slow_at_every_step_is_left_in_time(
    server: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smtp, "MAIL_SECONDS", 0.3)
    never = asyncio.Event()

    async def silent(_envelope: Envelope) -> str:
        await never.wait()
        return "250 OK"

    server.on_data = silent
    async with transport(f"smtp://127.0.0.1:{server.port}?tls=none").session() as mailer, asyncio.timeout(2):
        assert isinstance(await refusal(mailer), MailServerUnavailableError)


async def test_a_server_that_dies_in_the_middle_of_a_mail_is_connected_to_again(
    server: MailServer, mailer: Mailer
) -> None:
    await send(mailer)
    server.dies_in_data = 1
    assert isinstance(await refusal(mailer), MailServerUnavailableError)
    await send(mailer)
    assert (len(server.received), server.connections) == (2, 2)


@pytest.mark.parametrize(
    ("answer", "retryable"),
    [
        ("450 4.2.1 try later", True),
        ("451 4.7.1 greylisted, try later", True),
        ("550 5.1.1 no such user", False),
        ("552 5.2.2 mailbox full", False),
    ],
)
@pytest.mark.parametrize("step", ["recipient", "data"])
async def test_a_refused_mail_does_not_spoil_the_connection_for_the_next(
    server: MailServer, mailer: Mailer, step: str, answer: str, retryable: bool
) -> None:
    async def refuse(_envelope: Envelope) -> str:
        return answer

    if step == "recipient":
        server.on_recipient = lambda address: answer if address == MAIL.to else None
    else:
        accept, server.on_data = server.on_data, refuse
    error = await refusal(mailer)
    assert (type(error), error.retryable, error.reason) == (MailError, retryable, answer)
    if step == "data":
        server.on_data = accept
    await send(mailer, Mail("quinn@example.test", "Second", "text"))
    assert [one.recipients for one in server.received] == [["quinn@example.test"]]
    assert server.connections == 1


@pytest.mark.parametrize("answer", ["421 4.3.2 shutting down", "451 4.3.0 later", "550 5.7.1 you may not"])
async def test_a_refused_sender_is_the_deployment_s_fault_and_can_be_tried_again(
    server: MailServer, mailer: Mailer, answer: str
) -> None:
    server.on_sender = lambda _: answer
    error = await refusal(mailer)
    assert isinstance(error, MailServerUnavailableError)
    assert error.retryable
    assert error.reason == answer


async def test_a_server_that_is_shutting_down_is_not_the_mail_s_fault(server: MailServer, mailer: Mailer) -> None:
    server.on_recipient = lambda _: "421 4.3.2 shutting down"
    assert isinstance(await refusal(mailer), MailServerUnavailableError)


async def test_what_a_server_repeats_of_a_mail_is_left_out_of_the_reason(server: MailServer, mailer: Mailer) -> None:
    server.on_recipient = lambda address: (
        f"550 5.1.1 <{address.upper()}>: unknown user patricia; see {LINK} {'x' * 900}"
    )
    error = await refusal(mailer)
    assert re.fullmatch(r"550 5\.1\.1 <p…@example\.test>: unknown user p…; see \[…\] \[…\]", error.reason)


async def test_a_long_reason_is_cut(server: MailServer, mailer: Mailer) -> None:
    server.on_recipient = lambda _: "550 " + "no " * 200
    assert len((await refusal(mailer)).reason) == 200


async def test_an_address_beyond_ascii_needs_a_server_that_knows_such() -> None:
    mail = Mail("jörg@exämple.de", "Grüße", "Hallo")
    async with mail_server(smtputf8=True) as able, transport(f"smtp://127.0.0.1:{able.port}?tls=none").session() as one:
        await send(one, mail)
        assert able.received[0].recipients == ["jörg@xn--exmple-cua.de"]
    async with mail_server() as old, transport(f"smtp://127.0.0.1:{old.port}?tls=none").session() as other:
        error = await refusal(other, mail)
        assert (type(error), error.retryable) == (MailError, False)
        # The next mail goes the same way.
        await send(other)
        assert (len(old.received), old.connections) == (1, 1)


async def test_a_cancelled_mail_leaves_no_connection_behind(server: MailServer) -> None:
    reached, never = asyncio.Event(), asyncio.Event()

    async def hang(_envelope: Envelope) -> str:
        reached.set()
        await never.wait()
        return "250 OK"

    server.on_data = hang

    async def work() -> None:
        async with transport(f"smtp://127.0.0.1:{server.port}?tls=none").session() as mailer:
            await send(mailer)

    working = asyncio.create_task(work())
    await reached.wait()
    working.cancel()
    with pytest.raises(asyncio.CancelledError):
        await working
    (connection,) = server.open
    while not connection.is_closing():  # noqa: ASYNC110 - the server's side has nothing to wait on
        await asyncio.sleep(0.01)


@asynccontextmanager
async def _silent() -> AsyncIterator[int]:
    """The port of a server that accepts connections and says nothing."""
    writers: list[asyncio.StreamWriter] = []
    listener = await asyncio.start_server(lambda _, writer: writers.append(writer), "127.0.0.1", 0)
    try:
        yield listener.sockets[0].getsockname()[1]
    finally:
        listener.close()
        for writer in writers:
            writer.transport.abort()
        await listener.wait_closed()
