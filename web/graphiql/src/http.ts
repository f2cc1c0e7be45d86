import type { ExecutionResult } from "graphql";
import { HTTP_ENDPOINT } from "./endpoint";

export interface Operation {
  query: string;
  operationName?: string | undefined;
  variables?: Record<string, unknown> | undefined;
}

/** An error for a person: without the stack, which GraphiQL would print into the result. */
export function plainError(message: string): Error {
  return Object.defineProperty(new Error(message), "stack", { value: undefined });
}

const UNREACHABLE = `The server at ${HTTP_ENDPOINT} did not answer. Is it still running?`;

/** A response's GraphQL result; throws an Error fit to be shown when it is anything else. */
export function parseResult(status: number, statusText: string, body: string): ExecutionResult {
  try {
    const result: unknown = JSON.parse(body);
    if (typeof result === "object" && result !== null && ("data" in result || "errors" in result)) {
      return result as ExecutionResult;
    }
  } catch {
    // Not JSON: a proxy's page, or a plain refusal. Said below.
  }
  throw plainError(`HTTP ${status} ${statusText}`.trim() + `: ${body.trim().slice(0, 500) || "an empty response"}`);
}

export async function post(operation: Operation, headers: Record<string, string>): Promise<ExecutionResult> {
  let response: Response;
  try {
    response = await fetch(HTTP_ENDPOINT, {
      method: "POST",
      headers: {
        accept: "application/graphql-response+json, application/json;q=0.9",
        "content-type": "application/json",
        ...headers,
      },
      body: JSON.stringify(operation),
    });
  } catch {
    throw plainError(UNREACHABLE);
  }
  return parseResult(response.status, response.statusText, await response.text());
}

/**
 * Send an operation with one file by the GraphQL multipart request; the file takes the place of
 * `variables.input.file`. XMLHttpRequest, because fetch cannot tell how much has been sent.
 */
export function postFile(
  operation: Operation,
  file: File,
  headers: Record<string, string>,
  onSent: (bytes: number) => void,
): Promise<ExecutionResult> {
  const form = new FormData();
  form.append("operations", JSON.stringify(operation));
  form.append("map", JSON.stringify({ "0": ["variables.input.file"] }));
  form.append("0", file, file.name);
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", HTTP_ENDPOINT);
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    // A header that no plain HTML form can send: the server asks for it on multipart requests.
    request.setRequestHeader("x-colloquy-preflight", "1");
    request.upload.onprogress = (event) => onSent(event.loaded);
    request.onload = () => {
      try {
        resolve(parseResult(request.status, request.statusText, request.responseText));
      } catch (error) {
        reject(error);
      }
    };
    request.onerror = () => reject(plainError(UNREACHABLE));
    request.send(form);
  });
}

/** The message of a result's first error, or null. */
export function firstError(result: ExecutionResult): string | null {
  return result.errors?.[0]?.message ?? null;
}
