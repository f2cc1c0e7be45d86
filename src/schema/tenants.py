"""Mutations of the platform's administrators: founding, suspending and resuming organisations."""

from __future__ import annotations

from typing import Annotated, Any

import strawberry

from datastores.records import TenantRecord
from resolvers import tenants
from schema.errors import Conflict, InvalidInput, NotFound
from schema.records import Info
from schema.types.people import Tenant, User


@strawberry.input
class CreateTenantInput:
    organization: str = strawberry.field(description="1 to 200 characters.")
    name: str = strawberry.field(description="Of its first person. 1 to 200 characters.")
    email: str = strawberry.field(description="Of its first person, who gets a mail that says how to come in.")


@strawberry.type
class CreateTenantPayload:
    tenant: Tenant
    user: User


@strawberry.input
class SuspendTenantInput:
    tenant_id: strawberry.ID = strawberry.field(description="Not your own.")


@strawberry.type
class SuspendTenantPayload:
    tenant: Tenant


@strawberry.input
class ResumeTenantInput:
    tenant_id: strawberry.ID


@strawberry.type
class ResumeTenantPayload:
    tenant: Tenant


CreateTenantResult = Annotated[CreateTenantPayload | InvalidInput | Conflict, strawberry.union("CreateTenantResult")]
SuspendTenantResult = Annotated[
    SuspendTenantPayload | NotFound | InvalidInput | Conflict, strawberry.union("SuspendTenantResult")
]
ResumeTenantResult = Annotated[ResumeTenantPayload | NotFound | InvalidInput, strawberry.union("ResumeTenantResult")]


@strawberry.type
class TenantMutations:
    @strawberry.mutation(
        description="Found an organisation for somebody else, who gets the role BUSINESS. Needs the role ADMIN."
    )
    async def create_tenant(self, info: Info, input: CreateTenantInput) -> CreateTenantResult:
        result: Any = await tenants.create_tenant(
            info.context, organization=input.organization, name=input.name, email=input.email
        )
        if isinstance(result, tenants.Founded):
            tenant: Any = result.tenant
            person: Any = result.person
            return CreateTenantPayload(tenant=tenant, user=person)
        return result  # type: ignore[no-any-return]

    @strawberry.mutation(
        description="Shut an organisation out: nobody of it signs in, reads or subscribes, open sockets end within two "
        "seconds, answers that are being written fail, and nothing else of it is begun. Nothing is lost. Suspending "
        "a suspended one changes nothing. Needs the role ADMIN."
    )
    async def suspend_tenant(self, info: Info, input: SuspendTenantInput) -> SuspendTenantResult:
        result: Any = await tenants.suspend_tenant(info.context, input.tenant_id)
        return SuspendTenantPayload(tenant=result) if type(result) is TenantRecord else result  # type: ignore[arg-type]

    @strawberry.mutation(
        description="Let a suspended organisation in again, with the sessions, keys and links that have not expired. "
        "Questions and documents that waited go on. Resuming one that is not suspended changes nothing. Needs the "
        "role ADMIN."
    )
    async def resume_tenant(self, info: Info, input: ResumeTenantInput) -> ResumeTenantResult:
        result: Any = await tenants.resume_tenant(info.context, input.tenant_id)
        return ResumeTenantPayload(tenant=result) if type(result) is TenantRecord else result  # type: ignore[arg-type]
