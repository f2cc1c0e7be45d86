"""The bytes of a mail, as another program reads them."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from email.utils import parsedate_to_datetime
from uuid import UUID

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from core.errors import ConfigurationError
from core.mail import Mail
from providers.mail.message import Sender, readable_message, recipient, wire_message

SENDER = Sender("post@example.test", "Colloquy")
ID = UUID("0198c0de-0000-7000-8000-000000000001")
AT = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
HEADERS = [
    "From",
    "To",
    "Subject",
    "Date",
    "Message-ID",
    "Auto-Submitted",
    "Content-Type",
    "Content-Transfer-Encoding",
    "MIME-Version",
]


def read(message: bytes) -> EmailMessage:
    return message_from_bytes(message, policy=policy.default)  # type: ignore[return-value]


def mail(subject: str = "Subject", text: str = "Text\n", to: str = "pat@example.test") -> Mail:
    return Mail(to, subject, text)


@pytest.mark.parametrize("make", [wire_message, readable_message])
def test_a_mail_says_who_when_and_which(make: object) -> None:
    message = read(make(mail(), SENDER, ID, AT))  # type: ignore[operator]
    assert message.keys() == HEADERS
    assert message["From"] == "Colloquy <post@example.test>"
    assert message["To"] == "pat@example.test"
    assert parsedate_to_datetime(message["Date"]) == AT
    assert message["Message-ID"] == f"<{ID.hex}@example.test>"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message.get_content_type() == "text/plain"


def test_the_same_mail_is_the_same_message_to_the_byte() -> None:
    assert wire_message(mail(), SENDER, ID, AT) == wire_message(mail(), SENDER, ID, AT)


def lines(text: str) -> str:
    """The text with lines that end in one way, the last one too."""
    return re.sub("\r\n|\r", "\n", text).removesuffix("\n") + "\n"


INJECTION = "=?utf-8?q?a=0D=0ABcc:_eve=40example.test=0D=0A?="
SUBJECTS = st.one_of(st.text(), st.lists(st.sampled_from([INJECTION, "=", "?", "=?", "é", " ", "word"])).map("".join))


@given(SUBJECTS, st.text())
@example("Grüße aus Zürich — 日本語 🎉 " * 9, "Grüße\n.\n.. \nFrom me\nhttps://example.test/?a=b&token=" + "x" * 3000)
@example(INJECTION, "=3D\n--boundary\n")
@example(f"ü {INJECTION} " + "y " * 60, "")
def test_any_mail_goes_through_seven_bits_in_short_lines_and_comes_out_as_it_was(subject: str, text: str) -> None:
    try:
        written = mail(subject, text)
    except ValueError:
        assume(False)
    message = wire_message(written, SENDER, ID, AT)
    assert message.isascii()
    assert all(len(line) <= 998 and b"\r" not in line and b"\n" not in line for line in message.split(b"\r\n"))
    found = read(message)
    assert found.keys() == HEADERS
    # A mail program may fold spaces.
    assert "".join(found["Subject"].split()) == "".join(subject.replace("=?", "= ?").split())
    assert lines(found.get_content()) == lines(text)


def test_an_address_that_reads_as_an_encoded_header_is_left_out_of_the_headers() -> None:
    written = mail(to="=?utf-8?q?a=0D=0ABcc?=@example.test")
    message = read(wire_message(written, SENDER, ID, AT))
    assert message.keys() == HEADERS
    assert message["To"] == "undisclosed-recipients:;"
    assert recipient(written) == written.to


def test_a_file_has_its_links_in_one_piece() -> None:
    link = "https://example.test/reset?token=" + "x" * 100
    message = readable_message(mail(text=f"Grüße: {link}\n"), SENDER, ID, AT)
    assert f"Grüße: {link}".encode() in message


def test_a_domain_beyond_ascii_is_written_in_ascii() -> None:
    written = mail(to="pat@exämple.de")
    assert recipient(written) == "pat@xn--exmple-cua.de"
    assert b"To: pat@xn--exmple-cua.de\r\n" in wire_message(written, SENDER, ID, AT)


def test_a_name_beyond_ascii_needs_headers_in_utf8() -> None:
    written = mail(to="jörg@exämple.de")
    assert recipient(written) == "jörg@xn--exmple-cua.de"
    assert "To: jörg@xn--exmple-cua.de\r\n".encode() in wire_message(written, SENDER, ID, AT)


@pytest.mark.parametrize(
    ("text", "sender"),
    [
        ("post@example.com", Sender("post@example.com")),
        ("Colloquy <post@example.com>", Sender("post@example.com", "Colloquy")),
        ('"Büro, Zürich" <post@bücher.de>', Sender("post@xn--bcher-kva.de", "Büro, Zürich")),
    ],
)
def test_who_mail_is_from_is_read(text: str, sender: Sender) -> None:
    assert Sender.parse(text) == sender


@pytest.mark.parametrize(
    "text", ["", "post", "jörg@example.com", "A <a@example.com>, B <b@example.com>", "Col\nBcc: x <post@example.com>"]
)
def test_who_mail_cannot_be_from_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="MAIL_FROM"):
        Sender.parse(text)
