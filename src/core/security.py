"""Passwords, access tokens and signed links: primitives only, each from a library made for it."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import quote
from uuid import UUID

import argon2
import jwt

from core.ids import TenantId, new_id

_ALGORITHM = "HS256"
_ISSUER = "colloquy"
MIN_SECRET_CHARS = 32

# argon2id with the library's defaults, which follow RFC 9106's low-memory profile (64 MiB, 3 passes, 4 lanes).
_hasher = argon2.PasswordHasher()
# Of a random text that nobody knows, at the same cost. Verified when an account does not exist, so that the answer
# takes the same time; written down, because computing it would cost each process's start as much as a sign-in.
_DUMMY_HASH = "$argon2id$v=19$m=65536,t=3,p=4$JVnugLKDYuQB/i1cWJVwJQ$mdTSm/j0uiG7LY1M+qOZRwOobpNKbKJXMUxmjIB7Poo"


EXPIRED: Final = "The access token has expired. Refresh the session, or sign in again."


class InvalidTokenError(Exception):
    """A token that is malformed, forged or expired. The message may be shown to the client."""


class ForgedLinkError(InvalidTokenError):
    """A link to a file that we have not made."""


@dataclass(frozen=True, slots=True)
class AccessClaims:
    """What an access token, or an API key, vouches for."""

    user_id: UUID | None
    """Of an API key None: its row says for whom it acts."""
    tenant_id: TenantId
    session_id: UUID
    """The session, or the API key itself."""
    expires_at: datetime | None
    """None: until it is revoked."""
    key_hash: bytes | None = None
    """Of an API key, what its row must have."""


def hash_password(password: str) -> str:
    """argon2id, with its salt and parameters inside. Takes about 50 ms of CPU: call it in a thread."""
    return _hasher.hash(password)


def verify_password(stored: str | None, password: str) -> bool:
    """Whether the password is the stored one; `None` (no such account) takes as long and is False.

    So is what is no hash, as for an account that may not sign in by password.
    """
    try:
        _hasher.verify(stored or _DUMMY_HASH, password)
    except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
        return False
    return stored is not None


class TokenSigner:
    """Issues and checks access tokens and file links with one secret (at least 32 characters)."""

    def __init__(self, secret: str, *, access_ttl: int) -> None:
        if len(secret) < MIN_SECRET_CHARS:
            raise ValueError(f"SECRET_KEY: {len(secret)} characters, at least {MIN_SECRET_CHARS} are needed.")
        # One key per purpose: a file link's signature can never pass for a token's.
        self._token_key = hmac.digest(secret.encode(), b"access-token", "sha256")
        self._link_key = hmac.digest(secret.encode(), b"file-link", "sha256")
        self._access_ttl = timedelta(seconds=access_ttl)

    def issue_access(self, user_id: UUID, tenant_id: TenantId, session_id: UUID) -> tuple[str, datetime]:
        """A JWT for this person in this session, and when it expires (whole seconds, UTC)."""
        now = datetime.now(UTC).replace(microsecond=0)
        expires_at = now + self._access_ttl
        claims = {
            "iss": _ISSUER,
            "sub": user_id.hex,
            "tenant": tenant_id.hex,
            "sid": session_id.hex,
            "iat": now,
            "exp": expires_at,
            "jti": new_id().hex,
        }
        return jwt.encode(claims, self._token_key, algorithm=_ALGORITHM), expires_at

    def check_access(self, token: str) -> AccessClaims:
        """The claims of a valid token. Raises `InvalidTokenError`."""
        try:
            claims = jwt.decode(
                token,
                self._token_key,
                algorithms=[_ALGORITHM],
                issuer=_ISSUER,
                options={"require": ["exp", "sub", "sid", "iss"]},
            )
            return AccessClaims(
                user_id=UUID(hex=claims["sub"]),
                tenant_id=TenantId(UUID(hex=claims["tenant"])),
                session_id=UUID(hex=claims["sid"]),
                expires_at=datetime.fromtimestamp(claims["exp"], UTC),
            )
        except jwt.ExpiredSignatureError:
            raise InvalidTokenError(EXPIRED) from None
        except (jwt.InvalidTokenError, KeyError, ValueError, AttributeError, TypeError, OverflowError):
            raise InvalidTokenError("The access token is not valid. Sign in again.") from None

    def sign_file(self, tenant_id: TenantId, document_id: UUID, expires_at: int) -> str:
        """The last part of a signed link's path. `expires_at` is in seconds since 1970."""
        payload = f"{tenant_id.hex}.{document_id.hex}.{expires_at}"
        return quote(f"{payload}.{self._file_signature(payload)}")

    def check_file(self, signed: str, now: float) -> tuple[TenantId, UUID]:
        """Tenant and document of a link that is genuine and not expired.

        Raises `ForgedLinkError`, else `InvalidTokenError`.
        """
        payload, _, signature = signed.rpartition(".")
        if not hmac.compare_digest(_bytes(signature), _bytes(self._file_signature(payload))):
            raise ForgedLinkError("This link is not valid.")
        # Genuine, so it is ours, and well-formed.
        tenant, document, expires_at = payload.split(".")
        if int(expires_at) <= now:
            raise InvalidTokenError("This link has expired. Ask for a new one.")
        return TenantId(UUID(hex=tenant)), UUID(hex=document)

    def _file_signature(self, payload: str) -> str:
        return hmac.new(self._link_key, _bytes(payload), hashlib.sha256).hexdigest()


def _bytes(text: str) -> bytes:
    """Also of what no client should send: half a surrogate pair is forged, not an error."""
    return text.encode("utf-8", "surrogatepass")
