"""Secrets that have to be read again: sealed with a key that the database does not have, and bound to their owner."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Final

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from core.errors import ConfigurationError

SETTING: Final = "ENCRYPTION_KEYS"
_KEY: Final = re.compile(r"[A-Za-z0-9_-]{43}=")


class SealBrokenError(Exception):
    """None of our keys opens it, or it is somebody else's."""


class Sealer:
    """Fernet (AES-128-CBC with HMAC-SHA256) with any number of keys: the first one seals, all of them open."""

    def __init__(self, keys: Sequence[str]) -> None:
        """`keys`: 32 random bytes each, in URL-safe base64. Raises `ConfigurationError`."""
        # What is wrong with one is not shown, and looked at here: the decoder passes over what it does not know.
        if not all(_KEY.fullmatch(key) for key in keys):
            raise ConfigurationError(
                f"{SETTING}: expected keys of 32 bytes in URL-safe base64, separated by commas. "
                "`openssl rand -base64 32 | tr '+/' '-_'` makes one."
            )
        self._all = MultiFernet([Fernet(key) for key in keys])

    def seal(self, owner: str, secret: str) -> str:
        """The secret, for this owner alone: ASCII, some hundred characters more than it has."""
        return self._all.encrypt(json.dumps([owner, secret]).encode()).decode()

    def open(self, owner: str, sealed: str) -> str:
        """What was sealed for this owner. Raises `SealBrokenError`."""
        try:
            of, secret = json.loads(self._all.decrypt(sealed))
        except InvalidToken:
            raise SealBrokenError from None
        if of != owner:
            raise SealBrokenError
        return str(secret)

    def seal_anew(self, sealed: str) -> str:
        """The same under the first key. Raises `SealBrokenError`."""
        try:
            return self._all.rotate(sealed.encode()).decode()
        except InvalidToken:
            raise SealBrokenError from None


def sealer_of(keys: str | None) -> Sealer | None:
    """A sealer with the setting's keys, newest first; None without the setting. Raises `ConfigurationError`."""
    return None if keys is None else Sealer([key.strip() for key in keys.split(",")])
