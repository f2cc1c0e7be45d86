/** What the API says to a mutation: the payload, or an error written for people. */
export interface Outcome {
  payload: Record<string, unknown> | null;
  message: string;
}

const ENDPOINT = new URL("/graphql", window.location.href).href;

/** Send one mutation. Never throws: what went wrong is in `message`. */
export async function send(query: string, input: Record<string, unknown>, token?: string): Promise<Outcome> {
  let body: unknown;
  try {
    const response = await fetch(ENDPOINT, {
      method: "POST",
      credentials: "omit",
      headers: {
        accept: "application/graphql-response+json, application/json;q=0.9",
        "content-type": "application/json",
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      },
      body: JSON.stringify({ query, variables: { input } }),
    });
    body = await response.json();
  } catch {
    return { payload: null, message: "The server did not answer. Try again in a moment." };
  }
  const { data, errors } = body as { data?: Record<string, unknown> | null; errors?: { message: string }[] };
  const result = Object.values(data ?? {})[0] as Record<string, unknown> | null | undefined;
  if (result && String(result.__typename).endsWith("Payload")) return { payload: result, message: "" };
  const said = result?.message ?? errors?.[0]?.message ?? "The server gave no answer.";
  return { payload: null, message: String(said) };
}
