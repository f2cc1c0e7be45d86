// graphql-ws: follows the answer argv[4] at the server argv[2] with the access token argv[3] to its end. With a further
// token, renews the socket's by a ping once text comes. Prints `text` at the first text, and a line of JSON at the end.
import { follow, renew, socketClient } from "./sockets.mjs";

const [url, token, answer, fresh] = process.argv.slice(2);
const closed = [];
const pongs = [];
let connections = 0;
let open = null;

const client = socketClient(url, () => token, {
  retryAttempts: 60,
  retryWait: () => new Promise((resolve) => setTimeout(resolve, 250)),
  // Until the server is there again, connecting fails without a close code.
  shouldRetry: () => true,
  on: {
    connected: (socket) => ((connections += 1), (open = socket)),
    closed: (event) => closed.push(event.code ?? null),
    pong: (received, payload) => received && payload && pongs.push(payload.authorization),
  },
});

let first = true;
const { text, stored } = await follow(client, answer, () => {
  if (!first) return;
  first = false;
  console.log("text");
  if (fresh) renew(open, fresh);
});
await client.dispose();
console.log(JSON.stringify({ text, stored, connections, closed, pongs }));
