"""A mail as the bytes of an Internet message (RFC 5322)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8, EmailPolicy
from email.utils import getaddresses
from uuid import UUID

from email_validator import validate_email

from core.errors import ConfigurationError
from core.mail import Mail

# For any server, also one that takes 7 bits only.
_WIRE = SMTP.clone(cte_type="7bit")
# An address such as jörg@example.com has no form in ASCII: then the headers are UTF-8, which the server has to support.
_UTF8_WIRE = SMTPUTF8.clone(cte_type="7bit")


@dataclass(frozen=True, slots=True)
class Sender:
    """Who the mail is from. The address is in ASCII."""

    address: str
    name: str = ""

    @property
    def domain(self) -> str:
        """The part of the address after the @."""
        return self.address.rpartition("@")[2]

    @classmethod
    def parse(cls, text: str) -> Sender:
        """From `name@example.com` or `Name <name@example.com>`. Raises `ConfigurationError`."""
        addresses = getaddresses([text])
        try:
            if len(addresses) != 1 or not text.isprintable():
                raise ValueError("not one address in one line.")
            name, address = addresses[0]
            found = validate_email(address, check_deliverability=False, test_environment=True)
        except ValueError as error:
            raise ConfigurationError(f"MAIL_FROM: {error} Expected `Name <name@example.com>`.") from None
        if found.ascii_email is None:
            raise ConfigurationError("MAIL_FROM: the part before the @ must be in ASCII.")
        return cls(found.ascii_email, name)


def recipient(mail: Mail) -> str:
    """The address for the wire: in ASCII, with the domain's `xn--` form, unless the part before the @ is not."""
    found = validate_email(mail.to, check_deliverability=False, test_environment=True)
    return found.ascii_email or f"{found.local_part}@{found.ascii_domain}"


def wire_message(mail: Mail, sender: Sender, mail_id: UUID, written_at: datetime) -> bytes:
    """For a server: 7 bits but for UTF-8 headers where `recipient` is not ASCII. Lines end in CRLF."""
    message = _headers(mail, sender, mail_id, written_at, _WIRE if recipient(mail).isascii() else _UTF8_WIRE)
    message.set_content(mail.text)
    return message.as_bytes()


def readable_message(mail: Mail, sender: Sender, mail_id: UUID, written_at: datetime) -> bytes:
    """For a file: the text as it is, so that a person can read it and take a link from it."""
    message = _headers(mail, sender, mail_id, written_at, SMTPUTF8)
    message.set_content(mail.text, cte="8bit")
    return message.as_bytes()


def _headers(
    mail: Mail, sender: Sender, mail_id: UUID, written_at: datetime, policy: EmailPolicy[EmailMessage]
) -> EmailMessage:
    message = EmailMessage(policy)
    message["From"] = Address(sender.name, addr_spec=sender.address)
    to = recipient(mail)
    local, _, domain = to.rpartition("@")
    # Python reads encoded words (`=?utf-8?q?…?=`) in what it is given, and writes what they stand for: an end of line
    # among it began another header. So none may be left in what strangers choose.
    # `addr_spec=` would refuse a `local` beyond ASCII.
    message["To"] = "undisclosed-recipients:;" if "=?" in to else Address(username=local, domain=domain)
    message["Subject"] = mail.subject.replace("=?", "= ?")
    message["Date"] = written_at
    message["Message-ID"] = f"<{mail_id.hex}@{sender.domain}>"
    # RFC 3834: no out-of-office replies.
    message["Auto-Submitted"] = "auto-generated"
    return message
