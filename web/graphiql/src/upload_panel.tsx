import type { GraphiQLPlugin } from "@graphiql/react";
import { type FormEvent, useState, useSyncExternalStore } from "react";
import { sessionStore } from "./session";
import { type Progress, progressOf, upload } from "./upload";

/** `done` of `total` for the progress bar; a null total is a bar that only shows that work goes on. */
interface Step {
  label: string;
  done: number;
  total: number | null;
}

function stepOf(progress: Progress): Step {
  if (progress.status === "PARSING") {
    return { label: "Reading pages", done: progress.pagesDone, total: progress.pagesTotal };
  }
  if (progress.status === "EMBEDDING") {
    return { label: "Indexing passages", done: progress.chunksDone, total: progress.chunksTotal };
  }
  return { label: "Waiting for a worker", done: 0, total: null };
}

function outcomeOf(progress: Progress | null): string {
  if (progress?.status === "READY") return "Ready: its passages can be found, and answers can cite them.";
  if (progress?.status === "CANCELLED") throw new Error("The document was cancelled.");
  if (progress?.status === "FAILED") throw new Error(progress.failure?.message ?? "The document failed.");
  throw new Error("The server stopped reporting before the document was ready.");
}

function StepBar({ step }: { step: Step }) {
  const known = step.total !== null && step.total > 0;
  return (
    <label>
      {step.label}
      {known ? `: ${step.done} of ${step.total}` : "…"}
      {known ? <progress value={step.done} max={step.total ?? 1} /> : <progress />}
    </label>
  );
}

function UploadForm() {
  const [step, setStep] = useState<Step | null>(null);
  const [outcome, setOutcome] = useState<string | null>(null);
  const [error, setError] = useState<string | null>(null);

  async function submit(event: FormEvent<HTMLFormElement>): Promise<void> {
    event.preventDefault();
    const file = new FormData(event.currentTarget).get("file");
    if (!(file instanceof File)) return;
    setOutcome(null);
    setError(null);
    setStep({ label: "Sending", done: 0, total: null });
    try {
      const kilobytes = Math.ceil(file.size / 1024);
      const id = await upload(file, (bytes) =>
        setStep({ label: "Sending kilobytes", done: Math.min(Math.ceil(bytes / 1024), kilobytes), total: kilobytes }),
      );
      let last: Progress | null = null;
      for await (const progress of progressOf(id)) {
        last = progress;
        setStep(stepOf(progress));
      }
      setOutcome(`${file.name}: ${outcomeOf(last)}`);
    } catch (reason) {
      setError(`${file.name}: ${reason instanceof Error ? reason.message : String(reason)}`);
    } finally {
      setStep(null);
    }
  }

  return (
    <form className="panel-body" onSubmit={submit} aria-label="Upload a document">
      <label>
        Document (PDF, Word, EPUB, HTML, CSV, TXT or Markdown)
        <input
          name="file"
          type="file"
          accept=".pdf,.docx,.epub,.html,.htm,.xhtml,.csv,.tsv,.txt,.md,.markdown,application/pdf,application/epub+zip,text/*"
          required
        />
      </label>
      <button type="submit" className="graphiql-button" disabled={step !== null}>
        Upload
      </button>
      {step && <StepBar step={step} />}
      <p role="status">{outcome}</p>
      <p role="alert" className="panel-error">
        {error}
      </p>
    </form>
  );
}

function UploadPanel() {
  const { session } = useSyncExternalStore(sessionStore.subscribe, sessionStore.get);
  return (
    <section aria-label="Upload">
      <h2 className="panel-title">Upload a document</h2>
      {session ? <UploadForm /> : <p className="panel-body">Sign in first, with the key on the left.</p>}
    </section>
  );
}

function UploadIcon() {
  return (
    <svg viewBox="0 0 24 24" fill="none" stroke="currentColor" strokeWidth="1.5" strokeLinecap="round" aria-hidden="true">
      <path d="M12 16V4m-5 5 5-5 5 5M4 16v4h16v-4" />
    </svg>
  );
}

export const UPLOAD_PLUGIN: GraphiQLPlugin = { title: "Upload", icon: UploadIcon, content: UploadPanel };
