import type { GraphiQLPlugin } from "@graphiql/react";
import { type FormEvent, useEffect, useRef, useState, useSyncExternalStore } from "react";
import { forget, type Session, sessionStore } from "./session";
import { signIn } from "./sign_in";

function SignedIn({ session }: { session: Session }) {
  const until = new Date(session.expiresAt).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  return (
    <div className="panel-body">
      <p role="status">
        Signed in as <strong>{session.user.name}</strong> until {until}.
      </p>
      <p className="panel-hint">Every request and subscription of this page carries the token.</p>
      <button type="button" className="graphiql-button" onClick={forget}>
        Sign out of this page
      </button>
    </div>
  );
}

function SignInForm({ ended }: { ended: boolean }) {
  const [error, setError] = useState<string | null>(ended ? "Your session has ended. Sign in again." : null);
  const [busy, setBusy] = useState(false);
  const email = useRef<HTMLInputElement>(null);

  useEffect(() => {
    email.current?.focus();
  }, []);

  async function submit(event: FormEvent<HTMLFormElement>): Promise<void> {
    event.preventDefault();
    const fields = new FormData(event.currentTarget);
    setBusy(true);
    setError(null);
    try {
      await signIn(String(fields.get("email")), String(fields.get("password")));
    } catch (reason) {
      setError(reason instanceof Error ? reason.message : String(reason));
      setBusy(false);
    }
  }

  return (
    <form className="panel-body" onSubmit={submit} aria-label="Sign in">
      <label>
        E-mail
        <input
          ref={email}
          name="email"
          type="email"
          autoComplete="username"
          placeholder="business@demo.colloquy.example"
          required
        />
      </label>
      <label>
        Password
        <input name="password" type="password" autoComplete="current-password" required />
      </label>
      <button type="submit" className="graphiql-button" disabled={busy}>
        {busy ? "Signing in…" : "Sign in"}
      </button>
      <p role="alert" className="panel-error">
        {error}
      </p>
      <p className="panel-hint">
        <a href="/account#forgot" target="_blank" rel="noreferrer">
          Forgot your password?
        </a>
      </p>
    </form>
  );
}

function AccountPanel() {
  const { session, ended } = useSyncExternalStore(sessionStore.subscribe, sessionStore.get);
  return (
    <section aria-label="Account">
      <h2 className="panel-title">Account</h2>
      {session ? <SignedIn session={session} /> : <SignInForm ended={ended} />}
    </section>
  );
}

function KeyIcon() {
  return (
    <svg viewBox="0 0 24 24" fill="none" stroke="currentColor" strokeWidth="1.5" strokeLinecap="round" aria-hidden="true">
      <circle cx="8" cy="15" r="4.5" />
      <path d="M11.5 11.5 20 3m-3.5 3.5 3 3m-5.5-.5 2 2" />
    </svg>
  );
}

export const ACCOUNT: GraphiQLPlugin = { title: "Account", icon: KeyIcon, content: AccountPanel };
