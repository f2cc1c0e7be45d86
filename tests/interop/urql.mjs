// urql's client (the package @urql/core, which `urql` puts React on) with its document cache, and graphql-ws for
// subscriptions: argv are the server's URL and an access token. Prints a line of JSON.
import { cacheExchange, Client, fetchExchange, subscriptionExchange } from "@urql/core";
import { socketClient } from "./sockets.mjs";

const [url, token] = process.argv.slice(2);
let requests = 0;
const sockets = socketClient(url, () => token);
const client = new Client({
  url,
  preferGetMethod: false,
  fetch: (...request) => ((requests += 1), fetch(...request)),
  fetchOptions: () => ({ headers: { authorization: `Bearer ${token}` } }),
  exchanges: [
    cacheExchange,
    fetchExchange,
    subscriptionExchange({
      forwardSubscription: ({ query, variables }) => ({
        subscribe: (sink) => ({ unsubscribe: sockets.subscribe({ query, variables }, sink) }),
      }),
    }),
  ],
});

const CONVERSATIONS = `query Mine { viewer { user { email } conversations { nodes { id title } } } }`;
const START = `mutation Start($input: StartConversationInput!) { startConversation(input: $input) {
  ... on StartConversationPayload { conversation { id title } } ... on UserError { code message } } }`;
const SEND = `mutation Send($input: SendMessageInput!) { sendMessage(input: $input) {
  ... on SendMessagePayload { answer { id status } } ... on UserError { code reason: message } } }`;
const ANSWER = `subscription Answer($id: ID!) { answer(id: $id) { __typename
  ... on AnswerDelta { text } ... on AnswerCompleted { answer { message { text } } } } }`;

/** The data, and whether it came from the document cache. */
async function data(promise) {
  const result = await promise;
  if (result.error) throw result.error;
  return { ...result.data, cache: result.operation.context.meta?.cacheOutcome };
}

const { startConversation: first } = await data(client.mutation(START, { input: { title: "First" } }));
const before = await data(client.query(CONVERSATIONS, {}));
const again = await data(client.query(CONVERSATIONS, {}));
const { startConversation: second } = await data(client.mutation(START, { input: { title: "Second" } }));
// A mutation that returned a Conversation makes every cached document with one stale.
const after = await data(client.query(CONVERSATIONS, {}));

const question = { conversationId: second.conversation.id, text: "When was Vexholm founded?" };
const { sendMessage } = await data(client.mutation(SEND, { input: question }));
const events = await new Promise((resolve, reject) => {
  const events = [];
  const { unsubscribe } = client.subscription(ANSWER, { id: sendMessage.answer.id }).subscribe((result) => {
    if (result.error) return reject(result.error);
    events.push(result.data.answer);
    if (result.data.answer.__typename === "AnswerCompleted") resolve((unsubscribe(), events));
  });
});
await sockets.dispose();

const titles = ({ viewer }) => viewer.conversations.nodes.map((node) => node.title);
console.log(
  JSON.stringify({
    email: before.viewer.user.email,
    before: titles(before),
    cached: again.cache,
    requests,
    started: [first.conversation.title, second.conversation.title],
    after: titles(after),
    text: events.map((event) => event.text ?? "").join(""),
    stored: events.at(-1).answer.message.text,
  }),
);
