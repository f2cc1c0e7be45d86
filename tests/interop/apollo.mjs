// Apollo Client with the upload link of apollo-upload-client: argv are the server's URL, an access token, and the text
// of a file. Uploads it, waits until it can be searched, asks, follows the answer, reads it. Prints a line of JSON.
import { readFileSync } from "node:fs";
import { ApolloClient, ApolloLink, gql, InMemoryCache } from "@apollo/client";
import { GraphQLWsLink } from "@apollo/client/link/subscriptions";
import UploadHttpLink from "apollo-upload-client/UploadHttpLink.mjs";
import { buildSchema, isAbstractType, OperationTypeNode } from "graphql";
import { socketClient } from "./sockets.mjs";

const [url, token, text] = process.argv.slice(2);
const schema = buildSchema(readFileSync(new URL("../../schema.graphql", import.meta.url), "utf8"));
const possibleTypes = Object.fromEntries(
  Object.values(schema.getTypeMap())
    .filter(isAbstractType)
    .map((type) => [type.name, schema.getPossibleTypes(type).map((possible) => possible.name)]),
);

const sockets = socketClient(url, () => token);
// `apollo-require-preflight` is the header that Apollo's documentation asks for.
const headers = { authorization: `Bearer ${token}`, "apollo-require-preflight": "true" };
const client = new ApolloClient({
  cache: new InMemoryCache({ possibleTypes }),
  link: ApolloLink.split(
    ({ operationType }) => operationType === OperationTypeNode.SUBSCRIPTION,
    new GraphQLWsLink(sockets),
    new UploadHttpLink({ uri: url, headers }),
  ),
});

/** The one field of a mutation. */
async function mutate(mutation, input) {
  const { data } = await client.mutate({ mutation, variables: { input } });
  return Object.values(data)[0];
}

/** The last event of a subscription, and all before it. */
function all(query, variables) {
  return new Promise((resolve, reject) => {
    const events = [];
    client.subscribe({ query, variables }).subscribe({
      next: ({ data, error }) => (error ? reject(error) : events.push(Object.values(data)[0])),
      error: reject,
      complete: () => resolve(events),
    });
  });
}

const upload = await mutate(
  gql`
    mutation Upload($input: UploadDocumentInput!) {
      uploadDocument(input: $input) {
        ... on UploadDocumentPayload { document { id name contentType byteSize } }
        ... on UserError { code message }
      }
    }
  `,
  { file: new File([text], "r\u00e9sum\u00e9.txt", { type: "text/plain" }) },
);
const progress = await all(
  gql`
    subscription Progress($id: ID!) { documentProgress(id: $id) { status chunksDone } }
  `,
  { id: upload.document.id },
);
const start = await mutate(
  gql`
    mutation Start($input: StartConversationInput!) {
      startConversation(input: $input) {
        ... on StartConversationPayload { conversation { id } }
        ... on UserError { code message }
      }
    }
  `,
  {},
);
const send = await mutate(
  gql`
    mutation Send($input: SendMessageInput!) {
      sendMessage(input: $input) {
        ... on SendMessagePayload { answer { id status } }
        ... on UserError { code reason: message }
      }
    }
  `,
  { conversationId: start.conversation.id, text: "When was Vexholm founded?" },
);
const events = await all(
  gql`
    subscription Answer($id: ID!) {
      answer(id: $id) {
        ... on StreamEvent { sequence }
        ... on AnswerDelta { text }
        ... on AnswerCompleted { answer { id status } }
      }
    }
  `,
  { id: send.answer.id },
);
const { data: read } = await client.query({
  query: gql`
    query Answer($id: ID!) {
      node(id: $id) {
        id
        ... on Answer { status message { id text } citations { marker quote documentName } }
      }
    }
  `,
  variables: { id: send.answer.id },
});
await sockets.dispose();
client.stop();

console.log(
  JSON.stringify({
    document: upload.document,
    progress: progress.at(-1),
    text: events.map((event) => event.text ?? "").join(""),
    // The subscription's last event has updated the answer that the mutation had put into the cache.
    cached: client.cache.extract()[`Answer:${send.answer.id}`].status,
    read: read.node,
  }),
);
