// graphql-sse, distinct connections mode: follows the answer argv[4] at the server argv[2] with the access token argv[3]
// to its end. Prints a line of JSON.
import { createClient } from "graphql-sse";
import { ANSWER } from "./sockets.mjs";

const [url, token, id] = process.argv.slice(2);
const client = createClient({ url, headers: () => ({ authorization: `Bearer ${token}` }), retryAttempts: 0 });

/** All results of an operation. */
async function all(query, variables) {
  const results = [];
  for await (const result of client.iterate({ query, variables })) results.push(result);
  return results;
}

const events = (await all(ANSWER, { id })).map(({ data }) => data.answer);
const [query] = await all("{ viewer { user { email } } }");
const [wrong] = await all("subscription { nope }");
client.dispose();
console.log(
  JSON.stringify({
    text: events.map((event) => event.text ?? "").join(""),
    stored: events.at(-1).answer.message.text,
    email: query.data.viewer.user.email,
    wrong: wrong.errors.map((error) => error.extensions.code),
  }),
);
