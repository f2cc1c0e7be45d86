import { createStore } from "./store";

/** What `signIn` gives. Kept for this browser tab only: sessionStorage is gone when the tab is closed. */
export interface Session {
  accessToken: string;
  /** ISO 8601; the server refuses the token from this moment on. */
  expiresAt: string;
  user: { id: string; name: string };
}

/** `ended` says that a session was there and ran out, so that the panel can say why it asks again. */
export interface SessionState {
  session: Session | null;
  ended: boolean;
}

const KEY = "colloquy.session";
// setTimeout counts in a signed 32-bit number of milliseconds and fires at once beyond it.
const LONGEST_TIMER_MS = 2 ** 31 - 1;

let timer: number | undefined;

function isSession(value: unknown): value is Session {
  if (typeof value !== "object" || value === null) return false;
  const { accessToken, expiresAt, user } = value as Partial<Session>;
  return typeof accessToken === "string" && typeof expiresAt === "string" && typeof user?.name === "string";
}

function stored(): Session | null {
  try {
    const value: unknown = JSON.parse(sessionStorage.getItem(KEY) ?? "null");
    return isSession(value) ? value : null;
  } catch {
    return null; // storage is blocked, or holds something else: start signed out
  }
}

function persist(session: Session | null): void {
  try {
    if (session === null) sessionStorage.removeItem(KEY);
    else sessionStorage.setItem(KEY, JSON.stringify(session));
  } catch {
    // Storage is blocked: the session lives until the page is reloaded.
  }
}

export const sessionStore = createStore<SessionState>({ session: null, ended: false });

function adopt(session: Session): void {
  const left = new Date(session.expiresAt).getTime() - Date.now();
  if (!(left > 0)) {
    end(true);
    return;
  }
  sessionStore.set({ session, ended: false });
  timer = window.setTimeout(() => end(true), Math.min(left, LONGEST_TIMER_MS));
}

function end(ended: boolean): void {
  window.clearTimeout(timer);
  persist(null);
  sessionStore.set({ session: null, ended });
}

export function begin(session: Session): void {
  window.clearTimeout(timer);
  persist(session);
  adopt(session);
}

/** Forget the token on this page; the token itself stays valid until it expires. */
export function forget(): void {
  end(false);
}

/**
 * The headers of a request: those of the Headers tab, and the panel's token where the tab has no
 * `authorization` of its own. Names come out in lower case, so that neither hides the other.
 */
export function requestHeaders(fromTab: Record<string, unknown> = {}): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(fromTab)) headers[name.toLowerCase()] = String(value);
  const { session } = sessionStore.get();
  if (session !== null && headers.authorization === undefined) headers.authorization = `Bearer ${session.accessToken}`;
  return headers;
}

const found = stored();
if (found !== null) adopt(found);
