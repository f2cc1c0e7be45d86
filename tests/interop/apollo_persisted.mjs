// Apollo Client with its link for persisted queries: argv are the server's URL and an access token. Asks once; prints a
// line of JSON with what was sent to the server for it, and with the document's text.
import { createHash } from "node:crypto";
import { ApolloClient, gql, HttpLink, InMemoryCache } from "@apollo/client";
import { PersistedQueryLink } from "@apollo/client/link/persisted-queries";

const [url, token] = process.argv.slice(2);
const sent = [];
const http = new HttpLink({
  uri: url,
  headers: { authorization: `Bearer ${token}` },
  fetch(uri, options) {
    sent.push(JSON.parse(options.body));
    return fetch(uri, options);
  },
});
let document = null;
const persisted = new PersistedQueryLink({
  sha256: (text) => createHash("sha256").update((document = text)).digest("hex"),
});
const client = new ApolloClient({ cache: new InMemoryCache(), link: persisted.concat(http) });
const { data } = await client.query({
  query: gql`
    query Me {
      viewer {
        user {
          email
        }
      }
    }
  `,
});
client.stop();
console.log(JSON.stringify({ email: data.viewer.user.email, document, sent }));
