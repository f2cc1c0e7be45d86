import { firstError, postFile } from "./http";
import { requestHeaders } from "./session";
import { follow } from "./socket";

const UPLOAD = `mutation UploadDocument($input: UploadDocumentInput!) {
  uploadDocument(input: $input) {
    __typename
    ... on UploadDocumentPayload { document { id name } }
    ... on UserError { code message }
  }
}`;

const PROGRESS = `subscription DocumentProgress($id: ID!) {
  documentProgress(id: $id) {
    status pagesDone pagesTotal chunksDone chunksTotal
    failure { message }
  }
}`;

export interface Progress {
  status: "QUEUED" | "PARSING" | "EMBEDDING" | "READY" | "FAILED" | "CANCELLED";
  pagesDone: number;
  pagesTotal: number | null;
  chunksDone: number;
  chunksTotal: number | null;
  failure: { message: string } | null;
}

interface UploadResult {
  document?: { id: string; name: string };
  message?: string;
}

/**
 * Upload a document with the session of the account panel; `onSent` hears the bytes sent so far.
 * Returns its id. Throws an Error with the server's own words when it is refused.
 */
export async function upload(file: File, onSent: (bytes: number) => void): Promise<string> {
  const operation = { query: UPLOAD, operationName: "UploadDocument", variables: { input: { file: null } } };
  const result = await postFile(operation, file, requestHeaders(), onSent);
  const outcome = (result.data as { uploadDocument?: UploadResult } | null | undefined)?.uploadDocument;
  if (!outcome?.document) throw new Error(outcome?.message ?? firstError(result) ?? "The server gave no document.");
  return outcome.document.id;
}

/** From where the document stands to READY, FAILED or CANCELLED. */
export async function* progressOf(documentId: string): AsyncGenerator<Progress> {
  const operation = { query: PROGRESS, operationName: "DocumentProgress", variables: { id: documentId } };
  for await (const result of follow(operation, requestHeaders())) {
    const progress = (result.data as { documentProgress?: Progress } | null | undefined)?.documentProgress;
    if (!progress) throw new Error(firstError(result) ?? "The server gave no progress.");
    yield progress;
  }
}
