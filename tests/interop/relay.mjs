// relay-runtime with what relay-compiler has made of relay/Page.js: argv are the server's URL, an access token, and the
// folder of the artifacts. Pages through two connections, prepends to one by a mutation, reads by `node`; prints a line
// of JSON.
import { createRequire } from "node:module";
import { join } from "node:path";
import relay from "relay-runtime";

const [url, token, folder] = process.argv.slice(2);
const artifact = (name) => createRequire(import.meta.url)(join(folder, `${name}.graphql.js`));
const { ConnectionHandler, Environment, Network, RecordSource, Store } = relay;

const environment = new Environment({
  store: new Store(new RecordSource()),
  network: Network.create(async ({ text }, variables) => {
    const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
    const response = await fetch(url, { method: "POST", headers, body: JSON.stringify({ query: text, variables }) });
    return response.json();
  }),
});

/** The data of a query, once it has been fetched; kept in the store. */
async function run(name, variables) {
  const operation = relay.createOperationDescriptor(relay.getRequest(artifact(name)), variables);
  environment.retain(operation);
  await relay.fetchQuery(environment, artifact(name), variables).toPromise();
  return environment.lookup(operation.fragment).data;
}

/** What a fragment sees now of the object that has been spread into it. */
const seen = (name, reference) => environment.lookup(relay.getSelector(artifact(name), reference)).data;
const titles = (viewer) => seen("Page_viewer", viewer).conversations.edges.map(({ node }) => node.title);
const texts = (conversation) => seen("Page_conversation", conversation).messages.edges.map(({ node }) => node.text);

const { viewer } = await run("PageQuery", { count: 2 });
const pages = [titles(viewer)];
let { pageInfo } = seen("Page_viewer", viewer).conversations;
while (pageInfo.hasNextPage) {
  await run("PageConversationsQuery", { count: 2, cursor: pageInfo.endCursor });
  pages.push(titles(viewer));
  ({ pageInfo } = seen("Page_viewer", viewer).conversations);
}

const asked = seen("Page_viewer", viewer).conversations.edges.find(({ node }) => node.title === "Asked").node;
const messages = [texts(asked)];
({ pageInfo } = seen("Page_conversation", asked).messages);
while (pageInfo.hasPreviousPage) {
  await run("PageMessagesQuery", { id: asked.id, count: 2, cursor: pageInfo.startCursor });
  messages.push(texts(asked));
  ({ pageInfo } = seen("Page_conversation", asked).messages);
}
const { answer } = seen("Page_conversation", asked).messages.edges.at(-1).node;

const parent = environment.getStore().getSource().get("client:root").viewer.__ref;
await new Promise((resolve, reject) =>
  relay.commitMutation(environment, {
    mutation: artifact("PageStartMutation"),
    variables: { input: { title: "Begun by Relay" }, connections: [ConnectionHandler.getConnectionID(parent, "Page_conversations")] },
    onCompleted: (_, errors) => (errors ? reject(new Error(JSON.stringify(errors))) : resolve()),
    onError: reject,
  }),
);

const user = seen("Page_user", viewer.user);
const { node } = await run("PageNodeQuery", { id: user.id });
console.log(
  JSON.stringify({
    pages,
    messages,
    answer: seen("Page_answer", answer),
    prepended: titles(viewer)[0],
    node: { typename: node.__typename, ...seen("Page_user", node.asUser), other: node.asConversation ?? null },
  }),
);
