import type { ExecutionResult } from "graphql";
import { firstError } from "./http";
import { createStore } from "./store";

/**
 * The answer that the running subscription has given so far. The response editor shows the events,
 * each in the place of the last; a person wants to read the text.
 */
export interface LiveAnswer {
  text: string;
  citations: { marker: string; source: string; quote: string }[];
  /** What is happening, or how it ended. */
  status: string;
  running: boolean;
}

/** An `AnswerEvent`, as far as the selection asked for its fields. */
interface AnswerEvent {
  __typename?: string;
  sequence?: number;
  text?: string;
  step?: string;
  reason?: string;
  citation?: { marker?: number; documentName?: string; page?: number | null; quote?: string };
  failure?: { message?: string };
}

const EMPTY: LiveAnswer = { text: "", citations: [], status: "Waiting for the first event…", running: true };

export const liveAnswer = createStore<LiveAnswer | null>(null);

export function reset(): void {
  liveAnswer.set(EMPTY);
}

export function clear(): void {
  liveAnswer.set(null);
}

/** The answer after one more event; events that the selection leaves without `__typename` count by their fields. */
export function apply(answer: LiveAnswer, event: AnswerEvent): LiveAnswer {
  const kind = event.__typename;
  if (kind === "AnswerRestarted" || kind === "AnswerStarted") {
    return { ...EMPTY, status: event.reason ? `Started again: ${event.reason}` : "Started" };
  }
  if (kind === "AnswerCompleted") return { ...answer, status: "Completed", running: false };
  if (kind === "AnswerStopped") return { ...answer, status: "Stopped", running: false };
  if (kind === "AnswerFailed") {
    return { ...answer, status: `Failed: ${event.failure?.message ?? "no reason given"}`, running: false };
  }
  if (event.citation !== undefined) {
    const { marker, documentName, page, quote } = event.citation;
    const source = [documentName ?? "a document", page ? `page ${page}` : ""].filter(Boolean).join(", ");
    const citation = { marker: `[${marker ?? answer.citations.length + 1}]`, source, quote: quote ?? "" };
    return { ...answer, citations: [...answer.citations, citation] };
  }
  if (typeof event.text === "string") return { ...answer, text: answer.text + event.text, status: "Answering…" };
  if (event.step !== undefined) return { ...answer, status: `${event.step.toLowerCase().replaceAll("_", " ")}…` };
  return answer;
}

/** Take in one result of a subscription; what is not an answer's event changes nothing. */
export function observe(result: ExecutionResult): void {
  const refusal = firstError(result);
  if (refusal !== null) liveAnswer.set({ ...(liveAnswer.get() ?? EMPTY), status: refusal, running: false });
  for (const value of Object.values(result.data ?? {})) {
    if (typeof value === "object" && value !== null) {
      liveAnswer.set(apply(liveAnswer.get() ?? EMPTY, value as AnswerEvent));
    }
  }
}

export function lost(): void {
  const current = liveAnswer.get();
  if (current !== null) liveAnswer.set({ ...current, status: "The connection was lost; trying again…" });
}

/** Say that no more will come, where the answer itself has not said how it ended. */
export function end(reason: Error | null): void {
  const current = liveAnswer.get();
  if (current?.running) liveAnswer.set({ ...current, status: reason?.message ?? "No longer followed", running: false });
}
