// The HTTP interface in words, from the line's own openapi.json.

import { byId, make } from "./dom.js";
import { ask } from "./session.js";
import { startTheme } from "./theme.js";

async function start() {
  startTheme();
  document.querySelector('nav a[href="/docs"]').setAttribute("aria-current", "page");
  try {
    const { paths } = await ask("/openapi.json");
    const operations = Object.entries(paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, operation]) => operationOf(path, method, operation)));
    byId("operations").replaceChildren(...operations);
  } catch (refused) {
    byId("operations").textContent = `The description of the interface cannot be loaded: ${refused.message}.`;
  }
}

function operationOf(path, method, { summary, description, parameters, responses }) {
  return make("section", { class: "operation" },
    make("h2", {}, make("code", {}, make("b", {}, method.toUpperCase()), ` ${path}`)),
    make("p", {}, summary ?? ""),
    description ? make("p", { class: "soft" }, description.split("`").map((piece, index) =>
      (index % 2 ? make("code", {}, piece) : piece))) : null,
    parameters?.length ? parametersOf(parameters) : null,
    make("p", { class: "soft" }, "Responses: ", Object.entries(responses ?? {}).map(([status, { description: words }]) =>
      `${status} ${words}`).join("; ")));
}

function parametersOf(parameters) {
  return make("table", {},
    make("thead", {}, make("tr", {}, ["Parameter", "In", "Type", "Default"].map((name) => make("th", { scope: "col" }, name)))),
    make("tbody", {}, parameters.map(({ name, in: place, required, schema }) => make("tr", {},
      make("td", {}, make("code", {}, name)), make("td", {}, place), make("td", {}, typeOf(schema)),
      make("td", {}, required ? "required" : String(schema.default ?? "\u2013"))))));
}

function typeOf(schema) {
  if (schema.anyOf) return schema.anyOf.filter((one) => one.type !== "null").map(typeOf).join(" or ");
  if (schema.enum) return schema.enum.join(" | ");
  if (schema.const !== undefined) return String(schema.const);
  const bounds = [schema.minimum, schema.maximum].filter((bound) => bound !== undefined);
  return `${schema.type ?? "any"}${bounds.length ? ` (${bounds.join(" to ")})` : ""}`;
}

start();
