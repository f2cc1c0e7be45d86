// What an application of Relay's would show: a list of conversations that grows, each with its messages, newest first
// loaded, read again by `node`. Only relay-compiler reads this file.
import { graphql } from "relay-runtime";

graphql`
  query PageQuery($count: Int!) {
    viewer {
      user {
        ...Page_user
      }
      ...Page_viewer @arguments(count: $count)
    }
  }
`;

graphql`
  fragment Page_user on User {
    id
    name
    role
  }
`;

graphql`
  fragment Page_viewer on Viewer
  @argumentDefinitions(count: { type: "Int", defaultValue: 20 }, cursor: { type: "String" })
  @refetchable(queryName: "PageConversationsQuery") {
    conversations(first: $count, after: $cursor) @connection(key: "Page_conversations") {
      edges {
        node {
          id
          title
          ...Page_conversation
        }
      }
    }
  }
`;

graphql`
  fragment Page_conversation on Conversation
  @argumentDefinitions(count: { type: "Int", defaultValue: 2 }, cursor: { type: "String" })
  @refetchable(queryName: "PageMessagesQuery") {
    messages(last: $count, before: $cursor) @connection(key: "Page_messages") {
      edges {
        node {
          id
          role
          text
          answer {
            ...Page_answer
          }
        }
      }
    }
  }
`;

graphql`
  fragment Page_answer on Answer @refetchable(queryName: "PageAnswerQuery") {
    status
    citations {
      marker
      quote
    }
  }
`;

graphql`
  query PageNodeQuery($id: ID!) {
    node(id: $id) {
      __typename
      ...Page_user @alias(as: "asUser")
      ...Page_conversation @alias(as: "asConversation")
    }
  }
`;

graphql`
  mutation PageStartMutation($input: StartConversationInput!, $connections: [ID!]!) {
    startConversation(input: $input) {
      __typename
      ... on StartConversationPayload {
        conversation @prependNode(connections: $connections, edgeTypeName: "ConversationEdge") {
          id
          title
        }
      }
      ... on UserError {
        code
        message
      }
    }
  }
`;

graphql`
  subscription PageAnswerSubscription($id: ID!, $after: String) {
    answer(id: $id, after: $after) {
      __typename
      ... on StreamEvent {
        cursor
      }
      ... on AnswerDelta {
        text
      }
      ... on AnswerCompleted {
        answer {
          ...Page_answer
        }
      }
    }
  }
`;
