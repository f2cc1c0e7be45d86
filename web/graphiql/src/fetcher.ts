import type { Fetcher } from "@graphiql/toolkit";
import { type DocumentNode, Kind, type OperationDefinitionNode, parse } from "graphql";
import * as answer from "./answer";
import { type Operation, post } from "./http";
import * as nextStep from "./next_step";
import { requestHeaders } from "./session";
import { follow } from "./socket";

/** The operation that will run, or null where the server must say what is wrong with the document. */
function chosenOperation(query: string, name: string | null | undefined): OperationDefinitionNode | null {
  let document: DocumentNode;
  try {
    document = parse(query, { noLocation: true });
  } catch {
    return null;
  }
  const operations = document.definitions.filter((node) => node.kind === Kind.OPERATION_DEFINITION);
  // GraphiQL learns an operation's name a moment after the tab changes: with one operation there is no doubt.
  return operations.length === 1 ? (operations[0] ?? null) : (operations.find((node) => node.name?.value === name) ?? null);
}

/** True where every event is an `AnswerEvent`: the root field is `answer`. */
function followsAnAnswer(operation: OperationDefinitionNode): boolean {
  return operation.selectionSet.selections.some((node) => node.kind === Kind.FIELD && node.name.value === "answer");
}

/** Sends queries and mutations by POST, and subscriptions over a WebSocket, all to this host. */
export const fetcher: Fetcher = ({ query, operationName, variables }, options) => {
  const chosen = chosenOperation(query, operationName);
  const headers = requestHeaders(options?.headers);
  const operation: Operation = { query, operationName: chosen?.name?.value ?? operationName ?? undefined, variables };
  if (chosen?.operation !== "subscription") {
    return post(operation, headers).then((result) => {
      nextStep.observe(result);
      return result;
    });
  }
  if (!followsAnAnswer(chosen)) {
    answer.clear();
    return follow(operation, headers);
  }
  answer.reset();
  return follow(operation, headers, {
    onResult: answer.observe,
    onLost: answer.lost,
    onRestart: answer.reset,
    onEnd: answer.end,
  });
};
