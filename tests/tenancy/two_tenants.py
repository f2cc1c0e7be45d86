"""Two tenants with a row in every table, made by the running product."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from mailbox import nothing_waits
from pathlib import Path
from typing import Any
from uuid import UUID

from core.ids import NodeKind, TenantId, new_id, parse_id, to_global
from datastores.api_keys import add_key
from datastores.models import (
    Assistant,
    DocumentScope,
    OutboxEntry,
    ProviderKey,
    Reembedding,
    ReembeddingStatus,
    Role,
)
from datastores.people import add_user
from datastores.postgres import Purpose
from datastores.sessions import add_session
from owner import set_verified
from product import PROGRESS, Person, Product

SUBJECTS = ("Vexholm", "Brenn")
"""What each tenant's texts are about: a word that the other tenant must never read."""
INVITE = """mutation($input: InviteMemberInput!) {
  inviteMember(input: $input) { ... on InviteMemberPayload { invitation { id } } } }"""
EVERYTHING = """{ viewer { prompts(first: 1) { nodes { id } } tenant { id } user { id } assistants { nodes { id } }
  documents { nodes { id contentUrl } }
  conversations { nodes { id messages { nodes { id answer { id citations { chunk { id } } } } } } } } }"""


@dataclass(frozen=True)
class Tenant:
    """One organisation: a BUSINESS person, a USER, and the opaque ids of what the two have."""

    subject: str
    document_text: bytes
    business: Person
    user: Person
    ids: dict[str, str]
    """By GraphQL type: one object of each kind. Conversation, Message and Answer are the BUSINESS person's."""
    user_conversation: str
    assigned_assistant: str
    """Its scope is one document, which the default assistant has, too."""
    prompt: str
    """The opaque id of one of its library; it is no node."""
    invitation: str
    """Its opaque id; it is no node."""
    content_url: str
    answer_cursor: str

    @property
    def id(self) -> TenantId:
        return TenantId(parse_id(NodeKind.TENANT, self.ids["Tenant"]))

    def uuid(self, kind: NodeKind, name: str) -> UUID:
        """The UUID behind one of `ids`."""
        return parse_id(kind, self.ids[name])


@dataclass(frozen=True)
class World:
    """A database with both tenants, and their files."""

    database: str
    files: Path
    first: Tenant
    second: Tenant


def missing(foreign: str) -> str:
    """An id of the same kind that nothing has."""
    return to_global(NodeKind(foreign.partition("_")[0]), new_id())


def present(tenant: Tenant, product: Product) -> Tenant:
    """The tenant with its people at this product's door."""
    return replace(
        tenant, business=replace(tenant.business, product=product), user=replace(tenant.user, product=product)
    )


async def make_tenant(product: Product, subject: str) -> Tenant:
    """A new tenant with a row in every table; all its texts are about the subject."""
    business = await product.sign_up(f"{subject.lower()}@example.test")
    viewer = (await business.query("{ viewer { tenant { id } } }"))["viewer"]
    tenant_id = TenantId(parse_id(NodeKind.TENANT, viewer["tenant"]["id"]))
    user, assistant_id = await _second_person_and_assistant(product, tenant_id, subject)
    text = f"The town of {subject} was founded in 1432 by Queen Astrid. Ferries leave from pier nine.".encode()
    document = await business.ready_document(text, f"{subject}.txt")
    assigned = await business.upload(f"In {subject} it rains.".encode(), f"{subject} 2.txt", assistantId=assistant_id)
    progress = business.subscribe(PROGRESS, "documentProgress", id=assigned["document"]["id"])
    assert [event async for event in progress][-1]["status"] == "READY"
    conversation = await business.conversation()
    events = await business.ask(f"When was {subject} founded?", conversation)
    user_conversation = await user.conversation()
    await user.ask(f"Where do the ferries of {subject} leave from?", user_conversation)
    viewer = (await business.query(EVERYTHING))["viewer"]
    messages = viewer["conversations"]["nodes"][0]["messages"]["nodes"]
    documents = {node["id"]: node for node in viewer["documents"]["nodes"]}
    return Tenant(
        subject=subject,
        document_text=text,
        business=business,
        user=user,
        ids={
            "Tenant": viewer["tenant"]["id"],
            "User": viewer["user"]["id"],
            "Assistant": viewer["assistants"]["nodes"][0]["id"],
            "Document": document,
            "Conversation": conversation,
            "Message": messages[0]["id"],
            "Answer": messages[0]["answer"]["id"],
            "Chunk": messages[0]["answer"]["citations"][0]["chunk"]["id"],
        },
        user_conversation=user_conversation,
        assigned_assistant=assistant_id,
        prompt=viewer["prompts"]["nodes"][0]["id"],
        invitation=await _invitation(business, subject),
        content_url=documents[document]["contentUrl"],
        answer_cursor=events[1]["cursor"],
    )


async def _invitation(business: Person, subject: str) -> str:
    """One that nobody has accepted; its mail, and that of the sign-up, are sent."""
    await set_verified(business)
    values = {"email": f"invited-{subject.lower()}@example.test", "name": f"Ina of {subject}", "role": "USER"}
    invited = (await business.query(INVITE, input=values))["inviteMember"]["invitation"]["id"]
    await nothing_waits(business.product)
    return invited  # type: ignore[no-any-return]


async def _second_person_and_assistant(product: Product, tenant_id: TenantId, subject: str) -> tuple[Person, str]:
    postgres, signer = product.services.postgres, product.services.signer
    email = f"user-{subject.lower()}@example.test"
    async with postgres.platform(Purpose.SIGN_UP) as platform:
        account: dict[str, Any] = {"name": f"Uma of {subject}", "email": email, "password_hash": "none"}
        user_id = await add_user(platform, tenant_id, role=Role.USER, **account)
    assert user_id is not None
    async with postgres.write(tenant_id) as tx:
        assistant = Assistant(tenant_id=tenant_id, name="Narrow", document_scope=DocumentScope.ASSIGNED)
        tx.session.add(assistant)
        expires_at = datetime.now(UTC) + timedelta(days=1)
        await add_session(tx, user_id, session_id := new_id(), device="", address="", expires_at=expires_at)
        await add_key(tx, new_id(), user_id, name=f"of {subject}", role=Role.USER, key_hash=b"none", hint="none")
        tx.session.add(ProviderKey(tenant_id=tenant_id, provider="openai", sealed="none", hint="none"))
        tx.session.add(OutboxEntry(tenant_id=tenant_id, topic="test", payload={"about": subject}))
        called_off = {"model_id": f"of {subject}@3", "status": ReembeddingStatus.CANCELLED}
        tx.session.add(Reembedding(tenant_id=tenant_id, finished_at=expires_at, **called_off))
    token, _ = signer.issue_access(user_id, tenant_id, session_id)
    return Person(product, token, email, to_global(NodeKind.USER, user_id)), to_global(NodeKind.ASSISTANT, assistant.id)
