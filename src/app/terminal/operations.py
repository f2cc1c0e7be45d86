"""The GraphQL documents that the terminal client sends: the published contract and nothing beyond it.

Each mutation selects its payload and, for every error member alike, `... on UserError`; its `message` under
another name, because a SendMessagePayload's `message` is an object and GraphQL does not merge the two.
"""

from __future__ import annotations

from typing import Final

SIGN_IN: Final = """
mutation SignIn($input: SignInInput!) {
  signIn(input: $input) {
    __typename
    ... on SignInPayload { session { accessToken user { name } } }
    ... on UserError { code reason: message }
    ... on RateLimited { retryAfterMs }
  }
}
"""

UPLOAD_DOCUMENT: Final = """
mutation UploadDocument($input: UploadDocumentInput!) {
  uploadDocument(input: $input) {
    __typename
    ... on UploadDocumentPayload { document { id name } }
    ... on DuplicateDocument { document { id name } }
    ... on UserError { code reason: message }
    ... on RateLimited { retryAfterMs }
  }
}
"""

START_CONVERSATION: Final = """
mutation StartConversation($input: StartConversationInput!) {
  startConversation(input: $input) {
    __typename
    ... on StartConversationPayload { conversation { id } }
    ... on UserError { code reason: message }
  }
}
"""

SEND_MESSAGE: Final = """
mutation SendMessage($input: SendMessageInput!) {
  sendMessage(input: $input) {
    __typename
    ... on SendMessagePayload { message { id } answer { id } }
    ... on UserError { code reason: message }
    ... on RateLimited { retryAfterMs }
  }
}
"""

STOP_ANSWER: Final = """
mutation StopAnswer($input: StopAnswerInput!) {
  stopAnswer(input: $input) {
    __typename
    ... on StopAnswerPayload { answer { id } }
    ... on UserError { code reason: message }
  }
}
"""

DOCUMENT_PROGRESS: Final = """
subscription DocumentProgress($id: ID!) {
  documentProgress(id: $id) {
    status pagesDone pagesTotal chunksDone chunksTotal
    failure { code message retryable }
  }
}
"""

# Sequence and cursor are asked of the interface, so that an event of a kind this client does not know yet still has its
# place. The terminal events bring the stored message along, so that the client can hold what it printed against it.
ANSWER: Final = """
subscription Answer($id: ID!, $after: String) {
  answer(id: $id, after: $after) {
    __typename
    ... on StreamEvent { sequence cursor }
    ... on AnswerStarted { attempt }
    ... on AnswerStep { step detail }
    ... on AnswerDelta { firstSequence text }
    ... on AnswerCitation { citation { marker documentName page quote distance } }
    ... on AnswerRestarted { attempt reason }
    ... on AnswerCompleted { answer { ...Finished } }
    ... on AnswerStopped { answer { ...Finished } }
    ... on AnswerFailed { failure { code message retryable } answer { ...Finished } }
  }
}
fragment Finished on Answer {
  model
  message { text }
  usage { inputTokens outputTokens firstTokenMs totalMs cached }
}
"""
