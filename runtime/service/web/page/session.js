// Questions to the line; where it asks for its token, a form does, and the question is asked again.

import { byId } from "./dom.js";

/** What the line refused, in its own words. */
export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** The JSON answer of a path. */
export async function ask(path) {
  return (await answered(path)).json();
}

/** The bytes behind a path. */
export async function askBytes(path) {
  return (await answered(path)).arrayBuffer();
}

/** Have the line do something; without a body. */
export async function tell(path) {
  await answered(path, "POST");
}

async function answered(path, method = "GET") {
  for (;;) {
    const response = await fetch(path, { method, credentials: "same-origin" });
    if (response.ok) return response;
    if (response.status !== 401) throw new Refused(response.status, await wordsOf(response));
    await loggedIn();
  }
}

async function wordsOf(response) {
  try {
    return (await response.json()).error.message;
  } catch {
    return `the line answered with status ${response.status}`;
  }
}

let login = null;

/** Done when the token was given; however many ask, there is one form. */
function loggedIn() {
  login ??= new Promise((done) => {
    const dialog = byId("login"), form = byId("login-form"), token = byId("token"), words = byId("login-words");
    const send = async (event) => {
      event.preventDefault();
      const response = await fetch("/v1/login", { method: "POST", body: token.value }).catch(() => null);
      if (!response?.ok) {
        words.textContent = response === null ? "The line does not answer." : `${await wordsOf(response)}.`;
        token.select();
        return;
      }
      token.value = words.textContent = "";
      form.removeEventListener("submit", send);
      dialog.removeEventListener("close", again);
      dialog.close();
      login = null;
      done();
    };
    // Without the token there is nothing behind the form.
    const again = () => dialog.showModal();
    form.addEventListener("submit", send);
    dialog.addEventListener("close", again);
    dialog.showModal();
    token.focus();
  });
  return login;
}
