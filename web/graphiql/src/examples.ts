/** The tabs that a first visit finds; GraphiQL keeps a person's own tabs from then on. */
export interface Example {
  query: string;
  variables?: string;
}

export const SEND_MESSAGE = `# 3. Ask. The answer is written whether anybody
#    watches or not; the next tab follows it.
mutation SendMessage($input: SendMessageInput!) {
  sendMessage(input: $input) {
    ... on SendMessagePayload {
      message { id text }
      answer { id status }
    }
    # Aliased: the payload's own message is a Message.
    ... on UserError { code error: message }
  }
}
`;

export const FOLLOW_ANSWER = `# 4. Follow the answer, token by token.
#    With a cursor in \`after\` it goes on from there.
subscription FollowAnswer($id: ID!, $after: String) {
  answer(id: $id, after: $after) {
    __typename
    ... on StreamEvent { sequence cursor }
    ... on AnswerStep { step detail }
    ... on AnswerDelta { text }
    ... on AnswerCitation {
      citation { marker documentName page quote }
    }
    ... on AnswerRestarted { attempt reason }
    ... on AnswerCompleted {
      answer { status usage { totalMs } }
    }
    ... on AnswerFailed {
      failure { code message retryable }
    }
  }
}
`;

// Without variables: GraphiQL takes only the query from the first of the default tabs.
const VIEWER = `# 1. Sign in with the panel on the left,
#    then run this (Ctrl-Enter).
#
#    A token can also go into the Headers tab:
#    {"authorization": "Bearer …"}
#    It is used for HTTP and for WebSockets.
query Viewer {
  viewer {
    user { id name }
    documents(first: 10) {
      edges {
        node { id name status pageCount chunkCount }
      }
    }
    # What an answer would be grounded in.
    passages(
      query: "What does Colloquy do with my documents?"
      first: 3
    ) {
      document { name }
      page
      distance
      chunk { text }
    }
  }
}
`;

const START_CONVERSATION = `# 2. Begin a conversation; the next tab asks in it.
mutation StartConversation($input: StartConversationInput!) {
  startConversation(input: $input) {
    ... on StartConversationPayload { conversation { id title } }
    ... on UserError { code message }
  }
}
`;

function json(value: object): string {
  return JSON.stringify(value, null, 2);
}

export function messageVariables(conversationId: string): string {
  return json({ input: { conversationId, text: "What does Colloquy do with my documents?" } });
}

export function answerVariables(id: string): string {
  return json({ id });
}

export const EXAMPLES: Example[] = [
  { query: VIEWER },
  { query: START_CONVERSATION, variables: json({ input: { title: "From GraphiQL" } }) },
  { query: SEND_MESSAGE, variables: messageVariables("the conversation's id") },
  { query: FOLLOW_ANSWER, variables: answerVariables("the answer's id") },
];
