"""Which way of sending mail this deployment has."""

from __future__ import annotations

from core.errors import ConfigurationError
from core.settings import Settings
from providers.mail.base import MailTransport
from providers.mail.folder import MailFolder
from providers.mail.message import Sender
from providers.mail.smtp import SmtpTransport
from providers.mail.smtp_url import parse_smtp_url

_NOBODY = Sender("colloquy@localhost", "Colloquy")


def mail_transport(settings: Settings) -> MailTransport:
    """SMTP where SMTP_URL is set, else the folder DATA_DIR/mail. Opens nothing. Raises `ConfigurationError`."""
    sender = None if settings.mail_from is None else Sender.parse(settings.mail_from)
    if settings.smtp_url is None:
        folder = settings.data_dir / "mail"
        return MailFolder(folder, sender or _NOBODY, development=settings.environment == "development")
    if sender is None:
        raise ConfigurationError("MAIL_FROM: not set. With SMTP_URL it says who mail is from: `Name <name@host>`.")
    server = parse_smtp_url(settings.smtp_url.get_secret_value(), settings.smtp_root_certificates)
    return SmtpTransport(server, sender)
