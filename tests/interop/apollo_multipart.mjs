// Apollo Client with nothing but its HttpLink, over which it subscribes by its multipart protocol: follows the answer
// argv[4] at the server argv[2] with the access token argv[3] to its end. Prints a line of JSON.
import { ApolloClient, gql, HttpLink, InMemoryCache } from "@apollo/client";
import { ANSWER } from "./sockets.mjs";

const [url, token, id] = process.argv.slice(2);
const types = [];
const fetched = async (address, options) => {
  const response = await fetch(address, options);
  types.push(response.headers.get("content-type").split(";")[0]);
  return response;
};
const headers = { authorization: `Bearer ${token}` };
const client = new ApolloClient({
  cache: new InMemoryCache(),
  link: new HttpLink({ uri: url, headers, fetch: fetched }),
});

/** Every event, and why it ended, if it did so badly. */
function all(query, variables) {
  return new Promise((resolve) => {
    const events = [];
    client.subscribe({ query, variables }).subscribe({
      next: ({ data, error }) => (error ? resolve({ events, error: error.message }) : events.push(data.answer)),
      error: (error) => resolve({ events, error: error.message }),
      complete: () => resolve({ events }),
    });
  });
}

const { events, error } = await all(gql(ANSWER), { id });
const foreign = await all(gql(ANSWER), { id: "ans_nobody" });
const { data } = await client.query({ query: gql("{ viewer { user { email } } }") });
client.stop();
console.log(
  JSON.stringify({
    error: error ?? null,
    text: events.map((event) => event.text ?? "").join(""),
    stored: events.at(-1).answer.message.text,
    foreign: foreign.error,
    email: data.viewer.user.email,
    types,
  }),
);
