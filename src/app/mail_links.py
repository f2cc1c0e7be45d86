"""Where links in mails lead: looked at before anything is started, so this imports next to nothing."""

from __future__ import annotations

from core.errors import ConfigurationError
from core.settings import Settings


def require_mail_links(settings: Settings) -> None:
    """In production links in mails must not lead where a request says. Raises `ConfigurationError` where they would."""
    if settings.environment == "production" and settings.public_url is None and settings.account_url is None:
        raise ConfigurationError(
            "PUBLIC_URL: not set. In production links in mails lead there: give https:// and the host that people use."
        )
