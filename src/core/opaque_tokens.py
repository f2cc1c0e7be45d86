"""Secrets that we hand out and keep no copy of: refresh tokens, API keys, one-time links.

A token carries its tenant and its row under a signature, so that what nobody was given is refused without a look
into the database, and the tenant comes from a verified token here, too. Only a hash of its secret part is stored.
"""

from __future__ import annotations

import base64
import binascii
import enum
import hashlib
import hmac
import secrets
from dataclasses import dataclass
from uuid import UUID

from core.ids import TenantId
from core.security import InvalidTokenError

_SECRET_BYTES = 32
_MAC_BYTES = 16
_ID_BYTES = 16


class TokenKind(enum.Enum):
    """What a token is for; its value begins the token, so that people and secret scanners recognise it."""

    REFRESH = "clq_rt_"
    API_KEY = "clq_sk_"
    PASSWORD_RESET = "clq_pr_"  # noqa: S105 - no password, a prefix
    EMAIL_VERIFICATION = "clq_ev_"
    INVITATION = "clq_iv_"


@dataclass(frozen=True, slots=True)
class OpaqueToken:
    """A token whose signature is good. Whether it still counts, its row says: compare `hash` with the one stored."""

    tenant_id: TenantId
    id: UUID
    hash: bytes


class OpaqueTokens:
    """Mints and reads tokens of every kind with keys derived from one secret."""

    def __init__(self, secret: str) -> None:
        # A key for each kind: an API key can never pass for a refresh token.
        self._keys = {kind: hmac.digest(secret.encode(), kind.value.encode(), "sha256") for kind in TokenKind}

    def mint(self, kind: TokenKind, tenant_id: TenantId, id: UUID) -> tuple[str, bytes]:
        """A new token for the row of that id, to be shown once, and the hash to store."""
        secret = secrets.token_bytes(_SECRET_BYTES)
        payload = tenant_id.bytes + id.bytes + secret
        return kind.value + _encoded(payload + self._mac(kind, payload)), _hash(secret)

    def read(self, kind: TokenKind, text: str) -> OpaqueToken:
        """What a token of this kind names. Raises `InvalidTokenError` for anything that we have not minted."""
        try:
            # Beyond a token's length nothing is decoded: the text is a stranger's.
            given = text.removeprefix(kind.value)[:256].encode("ascii")
            raw = base64.b64decode(given + b"=" * (-len(given) % 4), altchars=b"-_", validate=True)
        except (UnicodeEncodeError, binascii.Error, ValueError):
            raise InvalidTokenError("This token is not valid.") from None
        payload, mac = raw[:-_MAC_BYTES], raw[-_MAC_BYTES:]
        if (
            # The last character has bits to spare: only what we would write ourselves is ours.
            text != kind.value + _encoded(raw)
            or len(payload) != 2 * _ID_BYTES + _SECRET_BYTES
            or not hmac.compare_digest(mac, self._mac(kind, payload))
        ):
            raise InvalidTokenError("This token is not valid.")
        tenant, id, secret = payload[:_ID_BYTES], payload[_ID_BYTES : 2 * _ID_BYTES], payload[2 * _ID_BYTES :]
        return OpaqueToken(TenantId(UUID(bytes=tenant)), UUID(bytes=id), _hash(secret))

    def _mac(self, kind: TokenKind, payload: bytes) -> bytes:
        return hmac.digest(self._keys[kind], payload, "sha256")[:_MAC_BYTES]


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _hash(secret: bytes) -> bytes:
    # The secret is 256 random bits: there is nothing to guess, so a slow hash would slow only us.
    return hashlib.sha256(secret).digest()
