"""Reading: objects by id, assistants, and the passages that retrieval gives."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from uuid import UUID

from core.errors import ErrorCode, ProviderError, RequestError, RequestErrorCode
from core.ids import InvalidIdError, NodeKind, parse_global
from datastores import people
from datastores.pages import Page, PageRequest
from datastores.records import AssistantRecord, PassageRecord, TenantRecord, UserRecord
from resolvers.arguments import argument_id, count
from resolvers.context import Context
from resolvers.permissions import Operation
from resolvers.tenants import any_tenant
from resolvers.texts import is_blank, is_storable

MAX_NODES = 100
MAX_PASSAGES = 50
_LOADERS = {
    NodeKind.USER: "users",
    NodeKind.ASSISTANT: "assistants",
    NodeKind.DOCUMENT: "documents",
    NodeKind.CHUNK: "chunks",
    NodeKind.CONVERSATION: "conversations",
    NodeKind.MESSAGE: "messages",
    NodeKind.ANSWER: "answers",
}


async def tenant(context: Context) -> TenantRecord:
    """The signed-in person's tenant."""
    await context.authorise(Operation.VIEWER_TENANT)
    return await people.tenant_of(context.reads)


async def assistants(context: Context, page: PageRequest) -> Page[AssistantRecord]:
    """The tenant's assistants, oldest first."""
    await context.authorise(Operation.VIEWER_ASSISTANTS)
    return await people.assistants(context.reads, page)


async def node(context: Context, text: str) -> object | None:
    """The object of that id, if there is one that the person may see. Raises `RequestError` for a malformed id."""
    kind, value = _parsed(text)
    return await _find(context, await context.authorise(Operation.NODE), kind, value)


async def nodes(context: Context, ids: Sequence[str]) -> list[object | None]:
    """The objects of up to 100 ids, in their order, null for each that is missing or may not be seen."""
    if len(ids) > MAX_NODES:
        raise RequestError.bad_input(f"`ids` has {len(ids)} ids; at most {MAX_NODES} are allowed.")
    person = await context.authorise(Operation.NODES)
    wanted = [_parsed(text) for text in ids]
    # Each once, though the list may name it a hundred times.
    distinct = list(dict.fromkeys(wanted))
    objects = await asyncio.gather(*(_find(context, person, kind, value) for kind, value in distinct))
    found = dict(zip(distinct, objects, strict=True))
    return [found[one] for one in wanted]


def _parsed(text: str) -> tuple[NodeKind, UUID]:
    try:
        return parse_global(text)
    except InvalidIdError as error:
        raise RequestError.bad_input(str(error)) from None


async def _find(context: Context, person: UserRecord, kind: NodeKind, value: UUID) -> object | None:
    if kind is NodeKind.TENANT:
        return await any_tenant(context, person, value)
    # Sessions and API keys have ids to act on, and are no nodes.
    name = _LOADERS.get(kind)
    return await getattr(context.loaders, name).load(value) if name else None


async def passages(context: Context, query: str, first: int, assistant_id: str | None) -> list[PassageRecord]:
    """What retrieval gives for a question in the tenant (or the assistant's scope), best first.

    Raises `RequestError`, also when the embedding model cannot be reached.
    """
    person = await context.authorise(Operation.VIEWER_PASSAGES)
    count("first", first, MAX_PASSAGES)
    if problem := question_problem(context, query, "query"):
        raise RequestError.bad_input(problem)
    assistant = None
    if assistant_id is not None:
        assistant = await people.assistant_or_default(context.reads, argument_id(NodeKind.ASSISTANT, assistant_id))
        if assistant is None:
            raise RequestError.bad_input("There is no such assistant.")
    return await found_passages(
        context,
        query,
        first,
        assigned_to=None if assistant is None else assistant.assigned_to,
        within_scopes=not person.role.reads_all_documents,
    )


def question_problem(context: Context, question: str, argument: str) -> str | None:
    """What is wrong with a question that is given as an argument."""
    most = context.services.settings.question_max_chars
    if is_blank(question):
        return f"`{argument}` is empty."
    if not is_storable(question):
        return f"`{argument}` contains characters that are not text."
    return f"`{argument}` has {len(question)} characters; at most {most} are allowed." if len(question) > most else None


async def found_passages(
    context: Context, question: str, most: int, *, assigned_to: UUID | None, within_scopes: bool = False
) -> list[PassageRecord]:
    """The passages for a question, best first. Raises `RequestError` when the embedding model cannot be reached."""
    found_in = await people.tenant_of(context.reads)
    # The model may be a network away: no connection of the pool waits for it.
    await context.reads.aclose()
    try:
        embeddings = context.services.providers.embeddings(found_in.embedding_model_id)
        async with context.services.searches:
            found = await context.services.retriever.find(
                context.reads,
                embeddings,
                question,
                top_k=most,
                assigned_to=assigned_to,
                within_scopes=within_scopes,
            )
            return found.passages
    except ProviderError as error:
        code = (
            RequestErrorCode.RATE_LIMITED
            if error.code is ErrorCode.PROVIDER_RATE_LIMITED
            else RequestErrorCode.INTERNAL
        )
        wait = None if error.retry_after is None else math.ceil(error.retry_after * 1_000)
        raise RequestError(code, error.message, retry_after_ms=wait) from None
