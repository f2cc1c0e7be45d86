/** Elements by hand: texts are set as text, never as markup. */
export function element<K extends keyof HTMLElementTagNameMap>(
  name: K,
  properties: Partial<HTMLElementTagNameMap[K]> = {},
  ...children: (Node | string)[]
): HTMLElementTagNameMap[K] {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

export interface Field {
  name: string;
  label: string;
  type: "text" | "email" | "password";
  autocomplete: AutoFill;
  hint?: string;
  required?: boolean;
  minLength?: number;
}

function labelled(field: Field): HTMLLabelElement {
  const input = element("input", {
    name: field.name,
    type: field.type,
    autocomplete: field.autocomplete,
    required: field.required ?? true,
    minLength: field.minLength ?? 0,
  });
  return element("label", {}, field.label, input, ...(field.hint ? [element("small", {}, field.hint)] : []));
}

const root = document.getElementById("account") as HTMLElement;

/** Replace the page's content by a heading and what follows it. */
export function show(heading: string, ...children: Node[]): void {
  root.replaceChildren(element("h1", {}, heading), ...children);
}

/** The end of a road: what has happened, and what to do next. */
export function done(heading: string, text: string): void {
  show(heading, element("p", { role: "status" }, text));
}

/** A form whose answer is an error to be shown, or null when it has moved on. */
export function form(
  fields: Field[],
  action: string,
  submit: (values: Record<string, string>) => Promise<string | null>,
): HTMLFormElement {
  const alert = element("p", { role: "alert" });
  const button = element("button", { type: "submit" }, action);
  const made = element("form", {}, ...fields.map(labelled), alert, button);
  made.addEventListener("submit", async (event) => {
    event.preventDefault();
    const values = Object.fromEntries([...new FormData(made)].map(([name, value]) => [name, String(value)]));
    button.disabled = true;
    alert.textContent = "";
    const problem = await submit(values);
    button.disabled = false;
    alert.textContent = problem ?? "";
  });
  return made;
}
