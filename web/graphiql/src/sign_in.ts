import { firstError, post } from "./http";
import { begin, type Session } from "./session";

const SIGN_IN = `mutation SignIn($input: SignInInput!) {
  signIn(input: $input) {
    __typename
    ... on SignInPayload { session { accessToken expiresAt user { id name } } }
    ... on UserError { code message }
  }
}`;

interface SignInResult {
  session?: Session;
  message?: string;
}

/** Sign in and begin the session. Throws an Error with the server's own words when that fails. */
export async function signIn(email: string, password: string): Promise<void> {
  // Without the old session's token: an expired one would make the server refuse the request.
  const result = await post({ query: SIGN_IN, operationName: "SignIn", variables: { input: { email, password } } }, {});
  const outcome = (result.data as { signIn?: SignInResult } | null | undefined)?.signIn;
  if (!outcome?.session) throw new Error(outcome?.message ?? firstError(result) ?? "The server gave no session.");
  begin(outcome.session);
}
