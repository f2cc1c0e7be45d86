"""SMTP_URL and MAIL_FROM: what they mean, and clear words for what they cannot."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from core.errors import ConfigurationError
from core.settings import Settings
from providers.mail.folder import MailFolder
from providers.mail.registry import mail_transport
from providers.mail.smtp import SmtpTransport
from providers.mail.smtp_url import parse_smtp_url


@pytest.mark.parametrize(
    ("url", "host", "port", "tls", "implicit", "account"),
    [
        ("smtp://mail.example.com", "mail.example.com", 587, True, False, (None, None)),
        ("smtp://mail.example.com:25/?tls=starttls", "mail.example.com", 25, True, False, (None, None)),
        ("smtp://localhost:1025?tls=none", "localhost", 1025, False, False, (None, None)),
        ("smtps://mail.example.com", "mail.example.com", 465, True, True, (None, None)),
        ("smtps://u%40x.com:p%3A%2F%40ss@[::1]:2465", "::1", 2465, True, True, ("u@x.com", "p:/@ss")),
    ],
)
def test_a_url_says_where_and_how(
    url: str, host: str, port: int, tls: bool, implicit: bool, account: tuple[str | None, str | None]
) -> None:
    server = parse_smtp_url(url, None)
    assert (server.host, server.port, server.tls is not None, server.implicit_tls) == (host, port, tls, implicit)
    assert (server.user, server.password) == account
    assert "p:/@ss" not in repr(server)


@pytest.mark.parametrize(
    "url",
    [
        "mail.example.com:587",
        "http://mail.example.com",
        "smtp://",
        "smtp://user:secret-word@mail.example.com:port",
        "smtp://user:secret-word@mail.example.com:99999",
        "smtp://user:secret-word@mail.example.com/path",
        "smtp://user:secret-word@mail.example.com?tls=maybe",
        "smtp://user:secret-word@mail.example.com?tls",
        "smtp://user:secret-word@mail.example.com?timeout=5",
        "smtps://user:secret-word@mail.example.com?tls=none",
        "smtp://user:secret-word@mail.example.com?tls=none",
        "smtp://user:secret-word@[mail",
    ],
)
def test_what_is_no_url_of_a_server_is_refused_without_showing_the_password(url: str) -> None:
    with pytest.raises(ConfigurationError, match="SMTP_URL") as caught:
        parse_smtp_url(url, None)
    assert "secret-word" not in str(caught.value)


@pytest.mark.parametrize("content", [None, b"no certificate"])
def test_certificates_that_cannot_be_read_are_named(content: bytes | None, tmp_path: Path) -> None:
    file = tmp_path / "roots.pem"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigurationError, match="SMTP_ROOT_CERTIFICATES"):
        parse_smtp_url("smtp://mail.example.com", file)


def test_a_server_needs_to_know_who_mail_is_from(tmp_path: Path) -> None:
    settings = Settings(smtp_url=SecretStr("smtp://mail.example.com"), data_dir=tmp_path)
    with pytest.raises(ConfigurationError, match="MAIL_FROM"):
        mail_transport(settings)
    complete = settings.model_copy(update={"mail_from": "Colloquy <post@example.com>"})
    assert isinstance(mail_transport(complete), SmtpTransport)


def test_without_a_server_mail_goes_to_the_folder(tmp_path: Path) -> None:
    assert isinstance(mail_transport(Settings(data_dir=tmp_path)), MailFolder)
    with pytest.raises(ConfigurationError, match="MAIL_FROM"):
        mail_transport(Settings(data_dir=tmp_path, mail_from="nobody"))
