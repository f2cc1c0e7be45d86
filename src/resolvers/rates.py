"""What an operation takes of the rates: of whoever is signed in, of an account, of a network address."""

from __future__ import annotations

from core.errors import RequestError
from core.security import AccessClaims
from datastores.rates import MAIL_COST, Demand, Limit, RateLimits, Refusal, Subject
from resolvers.results import RateLimited
from resolvers.services import Client, Services


class RateTaker:
    """The part of an operation's context that knows who takes, and when to come again."""

    def __init__(self, services: Services, claims: AccessClaims | None, client: Client) -> None:
        self.services = services
        self.claims = claims
        self.client = client
        self.retry_after_ms: int | None = None
        """When to come again, once something of the operation has been refused for coming too often."""

    @property
    def limits(self) -> RateLimits:
        """What `take` takes from."""
        return self.services.rates.limits

    def by_address(self, limit: Limit) -> Demand:
        """One of a limit on the client's network address."""
        return Demand(limit, self.services.rates.subjects.address(self.client.address))

    def by_account(self, limit: Limit, email: str) -> Demand:
        """One of a limit on an account, by its e-mail address as it is stored, whether or not there is one."""
        return Demand(limit, self.services.rates.subjects.account(email))

    def by_person(self, limit: Limit) -> Demand:
        """One of a limit on whoever is signed in."""
        return Demand(limit, self.subject)

    def mail_to(self, email: str) -> Demand:
        """One mail from the organisation of whoever is signed in to the address, as it is stored."""
        assert self.claims is not None, "nobody is signed in"
        recipient = self.services.rates.subjects.recipient(self.claims.tenant_id, email)
        return Demand(self.limits.mails_to, recipient, MAIL_COST)

    @property
    def subject(self) -> Subject:
        """Whoever is signed in, a person or its organisation's API keys: by the verified token alone, without SQL."""
        assert self.claims is not None, "nobody is signed in"
        tenant_id, user_id = self.claims.tenant_id, self.claims.user_id
        subjects = self.services.rates.subjects
        return subjects.keys(tenant_id) if user_id is None else subjects.person(tenant_id, user_id)

    async def take(self, *demands: Demand) -> RateLimited | None:
        """Count all of these, or count none and say when to come again. Call it before anything is done."""
        refusal = await self.services.rates.limiter.take(*demands)
        return None if refusal is None else self.limited(refusal)

    def limited(self, refusal: Refusal) -> RateLimited:
        """A refusal as a mutation's result; the transport hears of it, too."""
        self.retry_after_ms = max(self.retry_after_ms or 0, refusal.retry_after_ms)
        return RateLimited.of(refusal)

    async def take_operation(self, *, somebody: bool) -> None:
        """Count one operation of the person's or the API keys', or of the address's where it is nobody's.

        Raises `RequestError` RATE_LIMITED.
        """
        if self.claims is None or not somebody:
            demand = self.by_address(self.limits.anonymous)
        else:
            demand = self.by_person(self.limits.keys if self.claims.user_id is None else self.limits.requests)
        if (refused := await self.take(demand)) is not None:
            raise RequestError.rate_limited(refused.message, refused.retry_after_ms)
