import { useGraphiQL, useGraphiQLActions } from "@graphiql/react";
import { useEffect, useRef, useSyncExternalStore } from "react";
import { liveAnswer } from "./answer";
import { answerVariables, FOLLOW_ANSWER, messageVariables, SEND_MESSAGE } from "./examples";
import { nextStep } from "./next_step";

/** The running answer as text, below its events. */
function LiveAnswerView() {
  const answer = useSyncExternalStore(liveAnswer.subscribe, liveAnswer.get);
  const end = useRef<HTMLDivElement>(null);
  const length = answer?.text.length ?? 0;
  // Braces, because newer browsers return a promise here, and React would take it for a clean-up function.
  useEffect(() => {
    end.current?.scrollIntoView({ block: "nearest" });
  }, [length]);
  if (answer === null) return null;
  return (
    <section className="live-answer" aria-label="Answer so far" aria-live="polite" aria-busy={answer.running}>
      <p className="live-answer-status">{answer.status}</p>
      <p className="live-answer-text">{answer.text}</p>
      <ul>
        {answer.citations.map(({ marker, source, quote }, index) => (
          <li key={index}>
            {marker} {source}: <q>{quote}</q>
          </li>
        ))}
      </ul>
      <div ref={end} />
    </section>
  );
}

/** A button that fills in the next operation, so that no id has to be copied by hand. */
function NextStepButton() {
  const step = useSyncExternalStore(nextStep.subscribe, nextStep.get);
  const { tabs, queryEditor, variableEditor } = useGraphiQL((state) => ({
    tabs: state.tabs,
    queryEditor: state.queryEditor,
    variableEditor: state.variableEditor,
  }));
  const { addTab, changeTab, run } = useGraphiQLActions();
  if (step === null) return null;
  const asks = step.kind === "ask";

  function take(operationName: string, query: string, variables: string): void {
    const index = tabs.findIndex((tab) => tab.title === operationName);
    if (index >= 0) changeTab(index);
    else {
      addTab();
      queryEditor?.setValue(query);
    }
    variableEditor?.setValue(variables);
  }

  function onClick(): void {
    if (step === null) return;
    if (step.kind === "ask") {
      take("SendMessage", SEND_MESSAGE, messageVariables(step.conversationId));
      queryEditor?.focus();
    } else {
      take("FollowAnswer", FOLLOW_ANSWER, answerVariables(step.answerId));
      void run();
    }
    nextStep.set(null);
  }

  return (
    <p className="next-step">
      {asks ? "The conversation is there." : "The answer is being written."}{" "}
      <button type="button" className="graphiql-button" onClick={onClick}>
        {asks ? "Ask a question in it" : "Follow the answer"}
      </button>
    </p>
  );
}

export function ResponseFooter() {
  return (
    <>
      <NextStepButton />
      <LiveAnswerView />
    </>
  );
}
