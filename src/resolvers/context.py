"""Who asks, and with what: one `Context` to each GraphQL operation, and to each event of a subscription."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import cached_property
from typing import Any
from uuid import UUID

from core.errors import ErrorCode, RequestError
from core.ids import NodeKind, TenantId, new_id
from core.opaque_tokens import TokenKind
from core.security import EXPIRED, AccessClaims, InvalidTokenError
from datastores.audit import add_entry
from datastores.models import AuditOutcome
from datastores.postgres import Purpose
from datastores.records import AuditRecord, UserRecord
from datastores.transactions import LazyRead, PlatformTransaction, StatementCount, WriteTransaction
from loaders import Loaders
from resolvers.audit_trail import DENIALS, AuditTrail
from resolvers.following.outlet import Outlet
from resolvers.permissions import ADMINISTERS, Operation
from resolvers.rates import RateTaker
from resolvers.results import RateLimited
from resolvers.services import NOWHERE, Client, RefreshCookie, Services


class Context(RateTaker):
    """The state of one operation. Its read transaction opens with the first query and ends with the operation."""

    def __init__(
        self,
        services: Services,
        claims: AccessClaims | None,
        public_url: str,
        client: Client = NOWHERE,
        cookie: RefreshCookie | None = None,
    ) -> None:
        super().__init__(services, claims, client)
        self.public_url = public_url
        """Where this client reaches us, for links: scheme, host and port without a slash at the end."""
        self.cookie = cookie
        """A browser's that asked for cookies and comes from a page that may; None for everyone else."""
        self.request_id = new_id().hex
        self.token_problem: str | None = None
        """Why the token that came with the request is no good; None where there was none, or a good one."""
        self.connection_params: dict[str, Any] | None = None
        """Set by the WebSocket handler: the payload of `connection_init`."""
        self.requested_cost = 0
        """What the operation may cost at most, by the limits' count."""
        self.statements: StatementCount | None = None
        """Counts the SQL statements of the operation's tenant, where the request asked for its cost."""
        self.refused_upload: RateLimited | None = None
        """Why the file of this request was not received."""
        self.error_codes: set[str] = set()
        """Of the errors that the operation's client was told."""
        self.extensions: Mapping[str, Any] = {}
        """The request's own, where the transport does not hand them to the schema."""
        self.resume_after: str | None = None
        """The cursor of the last event that the client received, where its transport says so beside the operation."""
        self.cursor: str | None = None
        """Of the event that is being sent, where the subscription can be resumed after it."""
        self.document: str | None = None
        """The text of the document, once it is known: a request may have named it by its hash."""
        self.outlet: Outlet | None = None
        """Where the operation's transport takes results that are rendered already; None: it takes none."""
        self.trail: AuditTrail | None = None
        """Of the mutation that runs now; None between mutations, and where there are none."""
        self.denials: dict[str, AuditTrail] = {}
        """What a query or subscription was denied, by action: it is written down at the operation's end."""
        self._person: UserRecord | None = None

    @property
    def known_person(self) -> UserRecord | None:
        """Whoever is signed in, once that has been read."""
        return self._person

    def see_as(self, person: UserRecord) -> None:
        """What of a running operation is read from here on is read by the person as it is now."""
        if self._person is not None:
            self._person = person

    def report_cost(self) -> None:
        """Count the SQL statements from here on, and have the result say what the operation cost."""
        if self.statements is None:
            self.statements = StatementCount()

    def for_operation(self) -> Context:
        """A fresh context for the same client: own transaction, own loaders, own request id."""
        context = Context(self.services, self.claims, self.public_url, self.client, self.cookie)
        context.token_problem = self.token_problem
        return context

    def authenticate(self, authorization: object) -> None:
        """Take an `Authorization` header's value, or a client's JSON in its place, instead of what came before.

        What is wrong with it is told when somebody must be signed in. None and "" are as if nothing had come.
        """
        if authorization is None or authorization == "":
            return
        self.claims, self.token_problem = None, None
        scheme, _, token = authorization.partition(" ") if isinstance(authorization, str) else ("", "", "")
        token = token.strip()
        if scheme.lower() != "bearer":
            self.token_problem = "`Authorization` must be `Bearer` and an access token."  # noqa: S105 - a sentence, not a password
            return
        try:
            if token.startswith(TokenKind.API_KEY.value):
                key = self.services.tokens.read(TokenKind.API_KEY, token)
                self.claims = AccessClaims(None, key.tenant_id, key.id, expires_at=None, key_hash=key.hash)
            else:
                self.claims = self.services.signer.check_access(token)
        except InvalidTokenError as error:
            self.token_problem = str(error)

    @cached_property
    def reads(self) -> LazyRead:
        """The operation's one read transaction. Raises `RequestError` when nobody is signed in."""
        if self.claims is None:
            raise RequestError.unauthenticated(self.token_problem or "Sign in first.")
        return LazyRead(self.services.postgres, self.claims.tenant_id, self.statements)

    @cached_property
    def loaders(self) -> Loaders:
        """The operation's loaders. Entry fields have called `person` before a relation asks for them."""
        assert self._person is not None, "an entry field must authorise before relations are read"
        return Loaders(self.reads, self._person, self.services.settings.limit_response_bytes)

    @property
    def account_page(self) -> str:
        """Where a link in a mail leads to: as set, and only in development as the client addressed us."""
        return self.services.settings.account_page or f"{self.public_url}/account"

    async def authorise(self, operation: Operation) -> UserRecord:
        """The signed-in person, who may do it by the table of permissions.

        Raises `RequestError`: UNAUTHENTICATED for nobody (or an account that is gone), FORBIDDEN for a weaker role.
        """
        try:
            person = await self.person()
            by_key = self.claims is not None and self.claims.user_id is None
            if not operation.allows(person.role, api_key=by_key):
                raise RequestError.forbidden(operation.value.refusal(person.role))
        except RequestError as error:
            somebody = self.claims is not None or self.token_problem is not None
            self.denied(operation.value.name, error, stored=somebody or operation.value.is_mutation)
            raise
        if self.trail is not None and operation.value.weakest is ADMINISTERS:
            self.trail.is_for_platform()
        return person

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
        return self._person

    async def look_again(self) -> None:
        """Forget who the person was: what is done from here on is done by the person as it is now."""
        await self.aclose()
        self._person = None
        self.__dict__.pop("loaders", None)

    def denied(self, action: str, error: RequestError, *, stored: bool = True) -> None:
        """Note what was denied, to be written down at the operation's end; a mutation has its row anyway."""
        if self.trail is None and error.code in DENIALS:
            denial = AuditTrail(action, outcome=AuditOutcome.DENIED, code=error.code.value, stored=stored)
            self.denials[action] = denial

    def concerns(self, tenant_id: TenantId, kind: NodeKind, value: UUID) -> None:
        """For the audit log: the mutation of somebody who is not signed in acts on this object of that tenant."""
        if self.trail is not None:
            self.trail.tenant_id = tenant_id
            self.trail.names(kind, value)

    def acts_on(self, kind: NodeKind, value: UUID) -> None:
        """For the audit log: the mutation makes this object, or changes it though no id in its input says so."""
        if self.trail is not None:
            self.trail.names(kind, value)

    def refused(self, code: ErrorCode, *, action: str | None = None) -> None:
        """For the audit log: the mutation is denied, though the transaction that is open changes something."""
        if self.trail is not None:
            self.trail.action = action or self.trail.action
            self.trail.ended(AuditOutcome.DENIED, code.value)

    @asynccontextmanager
    async def write(self, tenant_id: TenantId | None = None) -> AsyncGenerator[WriteTransaction, None]:
        """A write transaction of the person's tenant, or of the one that is named, with its row of the audit log.

        The read transaction is ended first: an operation that held one connection of the pool while it waited for
        another could block every other operation, and itself.
        """
        if tenant_id is None:
            assert self.claims is not None, "an entry field must authorise before it writes"
            tenant_id = self.claims.tenant_id
        await self.aclose()
        async with self.services.postgres.write(tenant_id) as tx:
            if self.statements is not None:
                tx.count(self.statements)
            yield tx
            entry = await self._record(tx, tenant_id)
        # What they remember of before is not so any more: several mutations of one operation share them.
        self.__dict__.pop("loaders", None)
        self._recorded(entry)

    @asynccontextmanager
    async def platform(
        self, purpose: Purpose, *, even_if_unchanged: bool = False
    ) -> AsyncGenerator[PlatformTransaction, None]:
        """The platform's door for what a mutation does there, with its row of the audit log.

        `even_if_unchanged` has the row written there in any case, so that not even the time tells what was changed.
        """
        await self.aclose()
        async with self.services.postgres.platform(purpose) as tx:
            yield tx
            entry = await self._record(tx, self.audit_tenant(self.trail), even_if_unchanged=even_if_unchanged)
        self._recorded(entry)

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

    def become(self, claims: AccessClaims, person: UserRecord) -> None:
        """From here on the operation acts for the person who has just signed in."""
        self.claims, self._person = claims, person
        for name in ("reads", "loaders"):
            self.__dict__.pop(name, None)

    async def aclose(self) -> None:
        """End the read transaction, if one was opened."""
        if "reads" in self.__dict__:
            await self.reads.aclose()
