import type { ExecutionResult } from "graphql";
import { createStore } from "./store";

/** What a person most likely wants to do with the last result; null when nothing stands out. */
export type NextStep = { kind: "ask"; conversationId: string } | { kind: "follow"; answerId: string };

interface Payload {
  conversation?: { id?: string } | null;
  message?: object | null;
  answer?: { id?: string } | null;
}

export const nextStep = createStore<NextStep | null>(null);

/** After `startConversation` comes a question, after `sendMessage` its answer. Other results leave things as they are. */
export function observe(result: ExecutionResult): void {
  for (const [field, value] of Object.entries(result.data ?? {})) {
    const payload = value as Payload | null;
    if (field === "startConversation" && payload?.conversation?.id) {
      nextStep.set({ kind: "ask", conversationId: payload.conversation.id });
    }
    if ((field === "sendMessage" || field === "regenerateAnswer") && payload?.answer?.id) {
      nextStep.set({ kind: "follow", answerId: payload.answer.id });
    }
  }
}
