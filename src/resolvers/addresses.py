"""E-mail addresses as they are stored."""

from __future__ import annotations

from email_validator import EmailNotValidError, validate_email

EMAIL_CHARS = 320
"""64 before the @ and 255 after it (RFC 5321, 4.5.3.1); longer ones are not worth reading."""


def email_address(email: str) -> str | None:
    """The address as it is stored, however it is typed: in lower case and in Unicode's composed form; None for none."""
    if len(email) > EMAIL_CHARS:
        return None
    try:
        return validate_email(email.strip(), check_deliverability=False, test_environment=True).normalized.lower()
    except EmailNotValidError:
        return None
