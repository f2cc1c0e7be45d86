"""A mail as every layer knows it: who writes one stores it in the outbox, and a provider sends it."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field

from email_validator import validate_email

_NOT_IN_A_LINE = {"Cc", "Zl", "Zp"}
"""Unicode categories that end a line or command a terminal: each could begin another header."""


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail in plain text to one address.

    Raises ValueError unless `to` is one bare address, `subject` is one line, and all of it is text that UTF-8 and
    PostgreSQL can hold. The text is left out of `repr`: it may have a one-time link in it.
    """

    to: str
    subject: str
    text: str = field(repr=False)

    def __post_init__(self) -> None:
        for name, value in (("to", self.to), ("subject", self.subject)):
            if any(unicodedata.category(character) in _NOT_IN_A_LINE for character in value):
                raise ValueError(f"The mail's {name} is not one line.")
        if "\0" in self.text:
            raise ValueError("The mail's text has a NUL in it.")
        try:
            (self.subject + self.text).encode()
        except UnicodeEncodeError:
            # Its own message would show the text.
            raise ValueError("The mail has half a surrogate pair in it.") from None
        validate_email(self.to, check_deliverability=False, test_environment=True)


def shortened(address: str) -> str:
    """The address as logs may have it: `p…@example.com`."""
    local, _, domain = address.rpartition("@")
    return f"{local[:1]}…@{domain}"
