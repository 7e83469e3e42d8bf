// Light, dark, or as the system says; the choice stays in this browser.

import { byId, make } from "./dom.js";

const NEXT = { system: "light", light: "dark", dark: "system" };
const WORDS = { system: "System", light: "Light", dark: "Dark" };
const KEY = "cmdiad-theme";

/** Put the theme's button to work; `changed` is called when colors may have changed. */
export function startTheme(changed = () => {}) {
  const button = byId("theme");
  const show = (theme) => {
    if (theme === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    button.replaceChildren("\u25d0", make("span", {}, WORDS[theme]));
    button.setAttribute("aria-label", `Theme: ${WORDS[theme].toLowerCase()}`);
    button.title = "Theme: system, light, or dark";
    button.dataset.theme = theme;
    changed();
  };
  button.addEventListener("click", () => {
    const theme = NEXT[button.dataset.theme];
    remember(theme);
    show(theme);
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", changed);
  show(remembered());
}

function remembered() {
  try {
    const theme = localStorage.getItem(KEY);
    return theme in NEXT ? theme : "system";
  } catch {
    return "system"; // a browser that keeps nothing
  }
}

function remember(theme) {
  try {
    localStorage.setItem(KEY, theme);
  } catch {
    // it is then asked again next time
  }
}
