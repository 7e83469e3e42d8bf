// How the line is: its state and counts in the bar, problems, rate, latency, drift lamps and sinks beside the parts.

import { byId, make, row } from "./dom.js";
import { mark } from "./marks.js";
import { tell } from "./session.js";
import { VERDICTS, clock, count, duration, figure, isNumber, milliseconds } from "./words.js";

const STATES = { ready: "ready", busy: "inspecting", error: "error" };
// Measures come in SI units; people read these.
const UNITS = { m: [1e3, "mm"], m2: [1e6, "mm\u00b2"], deg: [1, "\u00b0"] };
const LAMP_WORDS = { ok: "as usual", watch: "watch", alarm: "drifted" };

// The cards by their names: one is drawn anew when what it says has changed, so that nobody's finger meets another button.
const shown = new Map();
let isDriftOpen = false;

/** Show a status of `/v1/status`. */
export function showStatus(status) {
  showState(status.state, STATES[status.state] ?? status.state);
  byId("counts").replaceChildren(
    ...["good", "defect", "error"].map((verdict) => countOf(mark(verdict), VERDICTS[verdict], count(status.parts[verdict]))),
    countOf(null, "parts/min", status.parts_per_minute.toFixed(1)));
  const uptime = duration(Math.max(0, Date.now() / 1e3 - status.started_at));
  const cards = [
    ["problems", problems, [status.problems]],
    ["drift", drift, [status.health ?? []]],
    ["latency", latency, [status.ms, status.ms_from_acceptance]],
    ["throughput", throughput, [status.parts_per_minute.toFixed(1), status.parts.total, status.queue, uptime]],
    ["sinks", sinks, [status.sinks]],
  ].map(([name, draw, values]) => drawn(name, draw, values)).filter(Boolean);
  const place = byId("line-status");
  if (cards.length !== place.children.length || cards.some((card, index) => place.children[index] !== card)) {
    place.replaceChildren(...cards);
  }
}

function drawn(name, draw, values) {
  const said = JSON.stringify(values);
  const before = shown.get(name);
  if (before?.said === said) return before.card;
  const card = draw(...values);
  shown.set(name, { said, card });
  return card;
}

/** The lamp in the bar. */
export function showState(kind, words) {
  const lamp = byId("state");
  if (lamp.textContent === words && lamp.dataset.state === kind) return; // screen readers repeat what is written anew
  lamp.dataset.state = kind;
  lamp.replaceChildren(mark(kind), words);
}

function countOf(sign, term, value) {
  return make("div", {}, make("dt", {}, sign, term), make("dd", {}, value));
}

function card(title, ...content) {
  return make("section", { class: "card" }, make("header", {}, make("h2", {}, title)), ...content);
}

function problems(lines) {
  if (!lines.length) return null;
  const list = make("ul", { class: "problems" }, lines.map((line) => make("li", {}, mark("alarm"), make("span", {}, line))));
  return card(lines.length === 1 ? "1 problem" : `${lines.length} problems`, list);
}

function drift(health) {
  if (!health.length) return card("Drift", make("p", { class: "empty" }, "No drift baseline in this bundle."));
  const several = new Set(health.map((lamp) => lamp.product)).size > 1;
  const items = (lamps) => make("ul", { class: "lamps" }, lamps.map((lamp) => lampOf(lamp, several)));
  const loud = health.filter((lamp) => lamp.lamp !== "ok"), calm = health.filter((lamp) => lamp.lamp === "ok");
  const rest = make("details", { open: isDriftOpen, on: { toggle: (event) => { isDriftOpen = event.target.open; } } },
    make("summary", {}, mark("ok"), `${calm.length} ${calm.length === 1 ? "measure" : "measures"} as usual`), items(calm));
  return card("Drift", loud.length ? items(loud) : null, calm.length ? rest : null);
}

function lampOf(lamp, several) {
  const [factor, unit] = UNITS[lamp.unit] ?? [1, lamp.unit ?? ""];
  const usual = isNumber(lamp.baseline_mean) ? `, usually ${measured(factor * lamp.baseline_mean)}` : "";
  const name = String(lamp.measure).replace(new RegExp(`_(${Object.keys(UNITS).join("|")}|px)$`), "").replaceAll("_", " ");
  const acknowledged = (isNewNormal) => ({ click: (event) => acknowledge(lamp, isNewNormal, event.target.parentElement) });
  return make("li", {},
    mark(lamp.lamp),
    make("span", { class: "name" }, several ? `${lamp.product}: ` : null, name),
    make("span", { class: `word ${lamp.lamp}` }, LAMP_WORDS[lamp.lamp] ?? lamp.lamp),
    make("span", { class: "value" }, isNumber(lamp.value)
      ? `${[measured(factor * lamp.value), unit].join(" ").trimEnd()}${usual}` : `not measured${usual}`),
    lamp.lamp === "ok" || !lamp.message ? null : make("span", { class: "message" }, lamp.message),
    lamp.lamp !== "alarm" ? null : make("span", { class: "message" },
      make("button", { type: "button", title: "The cause was removed: switch off the lamp", on: acknowledged(false) }, "Cause removed"),
      make("button", { type: "button", title: "The change was intended: treat parts from now on as normal",
        on: acknowledged(true) }, "New normal")));
}

/** A measure's value; what is next to nothing is zero. */
function measured(value) {
  return Math.abs(value) < 5e-4 ? "0.000" : figure(value, Math.abs(value) < 1 ? 3 : 4);
}

async function acknowledge({ product, measure }, isNewNormal, place) {
  const query = new URLSearchParams({ product, measure, new_normal: String(isNewNormal) });
  try {
    await tell(`/v1/drift/acknowledge?${query}`);
    place.textContent = "Acknowledged.";
  } catch (refused) {
    place.textContent = `${refused.message}.`;
  }
}

function latency(stages, whole) {
  const times = Object.entries(stages);
  if (!times.length) return card("Latency", make("p", { class: "empty" }, "No parts since the start."));
  const most = Math.max(...times.map(([, { p50 }]) => p50), 1e-9);
  const rows = times.map(([stage, { p50, p99 }]) => row(stage.replaceAll("_", " "), bar(p50 / most),
    ["number", milliseconds(p50)], ["number", milliseconds(p99)]));
  rows.push(make("tr", { class: "total" }, make("th", { scope: "row", colspan: 2 }, "acceptance to result"),
    make("td", { class: "number" }, milliseconds(whole.p50)), make("td", { class: "number" }, milliseconds(whole.p99))));
  return card("Latency, ms", make("table", { class: "latency" },
    make("thead", {}, make("tr", {}, make("th", { scope: "col", colspan: 2 }, "Stage"),
      make("th", { scope: "col", class: "number" }, "p50"), make("th", { scope: "col", class: "number" }, "p99"))),
    make("tbody", {}, rows)));
}

function bar(share) {
  return make("meter", { min: 0, max: 1, value: share.toFixed(3), "aria-hidden": "true" });
}

function throughput(rate, total, queue, uptime) {
  const facts = [
    ["Parts per minute", rate],
    ["Parts since the start", count(total)],
    ["In progress", count(queue.under_way)],
    ["Requests waiting", `${count(queue.requests)} of ${count(queue.request_limit)}`],
    ["Files waiting", count(queue.files)],
    ["Running for", uptime],
  ];
  return card("Throughput", make("dl", { class: "facts" },
    facts.map(([term, value]) => make("div", {}, make("dt", {}, term), make("dd", {}, value)))));
}

function sinks(all) {
  if (!all.length) return null;
  return card("Sinks", make("ul", { class: "lamps" }, all.map((sink) => make("li", {},
    mark(sink.problem ? "alarm" : "ok"),
    make("span", { class: "name" }, sink.name),
    make("span", { class: `word ${sink.problem ? "alarm" : "ok"}` }, sink.problem ? "does not accept results" : "delivering"),
    make("span", { class: "value" }, `${count(sink.waiting)} waiting`),
    sink.problem ? make("span", { class: "message" }, sink.problem) : null))));
}

/** For the bar's lamp while nothing comes. */
export function silenceWords(seconds, lastStatusAt) {
  const since = lastStatusAt === null ? "" : ` The data shown is from ${clock(lastStatusAt / 1e3)}.`;
  return `No connection to the line for ${duration(seconds)}.${since} Reconnecting.`;
}
