"""Who may call what: the one table of roles and operations, by which every entry point authorises.

An operation is a field of Query, Mutation, Subscription or Viewer. What of an object a person sees, once it may call
the operation, is in `resolvers.visibility`. `docs/permissions.md` is written from both.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from core.ids import NodeKind
from datastores.models import Role


@dataclass(frozen=True, slots=True)
class Permission:
    """One row of the table."""

    field: str
    """`Mutation.updateMember`: the type and the field in the schema."""
    weakest: Role | None
    """The weakest role that may, and with it every stronger one; None: anybody, even nobody signed in."""
    scope: str
    """On what, in one sentence."""
    acts_on: NodeKind | None = None
    """Of a mutation: what it makes, changes or ends."""
    api_key: bool = True
    """Whether an API key of such a role may, too."""

    @property
    def name(self) -> str:
        """The field's name alone, by which the audit log calls it."""
        return self.field.partition(".")[2]

    @property
    def is_mutation(self) -> bool:
        """Whether it changes something."""
        return self.field.startswith("Mutation.")

    def allows(self, role: Role | None, *, api_key: bool = False) -> bool:
        """Whether somebody of that role may; None for nobody signed in."""
        if self.weakest is None:
            return True
        return role is not None and role.covers(self.weakest) and (self.api_key or not api_key)

    def refusal(self, role: Role) -> str:
        """What to tell somebody of that role whom it does not allow."""
        if self.weakest is None or role.covers(self.weakest):
            return "An API key may not do this: sign in."
        return f"This needs the role {self.weakest.value}; yours is {role.value}."


ANYBODY = None
SIGNED_IN = Role.USER
"""The weakest role: whoever is signed in has it."""
MANAGES = Role.BUSINESS
ADMINISTERS = Role.ADMIN


class Operation(enum.Enum):
    """The rows. An operation that is not here cannot be authorised, and the tests find it in the schema."""

    VIEWER = Permission("Query.viewer", ANYBODY, "The signed-in person; null to nobody.")
    NODE = Permission("Query.node", SIGNED_IN, "What the person may see; null for the rest.")
    NODES = Permission("Query.nodes", SIGNED_IN, "What the person may see; null for the rest.")

    VIEWER_USER = Permission("Viewer.user", SIGNED_IN, "Oneself.")
    VIEWER_TENANT = Permission("Viewer.tenant", SIGNED_IN, "One's own organisation.")
    VIEWER_ASSISTANTS = Permission("Viewer.assistants", SIGNED_IN, "All assistants of the organisation.")
    VIEWER_CONVERSATIONS = Permission("Viewer.conversations", SIGNED_IN, "One's own conversations.")
    VIEWER_DOCUMENTS = Permission(
        "Viewer.documents", SIGNED_IN, "All of the organisation's from BUSINESS on; else those in an assistant's scope."
    )
    VIEWER_MEMBERS = Permission("Viewer.members", MANAGES, "Everybody in the organisation.")
    VIEWER_INVITATIONS = Permission("Viewer.invitations", MANAGES, "All open invitations of the organisation.")
    VIEWER_SESSIONS = Permission("Viewer.sessions", SIGNED_IN, "One's own sessions.")
    VIEWER_API_KEYS = Permission("Viewer.apiKeys", MANAGES, "All API keys of the organisation, never their secrets.")
    VIEWER_PROVIDERS = Permission(
        "Viewer.providers", MANAGES, "All providers; of the organisation's own keys their ends, never the keys."
    )
    VIEWER_PROMPTS = Permission("Viewer.prompts", MANAGES, "All prompts of the organisation.")
    VIEWER_PROMPT_VERSIONS = Permission("Viewer.promptVersions", MANAGES, "All prompts of the organisation.")
    VIEWER_RENDER_PROMPT = Permission(
        "Viewer.renderPrompt", MANAGES, "All assistants, prompts and documents of the organisation."
    )
    VIEWER_TENANTS = Permission("Viewer.tenants", ADMINISTERS, "Every organisation of the platform, nothing in it.")
    VIEWER_AUDIT_LOG = Permission("Viewer.auditLog", MANAGES, "The organisation's part of the audit log.")
    VIEWER_PASSAGES = Permission(
        "Viewer.passages",
        SIGNED_IN,
        "All of the organisation's documents from BUSINESS on; else those in an assistant's scope.",
    )

    VIEWER_EMBEDDINGS = Permission(
        "Viewer.embeddings",
        MANAGES,
        "The vector space of the organisation's documents, and their way into another one.",
    )

    ANSWER = Permission("Subscription.answer", SIGNED_IN, "Answers in one's own conversations.")
    CONVERSATION = Permission("Subscription.conversation", SIGNED_IN, "One's own conversations.")
    DOCUMENTS = Permission(
        "Subscription.documents",
        SIGNED_IN,
        "All of the organisation's documents from BUSINESS on; else those in an assistant's scope.",
    )
    DOCUMENT_PROGRESS = Permission(
        "Subscription.documentProgress",
        SIGNED_IN,
        "All of the organisation's documents from BUSINESS on; else those in an assistant's scope.",
    )

    SIGN_UP = Permission(
        "Mutation.signUp", ANYBODY, "Founds an organisation; its first person gets the role BUSINESS.", NodeKind.TENANT
    )
    SIGN_IN = Permission("Mutation.signIn", ANYBODY, "The account whose password is given.", NodeKind.SESSION)
    REFRESH_SESSION = Permission(
        "Mutation.refreshSession", ANYBODY, "The session whose refresh token is given.", NodeKind.SESSION
    )
    SIGN_OUT = Permission(
        "Mutation.signOut",
        ANYBODY,
        "The session that asks, by its token or its cookie; nothing for nobody and for an API key.",
        NodeKind.SESSION,
    )
    SIGN_OUT_EVERYWHERE = Permission(
        "Mutation.signOutEverywhere", SIGNED_IN, "All of one's own sessions.", NodeKind.SESSION, api_key=False
    )
    CHANGE_PASSWORD = Permission(
        "Mutation.changePassword", SIGNED_IN, "One's own password.", NodeKind.USER, api_key=False
    )
    REQUEST_PASSWORD_RESET = Permission(
        "Mutation.requestPasswordReset", ANYBODY, "The account of that address, which gets a mail.", NodeKind.USER
    )
    RESET_PASSWORD = Permission("Mutation.resetPassword", ANYBODY, "The account whose token is given.", NodeKind.USER)
    REQUEST_EMAIL_VERIFICATION = Permission(
        "Mutation.requestEmailVerification", SIGNED_IN, "One's own address.", NodeKind.USER, api_key=False
    )
    VERIFY_EMAIL = Permission("Mutation.verifyEmail", ANYBODY, "The account whose token is given.", NodeKind.USER)
    REVOKE_SESSION = Permission(
        "Mutation.revokeSession", SIGNED_IN, "One's own sessions.", NodeKind.SESSION, api_key=False
    )
    UPDATE_MEMBER = Permission(
        "Mutation.updateMember",
        MANAGES,
        "Members whose role, before and after, is not stronger than one's own.",
        NodeKind.USER,
    )
    REMOVE_MEMBER = Permission(
        "Mutation.removeMember", MANAGES, "Members whose role is not stronger than one's own.", NodeKind.USER
    )
    INVITE_MEMBER = Permission(
        "Mutation.inviteMember",
        MANAGES,
        "A new member of a role that is not stronger than one's own; from a verified e-mail address.",
        NodeKind.INVITATION,
        api_key=False,
    )
    REVOKE_INVITATION = Permission(
        "Mutation.revokeInvitation", MANAGES, "All invitations of the organisation.", NodeKind.INVITATION
    )
    ACCEPT_INVITATION = Permission(
        "Mutation.acceptInvitation", ANYBODY, "The invitation whose token is given.", NodeKind.USER
    )
    CREATE_API_KEY = Permission(
        "Mutation.createApiKey",
        MANAGES,
        "A key for oneself, of a role that is not stronger than one's own.",
        NodeKind.API_KEY,
        api_key=False,
    )
    REVOKE_API_KEY = Permission(
        "Mutation.revokeApiKey", MANAGES, "All API keys of the organisation.", NodeKind.API_KEY, api_key=False
    )
    CREATE_TENANT = Permission(
        "Mutation.createTenant", ADMINISTERS, "A new organisation, with its first person.", NodeKind.TENANT
    )
    SUSPEND_TENANT = Permission(
        "Mutation.suspendTenant", ADMINISTERS, "Every organisation but one's own.", NodeKind.TENANT
    )
    RESUME_TENANT = Permission("Mutation.resumeTenant", ADMINISTERS, "Every organisation.", NodeKind.TENANT)
    SET_PROVIDER_KEY = Permission(
        "Mutation.setProviderKey",
        MANAGES,
        "The organisation's own key for a provider.",
        NodeKind.PROVIDER_KEY,
        api_key=False,
    )
    REMOVE_PROVIDER_KEY = Permission(
        "Mutation.removeProviderKey",
        MANAGES,
        "The organisation's own key for a provider.",
        NodeKind.PROVIDER_KEY,
        api_key=False,
    )
    CREATE_PROMPT = Permission("Mutation.createPrompt", MANAGES, "A new prompt of the organisation.", NodeKind.PROMPT)
    UPDATE_PROMPT = Permission("Mutation.updatePrompt", MANAGES, "All prompts of the organisation.", NodeKind.PROMPT)
    CREATE_ASSISTANT = Permission(
        "Mutation.createAssistant",
        MANAGES,
        "A new assistant, with any documents of the organisation in its scope.",
        NodeKind.ASSISTANT,
    )
    UPDATE_ASSISTANT = Permission(
        "Mutation.updateAssistant", MANAGES, "All assistants of the organisation.", NodeKind.ASSISTANT
    )
    DELETE_ASSISTANT = Permission(
        "Mutation.deleteAssistant",
        MANAGES,
        "All assistants of the organisation but the last; conversations go on with another one.",
        NodeKind.ASSISTANT,
    )
    UPLOAD_DOCUMENT = Permission(
        "Mutation.uploadDocument",
        MANAGES,
        "A new document of the organisation; asked before the file is received.",
        NodeKind.DOCUMENT,
    )
    CANCEL_DOCUMENT = Permission(
        "Mutation.cancelDocument", MANAGES, "All documents of the organisation.", NodeKind.DOCUMENT
    )
    RETRY_DOCUMENT = Permission(
        "Mutation.retryDocument", MANAGES, "All documents of the organisation.", NodeKind.DOCUMENT
    )
    DELETE_DOCUMENT = Permission(
        "Mutation.deleteDocument", MANAGES, "All documents of the organisation.", NodeKind.DOCUMENT
    )
    REEMBED_DOCUMENTS = Permission(
        "Mutation.reembedDocuments", MANAGES, "All documents of the organisation.", NodeKind.TENANT
    )
    START_CONVERSATION = Permission(
        "Mutation.startConversation",
        SIGNED_IN,
        "A new conversation of one's own, with any assistant of the organisation.",
        NodeKind.CONVERSATION,
    )
    SEND_MESSAGE = Permission("Mutation.sendMessage", SIGNED_IN, "One's own conversations.", NodeKind.MESSAGE)
    STOP_ANSWER = Permission("Mutation.stopAnswer", SIGNED_IN, "Answers in one's own conversations.", NodeKind.ANSWER)
    REGENERATE_ANSWER = Permission(
        "Mutation.regenerateAnswer",
        SIGNED_IN,
        "A further answer to a question in one's own conversations.",
        NodeKind.ANSWER,
    )
    SELECT_ANSWER = Permission(
        "Mutation.selectAnswer", SIGNED_IN, "Answers in one's own conversations.", NodeKind.ANSWER
    )

    def allows(self, role: Role | None, *, api_key: bool = False) -> bool:
        """Whether somebody of that role may; None for nobody signed in."""
        return self.value.allows(role, api_key=api_key)
