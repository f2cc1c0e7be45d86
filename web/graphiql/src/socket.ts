import type { ExecutionResult } from "graphql";
import { createClient } from "graphql-ws";
import { SOCKET_ENDPOINT } from "./endpoint";
import { type Operation, plainError } from "./http";

// graphql-transport-ws: the server refuses `connection_init`.
const FORBIDDEN = 4403;

export interface Watcher {
  onResult?: (result: ExecutionResult) => void;
  /** The connection was lost and is tried again. */
  onLost?: () => void;
  /** The connection was lost and is there again: the server sends the stream from its beginning. */
  onRestart?: () => void;
  /** Nothing more will come: with the reason, or null where the stream ended by itself or was stopped here. */
  onEnd?: (reason: Error | null) => void;
}

function readable(error: unknown): Error {
  if (error instanceof CloseEvent) {
    if (error.code === FORBIDDEN) return plainError("The server refused the connection: sign in again.");
    return plainError(`The connection was closed (${error.code}${error.reason ? `: ${error.reason}` : ""}).`);
  }
  if (error instanceof Error) return error;
  if (Array.isArray(error)) return plainError(error.map((one: { message?: string }) => one.message ?? "").join("\n"));
  return plainError(`No WebSocket connection to ${SOCKET_ENDPOINT}.`);
}

/**
 * Follow a subscription over graphql-transport-ws. Each has a socket of its own, because the
 * identity belongs to the socket (`connection_init`) and may differ from one run to the next.
 *
 * The iterator is written out, since `return()` of an async generator waits for the `next()` in
 * flight, and Stop must not wait for the next event.
 */
export function follow(
  operation: Operation,
  headers: Record<string, string>,
  watcher: Watcher = {},
): AsyncIterableIterator<ExecutionResult> {
  const { authorization } = headers;
  const client = createClient({
    url: SOCKET_ENDPOINT,
    connectionParams: authorization === undefined ? {} : { authorization },
    // A lost connection is tried again, five times; a refused identity would be refused again.
    shouldRetry: (reason) => reason instanceof CloseEvent && reason.code !== FORBIDDEN,
    on: {
      connecting: (isRetry) => isRetry && watcher.onLost?.(),
      connected: (_socket, _payload, wasRetry) => wasRetry && watcher.onRestart?.(),
    },
  });
  const events = client.iterate({
    query: operation.query,
    operationName: operation.operationName ?? null,
    variables: operation.variables ?? null,
  }) as AsyncIterableIterator<ExecutionResult>;
  const close = async (reason: Error | null): Promise<IteratorResult<ExecutionResult>> => {
    await events.return?.();
    await client.dispose();
    watcher.onEnd?.(reason);
    return { done: true, value: undefined };
  };
  return {
    [Symbol.asyncIterator]() {
      return this;
    },
    async next() {
      let step: IteratorResult<ExecutionResult>;
      try {
        step = await events.next();
      } catch (error) {
        const reason = readable(error);
        await close(reason);
        throw reason;
      }
      if (step.done) return close(null);
      watcher.onResult?.(step.value);
      return step;
    },
    return: () => close(null),
    async throw(error: unknown) {
      await close(readable(error));
      throw error;
    },
  };
}
