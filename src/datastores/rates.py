"""What a rate limit is: how many, of whom, and what is said to whoever comes too often.

The rule is the generic cell rate algorithm (GCRA, ITU-T I.371): of each subject one number is kept, the time at which
all that it has taken is paid off at one request an interval. A request moves it an interval ahead, and is refused if
that takes it further than `burst` intervals from now.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import NewType
from uuid import UUID

from core.ids import TenantId
from core.settings import Settings
from datastores import redis_keys

Subject = NewType("Subject", str)
"""Whom a limit counts, in a form that may stand in a key; `Subjects` makes them."""

MINUTE_US = 60_000_000
DAY_MINUTES = 1_440
MAIL_COST = 144
"""So that `RateLimits.mails_to` is ten mails a day."""


@dataclass(frozen=True, slots=True)
class Limit:
    """`per_minute` requests a minute in the long run, up to `burst` of them at once. Raises ValueError below 1."""

    name: str
    per_minute: int
    burst: int

    def __post_init__(self) -> None:
        if self.per_minute < 1 or self.burst < 1:
            raise ValueError(f"{self.name}: {self.per_minute} a minute, {self.burst} at once; each is at least 1")

    @property
    def interval_us(self) -> int:
        """Microseconds that one request costs; rounded up, so that the rate is never exceeded."""
        return -(-MINUTE_US // self.per_minute)

    @property
    def tolerance_us(self) -> int:
        """Microseconds that a subject may be ahead of its rate."""
        return self.burst * self.interval_us


@dataclass(frozen=True, slots=True)
class Demand:
    """`cost` requests of one subject against one limit. Raises ValueError for a cost that no wait would make good."""

    limit: Limit
    subject: Subject
    cost: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.cost <= self.limit.burst:
            raise ValueError(f"{self.limit.name}: a cost of {self.cost}, expected 1 to {self.limit.burst}")

    @property
    def key(self) -> str:
        """Where the subject's time is kept."""
        return redis_keys.rate(self.limit.name, self.subject)

    @property
    def increment_us(self) -> int:
        """How far the subject's time moves."""
        return self.cost * self.limit.interval_us


@dataclass(frozen=True, slots=True)
class Refusal:
    """Which limit (of several the one that lasts longest) and the milliseconds until the same would be admitted."""

    limit: str
    retry_after_ms: int

    @classmethod
    def after(cls, limit: str, wait_us: int) -> Refusal:
        """Rounded up: whoever waits that long is not refused for a fraction of a millisecond."""
        return cls(limit, -(-wait_us // 1_000))

    @property
    def retry_after_seconds(self) -> int:
        """For HTTP's `Retry-After`, which knows whole seconds."""
        return whole_seconds(self.retry_after_ms)


def whole_seconds(milliseconds: int) -> int:
    """Rounded up: whoever waits that long has waited long enough."""
    return -(-milliseconds // 1_000)


def limits_in(demands: tuple[Demand, ...]) -> list[str]:
    """The keys that demands are decided on, in their order. Raises ValueError when two are about the same."""
    keys = [demand.key for demand in demands]
    if len(set(keys)) != len(keys):
        raise ValueError("Two demands on one limit and subject: give one with the sum of their costs")
    return keys


@dataclass(frozen=True, slots=True)
class RateLimits:
    """The product's limits; `docs/operations.md` says what each counts, and why its default is what it is."""

    requests: Limit
    """Of a person."""
    keys: Limit
    """Of all API keys of a tenant."""
    anonymous: Limit
    """Of an address that nobody is signed in at."""
    sockets: Limit
    """Opened from an address, whoever signs in on them."""
    sign_in: Limit
    """Of an address."""
    sign_in_account: Limit
    """Of an account, existing or not, from whatever address."""
    change_password: Limit
    """Of a person: tries of the current password, at the rate of an account's sign-ins."""
    sign_up: Limit
    """Of an address."""
    uploads: Limit
    """Of a person, or of all API keys of a tenant."""
    mails: Limit
    """Of a person who has mails sent, or of an address that nobody is signed in at."""
    mails_to: Limit = Limit("mails-to", per_minute=1, burst=DAY_MINUTES)
    """Of an e-mail address that an organisation has mails sent to: a day's minutes, of which each costs `MAIL_COST`."""

    @classmethod
    def of(cls, settings: Settings) -> RateLimits:
        """As the settings have them."""
        sign_in = Limit("sign-in", settings.rate_limit_sign_in_per_minute, settings.rate_limit_sign_in_burst)
        return cls(
            requests=Limit("requests", settings.rate_limit_requests_per_minute, settings.rate_limit_burst),
            keys=Limit("keys", settings.rate_limit_keys_per_minute, settings.rate_limit_keys_burst),
            anonymous=Limit("anonymous", settings.rate_limit_anonymous_per_minute, settings.rate_limit_anonymous_burst),
            sockets=Limit("sockets", settings.rate_limit_sockets_per_minute, settings.rate_limit_sockets_burst),
            sign_in=sign_in,
            # Twice an address's, or a stranger at one address could keep a person from signing in.
            sign_in_account=Limit("sign-in-account", 2 * sign_in.per_minute, 2 * sign_in.burst),
            change_password=Limit("change-password", 2 * sign_in.per_minute, 2 * sign_in.burst),
            sign_up=Limit("sign-up", settings.rate_limit_sign_up_per_minute, settings.rate_limit_sign_up_burst),
            mails=Limit("mails", settings.rate_limit_mails_per_minute, settings.rate_limit_mails_burst),
            uploads=Limit("uploads", settings.rate_limit_uploads_per_minute, settings.rate_limit_uploads_burst),
        )


class Subjects:
    """Makes subjects. Network and e-mail addresses go through a keyed hash (HMAC-SHA-256, 128 bits of it).

    A hash without a key would hide nothing: there are only four billion IPv4 addresses to try. `secret` is the same
    in all processes that count together.
    """

    def __init__(self, secret: str) -> None:
        self._key = hmac.digest(secret.encode(), b"rate-limit-subject", "sha256")

    def person(self, tenant_id: TenantId, user_id: UUID) -> Subject:
        """Somebody signed in."""
        return Subject(f"person:{tenant_id.hex}:{user_id.hex}")

    def keys(self, tenant_id: TenantId) -> Subject:
        """All API keys of a tenant: whoever makes another has no more for it."""
        return Subject(f"keys:{tenant_id.hex}")

    def account(self, email: str) -> Subject:
        """An account by its e-mail address, as it is stored, whether or not there is one."""
        return self._hashed("account", email)

    def recipient(self, tenant_id: TenantId, email: str) -> Subject:
        """An e-mail address as one organisation writes to it: none learns by it whom another has written to."""
        return self._hashed("recipient", f"{tenant_id.hex}:{email}")

    def address(self, client: str | None) -> Subject:
        """A client's network address: IPv4 whole, IPv6 by its first 64 bits.

        An IPv6 subscriber has 2**64 addresses at the least and takes a new one for each request if it likes; the
        network is what the provider gave it (RFC 6177). An IPv4 address written as IPv6 counts as IPv4. What is no
        address, such as the client of a Unix socket, shares one subject.
        """
        try:
            parsed: IPv4Address | IPv6Address | None = ip_address(client or "")
        except ValueError:
            parsed = None
        if isinstance(parsed, IPv6Address):
            parsed = parsed.ipv4_mapped or IPv6Address(int(parsed) >> 64 << 64)
        return self._hashed("address", str(parsed))

    def _hashed(self, kind: str, value: str) -> Subject:
        # A client may send half a surrogate pair: that is one more wrong address, not an error.
        digest = hmac.digest(self._key, f"{kind}:{value}".encode("utf-8", "surrogatepass"), "sha256")
        return Subject(f"{kind}:{digest[:16].hex()}")
