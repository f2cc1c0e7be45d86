"""Who asks, and with what: one `Context` to each GraphQL operation, and to each event of a subscription."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from core.opaque_tokens import TokenKind
from core.security import AccessClaims, InvalidTokenError
from datastores.records import UserRecord
from datastores.transactions import StatementCount
from loaders import Loaders
from resolvers.acting import Acting
from resolvers.following.outlet import Outlet
from resolvers.results import RateLimited
from resolvers.services import NOWHERE, Client, RefreshCookie, Services


@dataclass(frozen=True, slots=True)
class Asked:
    """What an operation asks for, once its document has been found good."""

    is_mutation: bool
    fields: frozenset[str]
    """Names of its root fields, as the schema has them."""


class Context(Acting):
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
        self.connection_params: dict[str, Any] | None = None
        """Set by the WebSocket handler: the payload of `connection_init`."""
        self.requested_cost = 0
        """What the operation may cost at most, by the limits' count."""
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
        self.asked: Asked | None = None
        """None until that is known: then nothing has been done yet."""
        self.outlet: Outlet | None = None
        """Where the operation's transport takes results that are rendered already; None: it takes none."""

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
    def loaders(self) -> Loaders:
        """The operation's loaders. Entry fields have called `person` before a relation asks for them."""
        assert self._person is not None, "an entry field must authorise before relations are read"
        return Loaders(self.reads, self._person, self.services.settings.limit_response_bytes)

    @property
    def account_page(self) -> str:
        """Where a link in a mail leads to: as set, and only in development as the client addressed us."""
        return self.services.settings.account_page or f"{self.public_url}/account"

    def become(self, claims: AccessClaims, person: UserRecord) -> None:
        """From here on the operation acts for the person who has just signed in."""
        self.claims, self._person = claims, person
        for name in ("reads", "loaders"):
            self.__dict__.pop(name, None)
