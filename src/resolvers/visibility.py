"""Who sees what of an object: every field of every type that an operation can lead to, in exactly one row.

The rows name fields one by one, so that a new field is in none until somebody says who sees it. The checks themselves
are part of the SQL (`loaders.visible`, `datastores.knowledge`) where the row's sentence is about single objects.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Visibility:
    """One row: fields that these types have in common, and who sees them through what."""

    types: tuple[str, ...]
    fields: tuple[str, ...]
    seen_by: str


def _row(types: str, fields: str, seen_by: str) -> Visibility:
    """A row from names with spaces between them."""
    return Visibility(tuple(types.split()), tuple(fields.split()), seen_by)


_SCOPE = (
    "From BUSINESS on, whoever is in the organisation. USER and OPERATOR: only documents in the scope of an assistant "
    "of the organisation."
)

VISIBILITY = (
    # People and organisations.
    _row("Tenant", "id name createdAt suspendedAt", "Whoever is in the organisation, and every ADMIN."),
    _row(
        "User",
        "id name email role suspendedAt createdAt",
        "A USER sees itself; from OPERATOR on, whoever is in the organisation.",
    ),
    _row(
        "User", "emailVerifiedAt", "The person itself, and from BUSINESS on whoever is in the organisation; else null."
    ),
    _row("Invitation", "id email name role invitedBy createdAt expiresAt", "Whoever may read `Viewer.invitations`."),
    _row(
        "Assistant",
        "id name instructions promptId promptVersion language provider model fallbackProviders temperature "
        "contextTokens cacheAnswers documentScope createdAt",
        "Whoever is in the organisation.",
    ),
    _row(
        "DeviceSession", "id device address createdAt lastSeenAt expiresAt current", "The person whose session it is."
    ),
    _row("ApiKey", "id name role hint createdAt lastUsedAt", "Whoever may read `Viewer.apiKeys`."),
    _row(
        "ProviderHealth",
        "state calls failures failureRate lastFailureAt lastFailureCode",
        "Whoever may read `Viewer.providers`; counted over everybody whose answers are asked for with the same key.",
    ),
    _row("Prompt", "id name description text newest shipped createdAt", "Whoever may read `Viewer.prompts`."),
    _row("PromptVersion", "number text shipped createdAt", "Whoever may read `Viewer.promptVersions`."),
    _row(
        "RenderedPrompt",
        "system message provider model temperature passageCount passagesCut estimatedTokens contextTokens",
        "Whoever may read `Viewer.renderPrompt`.",
    ),
    _row("Provider", "name defaultModel platformKey ownKey health", "Whoever may read `Viewer.providers`."),
    _row(
        "ProviderKey",
        "provider hint setAt",
        "Whoever may read `Viewer.providers`, or has set the key. The key itself is shown to nobody.",
    ),
    _row(
        "AuditEntry",
        "id at action outcome code actorId actor sessionId apiKeyId targets address requestId details",
        "Whoever may read `Viewer.auditLog`.",
    ),
    _row(
        "Session",
        "accessToken expiresAt refreshToken user",
        "The client that has just signed up or in, or refreshed its session.",
    ),
    # Knowledge.
    _row(
        "Document",
        "id name contentType byteSize status progress failure pageCount chunkCount page createdAt",
        _SCOPE,
    ),
    _row(
        "Document",
        "contentUrl",
        "Whoever sees the document. The link itself is good for whoever has it, until it expires.",
    ),
    _row("Document", "uploadedBy", "Whoever sees the document; null where the reader may not see that person."),
    _row("DocumentPage", "number text", "Whoever sees the document."),
    _row(
        "DocumentProgress",
        "document status pagesDone pagesTotal chunksDone chunksTotal etaSeconds failure",
        "Whoever sees the document.",
    ),
    _row("Chunk", "id document ordinal page text start end", _SCOPE),
    _row("Passage", "chunk document page distance score", _SCOPE),
    _row("Embeddings", "model models reembedding", "Whoever may read `Viewer.embeddings`."),
    _row(
        "Reembedding",
        "model status chunksDone chunksTotal failure createdAt finishedAt",
        "Whoever may read `Viewer.embeddings`.",
    ),
    # Conversations: nobody reads a colleague's, whatever the role.
    _row(
        "Conversation",
        "id title owner assistant channel handoffState createdAt lastMessageAt messages",
        "The person whose conversation it is.",
    ),
    _row(
        "Message",
        "id conversation role text author createdAt answer answers",
        "The person whose conversation it is.",
    ),
    _row(
        "Answer",
        "id status question message citations usage failure model attempt selected createdAt finishedAt",
        "The person whose conversation it is.",
    ),
    _row("Usage", "inputTokens outputTokens cost firstTokenMs totalMs cached", "Whoever sees the answer."),
    _row(
        "Citation",
        "marker documentName page quote start end distance",
        "Whoever sees the answer: stored with it, they outlive the document and its scope.",
    ),
    _row("Citation", "chunk document", "Whoever sees the answer; null where the reader does not see the document."),
    _row("Failure", "code message retryable", "Whoever sees the document or the answer that failed."),
    # The events of an answer.
    _row("StreamEvent", "sequence cursor", "Whoever may follow the answer."),
    _row("AnswerStarted", "sequence cursor answerId attempt", "Whoever may follow the answer."),
    _row("AnswerStep", "sequence cursor step detail", "Whoever may follow the answer."),
    _row("AnswerDelta", "sequence cursor firstSequence text", "Whoever may follow the answer."),
    _row("AnswerCitation", "sequence cursor citation", "Whoever may follow the answer."),
    _row("AnswerRestarted", "sequence cursor attempt reason", "Whoever may follow the answer."),
    _row("AnswerCompleted AnswerStopped", "sequence cursor answer", "Whoever may follow the answer."),
    _row("AnswerFailed", "sequence cursor failure answer", "Whoever may follow the answer."),
    # The events of a conversation.
    _row("ConversationStreamEvent", "cursor", "Whoever may follow the conversation."),
    _row(
        "ConversationSnapshot",
        "cursor conversation messages hasEarlierMessages",
        "Whoever may follow the conversation.",
    ),
    _row("MessageAdded", "cursor message", "Whoever may follow the conversation."),
    _row("AnswerChanged", "cursor answer", "Whoever may follow the conversation."),
    _row("ConversationUpdated", "cursor conversation", "Whoever may follow the conversation."),
    _row("ConversationDeleted", "cursor conversationId", "Whoever may follow the conversation."),
    # The events of a list of documents.
    _row("DocumentsSnapshot", "documents hasMore", "Whoever may follow the list; only documents that they see."),
    _row("DocumentAdded DocumentChanged", "document", "Whoever may follow the list, and sees the document."),
    _row("DocumentRemoved", "documentId", "Whoever may follow the list, and saw the document before."),
    # Lists.
    _row(
        "ApiKeyConnection AssistantConnection AuditEntryConnection ConversationConnection DeviceSessionConnection "
        "DocumentConnection InvitationConnection MemberConnection MessageConnection PromptConnection "
        "PromptVersionConnection TenantConnection",
        "edges nodes pageInfo",
        "Whoever may read the list.",
    ),
    _row(
        "ApiKeyEdge AssistantEdge AuditEntryEdge ConversationEdge DeviceSessionEdge DocumentEdge InvitationEdge "
        "MemberEdge MessageEdge PromptEdge PromptVersionEdge TenantEdge",
        "cursor node",
        "Whoever may read the list.",
    ),
    _row("PageInfo", "hasNextPage hasPreviousPage startCursor endCursor", "Whoever may read the list."),
    _row("Node", "id", "Whoever sees the object."),
    # What mutations answer.
    _row(
        "SignUpPayload SignInPayload RefreshSessionPayload AcceptInvitationPayload",
        "session",
        "Whoever has called the mutation.",
    ),
    _row("SignOutPayload SignOutEverywherePayload", "signedOut", "Whoever has called the mutation."),
    _row("ChangePasswordPayload UpdateMemberPayload", "user", "Whoever has called the mutation."),
    _row("RequestPasswordResetPayload", "requested", "Whoever has called the mutation."),
    _row(
        "ResetPasswordPayload VerifyEmailPayload RequestEmailVerificationPayload",
        "email",
        "Whoever has called the mutation: with the token from that address, or for oneself.",
    ),
    _row("InviteMemberPayload RevokeInvitationPayload", "invitation", "Whoever has called the mutation."),
    _row("RevokeSessionPayload", "sessionId", "Whoever has called the mutation."),
    _row("RemoveMemberPayload", "userId", "Whoever has called the mutation."),
    _row("CreateApiKeyPayload", "secret apiKey", "Whoever has called the mutation; the secret this once."),
    _row("RevokeApiKeyPayload", "apiKey", "Whoever has called the mutation."),
    _row("CreateTenantPayload", "tenant user", "Whoever has called the mutation."),
    _row("SuspendTenantPayload ResumeTenantPayload", "tenant", "Whoever has called the mutation."),
    _row(
        "UploadDocumentPayload CancelDocumentPayload RetryDocumentPayload",
        "document",
        "Whoever has called the mutation.",
    ),
    _row("DeleteDocumentPayload", "documentId", "Whoever has called the mutation."),
    _row("SetProviderKeyPayload", "providerKey", "Whoever has called the mutation."),
    _row("RemoveProviderKeyPayload", "provider", "Whoever has called the mutation."),
    _row("CreatePromptPayload UpdatePromptPayload", "prompt", "Whoever has called the mutation."),
    _row("CreateAssistantPayload UpdateAssistantPayload", "assistant", "Whoever has called the mutation."),
    _row("DeleteAssistantPayload", "assistantId replacement", "Whoever has called the mutation."),
    _row("ReembedDocumentsPayload", "embeddings", "Whoever has called the mutation."),
    _row("StartConversationPayload", "conversation", "Whoever has called the mutation."),
    _row("SendMessagePayload", "message answer", "Whoever has called the mutation."),
    _row("StopAnswerPayload RegenerateAnswerPayload SelectAnswerPayload", "answer", "Whoever has called the mutation."),
    # Why mutations refuse.
    _row(
        "UserError NotFound Conflict IdempotencyConflict InsufficientCredits InvalidCredentials UploadRejected",
        "code message",
        "Whoever has called the mutation.",
    ),
    _row("InvalidInput", "code message field", "Whoever has called the mutation."),
    _row("RateLimited", "code message retryAfterMs", "Whoever has called the mutation."),
    _row("QuotaExceeded", "code message quota limit actual", "Whoever has called the mutation."),
    _row("DuplicateDocument", "code message document", "Whoever has called the mutation."),
)
"""Every field of the schema but those of the roots, which are `resolvers.permissions.Operation`'s."""
