"""The query root and the viewer."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import strawberry

from core.ids import ListKind
from resolvers import (
    api_keys,
    auditing,
    conversations,
    documents,
    invitations,
    members,
    prompts,
    provider_keys,
    reading,
    reembedding,
    sessions,
    tenants,
)
from resolvers.arguments import forward_page
from resolvers.permissions import Operation
from schema.connections import (
    ConnectionRecord,
    api_key_cursor,
    assistant_cursor,
    audit_cursor,
    conversation_cursor,
    document_cursor,
    invitation_cursor,
    member_cursor,
    prompt_cursor,
    prompt_version_cursor,
    session_cursor,
    tenant_cursor,
)
from schema.enums import DocumentStatus
from schema.interfaces import Node
from schema.limits.price import LOADED, NODES, OWN_STATEMENT, PRICE, SEARCH
from schema.records import Info
from schema.types.audit import AuditEntryConnection
from schema.types.chat import ConversationConnection
from schema.types.embeddings import Embeddings
from schema.types.identity import ApiKeyConnection, DeviceSessionConnection, InvitationConnection, MemberConnection
from schema.types.knowledge import DocumentConnection, Passage
from schema.types.people import AssistantConnection, Tenant, TenantConnection, User
from schema.types.prompts import PromptConnection, PromptVersionConnection, RenderedPrompt
from schema.types.providers import Provider

First = Annotated[int | None, strawberry.argument(description="1 to 100; 20 by default.")]
After = Annotated[str | None, strawberry.argument(description="A cursor of this list: the page begins after it.")]


@strawberry.type(description="The signed-in person: the root of everything personal.")
class Viewer:
    @strawberry.field
    async def user(self, info: Info) -> User:
        person: Any = await info.context.authorise(Operation.VIEWER_USER)
        return person  # type: ignore[no-any-return]

    @strawberry.field(metadata={PRICE: OWN_STATEMENT})
    async def tenant(self, info: Info) -> Tenant:
        tenant: Any = await reading.tenant(info.context)
        return tenant  # type: ignore[no-any-return]

    @strawberry.field(description="Oldest first.", metadata={PRICE: OWN_STATEMENT})
    async def assistants(self, info: Info, first: First = None, after: After = None) -> AssistantConnection:
        page = await reading.assistants(info.context, forward_page(ListKind.ASSISTANTS, first, after))
        return ConnectionRecord(page, assistant_cursor)  # type: ignore[return-value]

    @strawberry.field(
        description="Your own, newest activity first. `title` keeps those whose title contains it.",
        metadata={PRICE: OWN_STATEMENT},
    )
    async def conversations(
        self, info: Info, title: str | None = None, first: First = None, after: After = None
    ) -> ConversationConnection:
        request = forward_page(ListKind.CONVERSATIONS, first, after)
        page = await conversations.own_conversations(info.context, title, request)
        return ConnectionRecord(page, conversation_cursor)  # type: ignore[return-value]

    @strawberry.field(description="Those you may read, newest first.", metadata={PRICE: OWN_STATEMENT})
    async def documents(
        self,
        info: Info,
        status: list[DocumentStatus] | None = None,
        assistant_id: Annotated[
            strawberry.ID | None, strawberry.argument(description="Only this assistant's scope.")
        ] = None,
        first: First = None,
        after: After = None,
    ) -> DocumentConnection:
        page = await documents.documents(
            info.context, status, assistant_id, forward_page(ListKind.DOCUMENTS, first, after)
        )
        return ConnectionRecord(page, document_cursor)  # type: ignore[return-value]

    @strawberry.field(
        description="Everybody in the organisation, oldest first. Needs the role BUSINESS.",
        metadata={PRICE: OWN_STATEMENT},
    )
    async def members(self, info: Info, first: First = None, after: After = None) -> MemberConnection:
        page = await members.all_members(info.context, forward_page(ListKind.MEMBERS, first, after))
        return ConnectionRecord(page, member_cursor)  # type: ignore[return-value]

    @strawberry.field(
        description="Invitations that could be accepted now, newest first. Needs the role BUSINESS.",
        metadata={PRICE: OWN_STATEMENT},
    )
    async def invitations(self, info: Info, first: First = None, after: After = None) -> InvitationConnection:
        request = forward_page(ListKind.INVITATIONS, first, after)
        page = await invitations.pending_invitations(info.context, request)
        return ConnectionRecord(page, invitation_cursor)  # type: ignore[return-value]

    @strawberry.field(description="Your sign-ins that have not ended, newest first.", metadata={PRICE: OWN_STATEMENT})
    async def sessions(self, info: Info, first: First = None, after: After = None) -> DeviceSessionConnection:
        page = await sessions.own_sessions(info.context, forward_page(ListKind.SESSIONS, first, after))
        return ConnectionRecord(page, session_cursor)  # type: ignore[return-value]

    @strawberry.field(
        description="The organisation's keys that are not revoked, newest first. Needs the role BUSINESS.",
        metadata={PRICE: OWN_STATEMENT},
    )
    async def api_keys(self, info: Info, first: First = None, after: After = None) -> ApiKeyConnection:
        page = await api_keys.all_keys(info.context, forward_page(ListKind.API_KEYS, first, after))
        return ConnectionRecord(page, api_key_cursor)  # type: ignore[return-value]

    @strawberry.field(
        description="Who can answer, and whose keys there are. Needs the role BUSINESS.",
        metadata={PRICE: OWN_STATEMENT},
    )
    async def providers(self, info: Info) -> list[Provider]:
        found: Any = await provider_keys.providers(info.context)
        return found  # type: ignore[no-any-return]

    @strawberry.field(
        description="The prompt library, those that came with the product first. Needs the role BUSINESS.",
        metadata={PRICE: OWN_STATEMENT},
    )
    async def prompts(self, info: Info, first: First = None, after: After = None) -> PromptConnection:
        page = await prompts.library(info.context, forward_page(ListKind.PROMPTS, first, after))
        return ConnectionRecord(page, prompt_cursor)  # type: ignore[return-value]

    @strawberry.field(
        description="All versions of a prompt, newest first. Needs the role BUSINESS.",
        metadata={PRICE: OWN_STATEMENT},
    )
    async def prompt_versions(
        self, info: Info, prompt_id: strawberry.ID, first: First = None, after: After = None
    ) -> PromptVersionConnection:
        page = await prompts.versions(info.context, prompt_id, forward_page(ListKind.PROMPT_VERSIONS, first, after))
        return ConnectionRecord(page, prompt_version_cursor)  # type: ignore[return-value]

    @strawberry.field(
        description="What an assistant's model would be asked as the first question of a conversation, to the letter. "
        "Needs the role BUSINESS.",
        metadata={PRICE: SEARCH},
    )
    async def render_prompt(
        self,
        info: Info,
        assistant_id: strawberry.ID,
        question: str,
        prompt_id: Annotated[
            strawberry.ID | None, strawberry.argument(description="With this prompt in the place of the assistant's.")
        ] = None,
        prompt_version: Annotated[
            int | None, strawberry.argument(description="Of `promptId`; by default the newest.")
        ] = None,
        text: Annotated[
            str | None, strawberry.argument(description="With this text, which is no version of any prompt yet.")
        ] = None,
    ) -> RenderedPrompt:
        found: Any = await prompts.render(
            info.context,
            assistant_id=assistant_id,
            question=question,
            prompt_id=prompt_id,
            version=prompt_version,
            text=text,
        )
        return found  # type: ignore[no-any-return]

    @strawberry.field(
        description="Every organisation of the platform, newest first. Needs the role ADMIN.",
        metadata={PRICE: OWN_STATEMENT},
    )
    async def tenants(
        self,
        info: Info,
        name: Annotated[str | None, strawberry.argument(description="Those whose name contains it.")] = None,
        suspended: Annotated[bool | None, strawberry.argument(description="Those that are, or are not.")] = None,
        first: First = None,
        after: After = None,
    ) -> TenantConnection:
        request = forward_page(ListKind.TENANTS, first, after)
        page = await tenants.all_tenants(info.context, name, suspended, request)
        return ConnectionRecord(page, tenant_cursor)  # type: ignore[return-value]

    @strawberry.field(
        description="Who did what in the organisation: every mutation and every denial, newest first. Needs the role "
        "BUSINESS.",
        metadata={PRICE: OWN_STATEMENT},
    )
    async def audit_log(
        self,
        info: Info,
        action: Annotated[str | None, strawberry.argument(description="Only this action.")] = None,
        actor_id: Annotated[strawberry.ID | None, strawberry.argument(description="Only this person's.")] = None,
        begin: Annotated[
            datetime | None, strawberry.argument(name="from", description="At this time or later.")
        ] = None,
        end: Annotated[datetime | None, strawberry.argument(name="to", description="Before this time.")] = None,
        first: First = None,
        after: After = None,
    ) -> AuditEntryConnection:
        request = forward_page(ListKind.AUDIT_LOG, first, after)
        page = await auditing.entries(
            info.context, action=action, actor_id=actor_id, begin=begin, end=end, page=request
        )
        return ConnectionRecord(page, audit_cursor)  # type: ignore[return-value]

    @strawberry.field(
        description="The vector space that the organisation's documents are in, and their way into another one. Needs "
        "the role BUSINESS.",
        metadata={PRICE: OWN_STATEMENT},
    )
    async def embeddings(self, info: Info) -> Embeddings:
        found: Any = await reembedding.embeddings(info.context)
        return found  # type: ignore[no-any-return]

    @strawberry.field(
        description="What retrieval gives for a question: the passages an answer would be grounded in, best first.",
        metadata={PRICE: SEARCH},
    )
    async def passages(
        self,
        info: Info,
        query: str,
        first: Annotated[int, strawberry.argument(description="1 to 50.")] = 5,
        assistant_id: Annotated[
            strawberry.ID | None, strawberry.argument(description="Only this assistant's scope.")
        ] = None,
    ) -> list[Passage]:
        found: Any = await reading.passages(info.context, query, first, assistant_id)
        return found  # type: ignore[no-any-return]


@strawberry.type
class Query:
    @strawberry.field(description="The signed-in person, or null.")
    async def viewer(self, info: Info) -> Viewer | None:
        if info.context.claims is None and info.context.token_problem is None:
            return None
        await info.context.authorise(Operation.VIEWER)
        return Viewer()

    @strawberry.field(
        description="The object of that id; null when it is missing, or not yours to see.", metadata={PRICE: LOADED}
    )
    async def node(self, info: Info, id: strawberry.ID) -> Node | None:
        found: Any = await reading.node(info.context, id)
        return found  # type: ignore[no-any-return]

    @strawberry.field(description="Up to 100 objects by their ids, in their order.", metadata={PRICE: NODES})
    async def nodes(self, info: Info, ids: list[strawberry.ID]) -> list[Node | None]:
        found: Any = await reading.nodes(info.context, list(ids))
        return found  # type: ignore[no-any-return]
