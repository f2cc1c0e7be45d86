"""All documents of an organisation into another vector space: asked for, called off, and followed."""

from __future__ import annotations

from dataclasses import dataclass

from core.ids import NodeKind, TenantId
from datastores import people, reembedding
from datastores.audit import add_entry
from datastores.postgres import Purpose
from datastores.records import ReembeddingRecord
from datastores.tenants import tenant_ids
from datastores.transactions import Reads
from providers.registry import Providers
from resolvers.audit_trail import AuditTrail
from resolvers.context import Context
from resolvers.permissions import Operation
from resolvers.results import Conflict, InvalidInput, NotFound
from resolvers.services import Services


@dataclass(slots=True)
class Embeddings:
    """The space that is searched, those that are set up here, and the last way from one into another."""

    model: str
    models: list[str]
    reembedding: ReembeddingRecord | None


async def embeddings(context: Context) -> Embeddings:
    """Where the organisation's vectors stand."""
    await context.authorise(Operation.VIEWER_EMBEDDINGS)
    return await _embeddings(context.reads, context.services.providers)


async def reembed_documents(context: Context, model: str | None) -> Embeddings | InvalidInput | Conflict:
    """Have all documents embedded with this model, by default that of new organisations.

    The old vectors serve until all is done. While one is running, another model takes its place, and the model that is
    searched already calls it off.
    """
    person = await context.authorise(Operation.REEMBED_DOCUMENTS)
    providers = context.services.providers
    wanted = _wanted(providers, model)
    if isinstance(wanted, InvalidInput):
        return wanted
    async with context.write() as tx:
        context.acts_on(NodeKind.TENANT, person.tenant_id)
        asked = await reembedding.ask(tx, wanted)
        if asked is None:
            return Conflict(f"All documents are embedded with {wanted} already.")
        result = await _embeddings(tx, providers)
    await context.services.queue.reembed(TenantId(person.tenant_id), *asked)
    return result


async def reembed_all(
    services: Services, tenant: TenantId | None, model: str | None
) -> list[TenantId] | InvalidInput | NotFound:
    """The operator's: the same for one tenant, or for all; those that are on their way now."""
    wanted = _wanted(services.providers, model)
    if isinstance(wanted, InvalidInput):
        return wanted
    async with services.postgres.platform(Purpose.ADMIN) as platform:
        chosen = [each for each in await tenant_ids(platform) if tenant in (None, each)]
    if tenant is not None and not chosen:
        return NotFound.of("organisation")
    begun = []
    for each in chosen:
        async with services.postgres.write(each) as tx:
            asked = await reembedding.ask(tx, wanted)
            if asked is None:
                continue
            trail = AuditTrail(Operation.REEMBED_DOCUMENTS.value.name)
            trail.names(NodeKind.TENANT, each)
            entry = trail.entry(each, claims=None, person=None, address="", request_id="")
            await add_entry(tx, entry)
        services.audit_file.write(entry)
        await services.queue.reembed(each, *asked)
        begun.append(each)
    return begun


def _wanted(providers: Providers, model: str | None) -> str | InvalidInput:
    spaces = providers.spaces()
    wanted = spaces[0] if model is None else model
    if wanted not in spaces:
        return InvalidInput(f"This model is not set up here. Set up are: {', '.join(spaces)}.", "model")
    return wanted


async def _embeddings(reads: Reads, providers: Providers) -> Embeddings:
    tenant = await people.tenant_of(reads)
    return Embeddings(tenant.embedding_model_id, providers.spaces(), await reembedding.current(reads))
