"""Who does it, whether they may, and what is written down of it: the part of an operation's context that acts."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import cached_property
from uuid import UUID

from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from core.errors import ErrorCode, RequestError
from core.ids import NodeKind, TenantId, new_id
from core.security import EXPIRED, AccessClaims
from datastores.audit import add_entry
from datastores.models import AuditOutcome
from datastores.outages import is_conflict, is_locked
from datastores.postgres import Purpose
from datastores.records import AuditRecord, UserRecord
from datastores.transactions import LazyRead, PlatformTransaction, Reads, StatementCount, WriteTransaction
from resolvers.audit_trail import DENIALS, AuditTrail
from resolvers.permissions import ADMINISTERS, Operation
from resolvers.rates import RateTaker
from resolvers.services import Client, Services

SURE_SECONDS = 0.25
"""A transaction that ends later after the person was looked at looks again before its commit: it may have waited for a
row, a connection or a limit. A look takes under two milliseconds of processor time; few mutations take so long."""
LOCK_SECONDS = 5.0
"""For a row that somebody else holds, which takes milliseconds as a rule. The same as the grace period at the end."""
BUSY = "Somebody else is changing the same at the moment. Nothing was done: try again shortly."
BUSY_MS = 1_000


class Acting(RateTaker):
    """Whoever is signed in, and what they do."""

    def __init__(self, services: Services, claims: AccessClaims | None, client: Client) -> None:
        super().__init__(services, claims, client)
        self.request_id = new_id().hex
        self.token_problem: str | None = None
        """Why the token that came with the request is no good; None where there was none, or a good one."""
        self.statements: StatementCount | None = None
        """Counts the SQL statements of the operation's tenant, where the request asked for its cost."""
        self.trail: AuditTrail | None = None
        """Of the mutation that runs now; None between mutations, and where there are none."""
        self.denials: dict[str, AuditTrail] = {}
        """What a query or subscription was denied, by action: it is written down at the operation's end."""
        self._person: UserRecord | None = None
        self._looked_at = 0.0
        self._sure = False
        """Whether the transaction that is open has looked for itself, and must not be looked at again."""
        self._operation: Operation | None = None
        """What the person was last found to have the right to."""

    @property
    def known_person(self) -> UserRecord | None:
        """Whoever is signed in, once that has been read."""
        return self._person

    @property
    def is_authorised(self) -> bool:
        """Whether what is being done has been found to be the person's right."""
        return self._operation is not None

    @cached_property
    def reads(self) -> LazyRead:
        """The operation's one read transaction. Raises `RequestError` when nobody is signed in."""
        if self.claims is None:
            raise RequestError.unauthenticated(self.token_problem or "Sign in first.")
        return LazyRead(self.services.postgres, self.claims.tenant_id, self.statements)

    async def authorise(self, operation: Operation) -> UserRecord:
        """The signed-in person, who may do it by the table of permissions.

        Raises `RequestError`: UNAUTHENTICATED for nobody (or an account that is gone), FORBIDDEN for a weaker role.
        """
        try:
            person = await self.person()
            self._check(operation, person)
        except RequestError as error:
            somebody = self.claims is not None or self.token_problem is not None
            self.denied(operation.value.name, error, stored=somebody or operation.value.is_mutation)
            raise
        if self.trail is not None and operation.value.weakest is ADMINISTERS:
            self.trail.is_for_platform()
        self._operation = operation
        return person

    async def authorise_in(self, tx: WriteTransaction, *, hold: bool = True) -> UserRecord:
        """As `authorise` did, as of now; nobody changes the person before the transaction ends, if it is to `hold`.

        Call it behind whatever the transaction has waited for, which may have been the person's own demotion. Raises
        as `authorise` does.
        """
        assert self.claims is not None, "somebody is signed in"
        if hold:
            # A statement of its own: one that waits for a row sees the others as they were before it waited.
            await self.services.standings.hold(tx, self.claims)
        return await self._look(tx)

    async def authorise_for_good(self, tx: WriteTransaction, *, hold: bool = True) -> UserRecord:
        """As `authorise_in`, and the last look of the transaction, which may end the person's own rights from here on.

        Call it behind everything that the transaction waits for.
        """
        person = await self.authorise_in(tx, hold=hold)
        self._sure = True
        return person

    async def _look(self, reads: Reads) -> UserRecord:
        assert self.claims is not None, "somebody is signed in"
        assert self._operation is not None, "whoever writes has been authorised"
        self._person = await self.services.standings.person_in(reads, self.claims)
        self._looked_at = time.monotonic()
        self._check(self._operation, self._person)
        return self._person

    def _check(self, operation: Operation, person: UserRecord) -> None:
        by_key = self.claims is not None and self.claims.user_id is None
        if not operation.allows(person.role, api_key=by_key):
            raise RequestError.forbidden(operation.value.refusal(person.role))

    async def person(self) -> UserRecord:
        """The signed-in person, read once per operation so that a changed role counts at once.

        Raises `RequestError` UNAUTHENTICATED for nobody, or an account that is gone.
        """
        if self._person is None:
            reads = self.reads
            assert self.claims is not None
            if self.claims.expires_at is not None and self.claims.expires_at <= datetime.now(UTC):
                # It was good when the request's head came.
                raise RequestError.unauthenticated(EXPIRED)
            self._person = await self.services.standings.person(reads, self.claims)
            self._looked_at = time.monotonic()
        return self._person

    async def look_again(self) -> None:
        """Forget who the person was: what is done from here on is done by the person as it is now."""
        await self.aclose()
        self._person = self._operation = None
        self.__dict__.pop("loaders", None)

    def denied(self, action: str, error: RequestError, *, stored: bool = True) -> None:
        """Note what was denied, to be written down at the operation's end; a mutation has its row anyway."""
        if self.trail is None and error.code in DENIALS:
            denial = AuditTrail(action, outcome=AuditOutcome.DENIED, code=error.code.value, stored=stored)
            # What was denied before stays: its row may have been written.
            self.denials.setdefault(action, denial)

    def concerns(self, tenant_id: TenantId, kind: NodeKind, value: UUID) -> None:
        """For the audit log: the mutation of somebody who is not signed in acts on this object of that tenant."""
        if self.trail is not None:
            self.trail.tenant_id = tenant_id
            self.trail.names(kind, value)

    def acts_on(self, kind: NodeKind, value: UUID) -> None:
        """For the audit log: the mutation makes this object, or changes it though no id in its input says so."""
        if self.trail is not None:
            self.trail.names(kind, value)

    def notes(self, name: str, value: str) -> None:
        """For the audit log: a word of ours that the mutation was given as text."""
        if self.trail is not None:
            self.trail.details = {**self.trail.details, name: value}

    def refused(self, code: ErrorCode, *, action: str | None = None) -> None:
        """For the audit log: the mutation is denied, though the transaction that is open changes something."""
        if self.trail is not None:
            self.trail.action = action or self.trail.action
            self.trail.ended(AuditOutcome.DENIED, code.value)

    @asynccontextmanager
    async def write(self, tenant_id: TenantId | None = None) -> AsyncGenerator[WriteTransaction, None]:
        """A write transaction of the person's tenant, or of the one that is named, with its row of the audit log.

        Its last statement before the commit looks whether the person may still do it, if that was some time ago.
        Raises `RequestError` as `authorise` does, and RATE_LIMITED where somebody else holds a row for too long.

        The read transaction is ended first: an operation that held one connection of the pool while it waited for
        another could block every other operation, and itself.
        """
        if tenant_id is None:
            assert self.claims is not None, "an entry field must authorise before it writes"
            tenant_id = self.claims.tenant_id
        own = self.claims is not None and tenant_id == self.claims.tenant_id
        await self.aclose()
        self._sure = False
        try:
            async with self.services.postgres.write(tenant_id, lock_seconds=LOCK_SECONDS) as tx:
                if self.statements is not None:
                    tx.count(self.statements)
                yield tx
                entry = await self._record(tx, tenant_id)
                if own and self._operation is not None and not self._sure:
                    await tx.flush()
                    if time.monotonic() - self._looked_at > SURE_SECONDS:
                        await self._look(tx)
        except DBAPIError as error:
            if is_locked(error):
                raise RequestError.rate_limited(BUSY, BUSY_MS) from error
            if own and self._operation is not None and is_conflict(error):
                await self._refuse_if_gone()
            raise
        # What they remember of before is not so any more: several mutations of one operation share them.
        self.__dict__.pop("loaders", None)
        self._recorded(entry)

    async def _refuse_if_gone(self) -> None:
        """What was to be written met somebody's removal: theirs, if they are there no more. Raises `RequestError`."""
        assert self.claims is not None
        async with self.services.postgres.write(self.claims.tenant_id, lock_seconds=LOCK_SECONDS) as tx:
            await self.services.standings.hold(tx, self.claims)
            await self.services.standings.person_in(tx, self.claims)

    @asynccontextmanager
    async def platform(
        self, purpose: Purpose, *, even_if_unchanged: bool = False
    ) -> AsyncGenerator[PlatformTransaction, None]:
        """The platform's door for what a mutation does there, with its row of the audit log.

        Whoever was authorised is looked at again before the commit, behind all that the transaction has waited for.
        `even_if_unchanged` has the row written there in any case, so that not even the time tells what was changed.
        Raises as `write` does.
        """
        await self.aclose()
        try:
            async with self.services.postgres.platform(purpose, lock_seconds=LOCK_SECONDS) as tx:
                yield tx
                entry = await self._record(tx, self.audit_tenant(self.trail), even_if_unchanged=even_if_unchanged)
                if self._operation is not None and self.claims is not None:
                    await tx.flush()
                    # The platform's role sees no sessions: through the other pool, and by PostgreSQL's word alone.
                    async with self.services.postgres.read(self.claims.tenant_id) as reads:
                        await self._look(reads)
        except DBAPIError as error:
            if is_locked(error):
                raise RequestError.rate_limited(BUSY, BUSY_MS) from error
            raise
        self._recorded(entry)

    async def take_request(self) -> None:
        """As the rate's own, for whoever still counts: a token that is good no more is nobody's.

        Others count against the same limit, whom a flood with it must not shut out.
        """
        await self.take_operation(somebody=await self.counts())

    async def counts(self) -> bool:
        """Whether what is done is somebody's: with a token that is good no more, as without one, it is nobody's."""
        standings, claims = self.services.standings, self.claims
        if claims is None or standings.is_refused(claims):
            return False
        if standings.is_seen(claims):
            return True
        try:
            await self.person()
        except RequestError:
            return False
        except (SQLAlchemyError, OSError):
            return True  # nobody can tell
        finally:
            # What comes behind the limit is looked at for itself: a body may be long in coming.
            await self.look_again()
        return True

    def audit_tenant(self, trail: AuditTrail | None) -> TenantId | None:
        """In whose part of the log an act belongs: of the organisation it concerns, else of whoever acts."""
        concerned = trail.tenant_id if trail else None
        return concerned or (self.claims.tenant_id if self.claims else None)

    def audit_entry(self, trail: AuditTrail, tenant_id: TenantId | None) -> AuditRecord:
        """The row of an act, as far as it is known now."""
        return trail.entry(tenant_id, self.claims, self._person, self.client.address, self.request_id)

    async def _record(
        self,
        tx: WriteTransaction | PlatformTransaction,
        tenant_id: TenantId | None,
        *,
        even_if_unchanged: bool = False,
    ) -> AuditRecord | None:
        """Add the mutation's row to the transaction that changes something for it; the first that does has it."""
        if self.trail is None or self.trail.written or not (even_if_unchanged or await tx.changes()):
            return None
        entry = self.audit_entry(self.trail, tenant_id)
        await add_entry(tx, entry)
        return entry

    def _recorded(self, entry: AuditRecord | None) -> None:
        """After the commit."""
        if entry is not None and self.trail is not None:
            self.trail.written = True
            self.services.audit_file.write(entry)

    async def aclose(self) -> None:
        """End the read transaction, if one was opened."""
        if "reads" in self.__dict__:
            await self.reads.aclose()
