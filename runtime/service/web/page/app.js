// The live page: what comes from the line goes to the views, and what is selected in one is shown in all.

import { Bundles } from "./bundles.js";
import { ScoreChart } from "./chart.js";
import { byId } from "./dom.js";
import { Feed } from "./feed.js";
import { History } from "./history.js";
import { showState, showStatus, silenceWords } from "./line_status.js";
import { PartList } from "./part_list.js";
import { PartView } from "./part_view.js";
import { ask } from "./session.js";
import { startTheme } from "./theme.js";
import { VERDICTS, nameOf, timesThreshold } from "./words.js";

const KEPT = 500;
// A fast line shows some of its newest parts, and all of them in list and chart.
const REST_MS = 400;
const VIEWS = ["live", "history", "bundles"];

let parts = []; // records, the newest first
let selected = null; // the record that is shown
let follows = true;
let statusAt = null;
let hasAnswer = false; // before the line's first answer nobody knows whether there are parts
let isDrawing = false;
let shownAt = 0;

const list = new PartList(pin);
const chart = new ScoreChart(pin);
const view = new PartView();
const history = new History();
const bundles = new Bundles();

function shownInChart() {
  return parts.slice(0, Number(byId("chart-length").value));
}

/** Show everything anew, at most once for a picture of the screen, and a rest apart. */
function draw() {
  if (isDrawing || !hasAnswer) return;
  isDrawing = true;
  const wait = Math.max(0, shownAt + REST_MS - Date.now());
  setTimeout(() => requestAnimationFrame(() => {
    isDrawing = false;
    shownAt = Date.now();
    if (follows && parts.length) selected = parts[0];
    list.show(parts, selected?.number ?? null);
    chart.show(shownInChart(), selected?.number ?? null);
    if (selected) view.show(selected);
  }), wait);
}

function take(record) {
  if (parts.some((part) => part.number === record.number)) return;
  parts.push(record);
  parts.sort((one, other) => other.number - one.number);
  parts.length = Math.min(parts.length, KEPT);
  if (record.verdict !== "good") announce(record);
  draw();
}

function takeAll(records) {
  hasAnswer = true;
  const known = new Map([...parts, ...records].map((record) => [record.number, record]));
  parts = [...known.values()].sort((one, other) => other.number - one.number).slice(0, KEPT);
  draw();
}

function announce(record) {
  const share = record.verdict === "defect" ? `, ${timesThreshold(record.score, record.threshold)} times the threshold` : "";
  byId("announcement").textContent = `${nameOf(record)}: ${VERDICTS[record.verdict]}${share}`;
}

/** The user has chosen a part: it stays until the newest are followed again. */
function pin(number) {
  const record = parts.find((part) => part.number === number);
  if (record) show(record);
  else byNumber(number);
}

async function byNumber(number) {
  try {
    show(await ask(`/v1/parts/${number}`));
  } catch (refused) {
    byId("announcement").textContent = refused.message;
  }
}

function show(record) {
  selected = record;
  setFollowing(false);
  list.mark(record.number);
  chart.mark(record.number);
  view.show(record);
}

function setFollowing(following) {
  follows = following;
  if (follows && location.hash.startsWith("#part/")) window.history.replaceState(null, "", "#live");
  byId("follow").setAttribute("aria-pressed", String(follows));
}

/** The view that the address names: #live, #history, #bundles, or #part/NUMBER. */
function route() {
  const [name, number] = location.hash.slice(1).split("/");
  if (name === "content") return; // the link that skips the bar
  const shown = VIEWS.includes(name) ? name : "live";
  for (const other of VIEWS) byId(other).hidden = other !== shown;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.hash === `#${shown}` && link.pathname === "/") link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (shown === "history") history.search();
  if (shown === "bundles") bundles.load();
  if (name === "part" && /^\d+$/.test(number ?? "")) pin(Number(number));
}

const feed = new Feed({
  parts: takeAll,
  part: take,
  status(status) {
    statusAt = Date.now();
    showStatus(status);
    history.showProducts(status.products.map((product) => product.name));
  },
  silence(seconds) {
    const banner = byId("silence");
    document.body.classList.toggle("stale", seconds > 0);
    if (seconds) showState("offline", "no connection");
    banner.textContent = seconds ? silenceWords(seconds, statusAt) : "";
    banner.hidden = !seconds;
  },
});

byId("follow").addEventListener("click", () => {
  setFollowing(!follows);
  draw();
});
byId("chart-length").addEventListener("change", draw);
addEventListener("hashchange", route);
startTheme(() => chart.redraw());
route();
feed.start();
