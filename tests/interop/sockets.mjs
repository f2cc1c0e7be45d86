// The client of graphql-ws as applications make it, and an answer followed with it.
import { createClient, MessageType, stringifyMessage } from "graphql-ws";
import WebSocket from "ws"; // Node 20 has none of its own

export const ANSWER = `subscription Answer($id: ID!, $after: String) { answer(id: $id, after: $after) {
  __typename ... on StreamEvent { cursor } ... on AnswerDelta { text }
  ... on AnswerCompleted { answer { message { text } } } ... on AnswerFailed { failure { code } } } }`;

/** A client for this URL; `token` is asked for at each connection, `options` are graphql-ws's own. */
export function socketClient(url, token, options = {}) {
  return createClient({
    url: url.replace(/^http/, "ws"),
    webSocketImpl: WebSocket,
    connectionParams: () => ({ authorization: `Bearer ${token()}` }),
    ...options,
  });
}

/** Renews the token of an open socket, as docs/connecting.md says. */
export function renew(socket, token) {
  const payload = { authorization: `Bearer ${token}` };
  socket.send(stringifyMessage({ type: MessageType.Ping, payload }));
}

/** Follows an answer to its end: what it said, and what is stored. Where the connection breaks, it goes on behind it. */
export function follow(client, id, onText = () => {}) {
  const variables = { id, after: null };
  let text = "";
  let stored = null;
  return new Promise((resolve, reject) => {
    client.subscribe(
      { query: ANSWER, variables },
      {
        next({ data, errors }) {
          if (errors) return reject(new Error(JSON.stringify(errors)));
          const event = data.answer;
          // graphql-ws sends the same object again after it has reconnected.
          variables.after = event.cursor;
          if (event.__typename === "AnswerRestarted") text = "";
          if (event.__typename === "AnswerDelta") onText((text += event.text));
          if (event.__typename === "AnswerCompleted") stored = event.answer.message.text;
        },
        error: (error) => reject(error instanceof Error ? error : new Error(JSON.stringify(error))),
        complete: () => resolve({ text, stored }),
      },
    );
  });
}
