import { send } from "./api";
import { ACCEPT, REQUEST_RESET, RESET, SIGN_OUT, VERIFY } from "./operations";
import { done, element, type Field, form, show } from "./view";

const PASSWORD: Field = {
  name: "password",
  label: "New password",
  type: "password",
  autocomplete: "new-password",
  minLength: 10,
  hint: "10 to 128 characters; no common password, and none made of your name.",
};

/** Take the used token out of the address, so that neither the history nor a glance at the screen has it. */
function forgetToken(): void {
  history.replaceState(null, "", window.location.pathname);
}

function resetPassword(token: string): void {
  const fields = form([PASSWORD], "Change the password", async ({ password }) => {
    const { payload, message } = await send(RESET, { token, newPassword: password });
    if (payload === null) return message;
    forgetToken();
    done("Your password has been changed", `Sign in as ${String(payload.email)} with the new one.`);
    return null;
  });
  const again = element("p", {}, element("small", {}, "Does the link not work any more? "), askAgain());
  show("Choose a new password", element("p", {}, "All devices will be signed out."), fields, again);
}

function acceptInvitation(token: string): void {
  const name: Field = {
    name: "name",
    label: "Your name",
    type: "text",
    autocomplete: "name",
    required: false,
    hint: "Leave it empty to take the name in the invitation, if it has one.",
  };
  const fields = form([name, { ...PASSWORD, label: "Password" }], "Join", async (values) => {
    const chosen = (values.name ?? "").trim();
    const { payload, message } = await send(ACCEPT, { token, name: chosen || null, password: values.password });
    if (payload === null) return message;
    forgetToken();
    const { accessToken, user } = payload.session as { accessToken: string; user: { email: string } };
    // This page has no use for the session, and nobody would miss it.
    await send(SIGN_OUT, {}, accessToken);
    done("Welcome", `Your account is ready. Sign in as ${user.email}.`);
    return null;
  });
  show("You are invited", element("p", {}, "Choose a password to join."), fields);
}

function verifyEmail(token: string): void {
  // A button, because programs that look at links in mails on their own must not use it up.
  const fields = form([], "This is my address", async () => {
    const { payload, message } = await send(VERIFY, { token });
    if (payload === null) return message;
    forgetToken();
    done("Thank you", `${String(payload.email)} is verified.`);
    return null;
  });
  show("Confirm your e-mail address", element("p", {}, "One more click, to be sure that it was you."), fields);
}

function requestReset(): void {
  const email: Field = { name: "email", label: "E-mail", type: "email", autocomplete: "username" };
  const fields = form([email], "Send me a link", async (values) => {
    const { payload, message } = await send(REQUEST_RESET, { email: values.email });
    if (payload === null) return message;
    done("Look into your mail", "If there is an account with this address, a link to a new password is on its way.");
    return null;
  });
  show("Forgot your password?", element("p", {}, "We will send a link to a new one."), fields);
}

function askAgain(): HTMLAnchorElement {
  return element("a", { href: "#forgot" }, "Ask for another one");
}

const VIEWS: Record<string, (token: string) => void> = {
  reset: resetPassword,
  invitation: acceptInvitation,
  verify: verifyEmail,
};

function open(): void {
  const [name = "", token = ""] = window.location.hash.slice(1).split("=", 2);
  const view = VIEWS[name];
  if (view !== undefined && token !== "") view(token);
  else requestReset();
}

window.addEventListener("hashchange", open);
open();
