"""What is known of one act while it goes on, for its row in the audit log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from core.errors import RequestErrorCode
from core.ids import NodeKind, TenantId, to_global
from core.security import AccessClaims
from datastores.audit import NO_TENANT, new_entry_key
from datastores.models import AuditOutcome
from datastores.records import AuditRecord, UserRecord
from datastores.tenants import PLATFORM_TENANT

TOKEN_REUSED = "refreshTokenReuse"  # noqa: S105 - a name
"""What a refresh is called that came with a token which had been used: somebody else has it, too."""
CROSS_ORIGIN = "crossOriginRequest"
CONNECT = "connect"
"""Opening a socket with a token."""
ADMINISTRATOR_ADDED = "addAdministrator"
"""By the operator, on the server: it has no address and no request."""
QUOTA_SET = "setQuota"
"""The same, of what an organisation may keep."""
DENIALS = (RequestErrorCode.UNAUTHENTICATED, RequestErrorCode.FORBIDDEN)


@dataclass(slots=True)
class AuditTrail:
    """One act: a mutation, or something that was denied. A use case tells it what only that can know."""

    action: str
    targets: list[str] = field(default_factory=list)
    details: Mapping[str, Any] = field(default_factory=dict)
    outcome: AuditOutcome = AuditOutcome.SUCCEEDED
    code: str | None = None
    tenant_id: TenantId | None = None
    """Whom it concerns, where that is not the organisation of whoever acts."""
    for_platform: bool = False
    """Whether somebody acts for the platform, in whatever organisation that person is."""
    stored: bool = True
    """Whether it is worth a row; else it is in the file alone."""
    written: bool = False
    """Whether its row has been committed."""

    def names(self, kind: NodeKind, value: UUID) -> None:
        """It was done to this object, or made it."""
        target = to_global(kind, value)
        if target not in self.targets:
            self.targets.append(target)

    def is_for_platform(self) -> None:
        """It is done across organisations: those are nothing to the colleagues of whoever does it."""
        self.for_platform, self.tenant_id = True, PLATFORM_TENANT

    def entry(
        self,
        tenant_id: TenantId | None,
        claims: AccessClaims | None,
        person: UserRecord | None,
        address: str,
        request_id: str,
    ) -> AuditRecord:
        """The row, as far as it is known now; of the person where that has been read, else of a genuine token."""
        if claims is not None and claims.tenant_id != tenant_id and not self.for_platform:
            # Somebody's token came with a sign-in to another organisation, whose business it is not.
            claims, person = None, None
        session_id = claims.session_id if claims else None
        by_key = claims is not None and claims.user_id is None
        id, at = new_entry_key()
        return AuditRecord(
            id=id,
            tenant_id=tenant_id or NO_TENANT,
            at=at,
            actor_id=person.id if person else claims.user_id if claims else None,
            session_id=None if by_key else session_id,
            api_key_id=session_id if by_key else None,
            action=self.action,
            targets=list(self.targets),
            address=address,
            outcome=self.outcome,
            code=self.code,
            request_id=request_id,
            details=dict(self.details),
        )

    def ended(self, outcome: AuditOutcome, code: str | None) -> None:
        """How it came out; what a use case has said stays."""
        if self.outcome is AuditOutcome.SUCCEEDED:
            self.outcome, self.code = outcome, code
