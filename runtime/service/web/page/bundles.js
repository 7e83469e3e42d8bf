// Two bundles side by side: what they made of their parts, and what their manifests say.

import { byId, make, makeSvg } from "./dom.js";
import { ask } from "./session.js";
import { DASH, clock, count, figure, isNumber, percent, shareOf, short } from "./words.js";

/** The view that compares. */
export class Bundles {
  constructor() {
    this.bundles = [];
    this.choices = [byId("bundle-a"), byId("bundle-b")];
    for (const choice of [...this.choices, byId("differing")]) choice.addEventListener("change", () => this.compare());
    byId("bundles-again").addEventListener("click", () => this.load());
  }

  async load() {
    try {
      this.bundles = merged(await ask("/v1/bundles"));
    } catch (refused) {
      byId("bundles-words").textContent = `${refused.message}.`;
      return;
    }
    this.choices.forEach((choice, side) => {
      const chosen = choice.value || this.bundles[Math.min(side, this.bundles.length - 1)]?.digest;
      choice.replaceChildren(...this.bundles.map((bundle) => make("option", { value: bundle.digest }, nameOfBundle(bundle))));
      choice.value = chosen ?? "";
    });
    this.compare();
  }

  compare() {
    const [one, other] = this.choices.map((choice) => this.bundles.find((bundle) => bundle.digest === choice.value));
    if (!one || !other) return;
    byId("bundles-words").textContent = this.words(one, other);
    const onlyDiffering = byId("differing").checked;
    const groups = [["Results", partRows(one, other)], ["Manifest", manifestRows(one, other)]];
    byId("comparison").replaceChildren(spread(one, other), make("table", { class: "comparison" },
      make("thead", {}, make("tr", {}, ["", "A", "B", "B \u2212 A"].map((name, index) =>
        make("th", { scope: "col", class: index ? "number" : null }, name)))),
      groups.map(([title, rows]) => make("tbody", {},
        make("tr", {}, make("th", { scope: "rowgroup", colspan: 4 }, title)),
        rows.filter((entry) => !onlyDiffering || entry.differs).map(rowOf)))));
  }

  words(one, other) {
    if (this.bundles.length === 1) return "Only one bundle has inspected parts so far: there is nothing to compare it with.";
    if (one === other) return "A and B are the same bundle: choose a different one.";
    const unknown = [one, other].filter((bundle) => !bundle.manifest);
    return unknown.length
      ? `The manifest of ${unknown.map((bundle) => short(bundle.digest)).join(" and ")} is not available: the bundle is no longer in use.`
      : "";
  }
}

/** Every bundle once: those at work first, then those that the journal knows of. */
function merged({ products, bundles }) {
  const all = new Map();
  for (const product of products) {
    if (product.digest) all.set(product.digest, { digest: product.digest, product: product.name, manifest: product });
  }
  for (const figures of [...bundles].sort((a, b) => b.last_at - a.last_at)) {
    const known = all.get(figures.bundle) ?? { digest: figures.bundle, product: figures.product };
    all.set(figures.bundle, { ...known, figures });
  }
  return [...all.values()];
}

function nameOfBundle({ digest, product, manifest, figures }) {
  const parts = figures ? `${count(figures.parts)} parts` : "no parts";
  return `${short(digest)} \u2013 ${product ?? "no product"}, ${parts}${manifest ? ", in use" : ""}`;
}

function partRows(one, other) {
  const by = (name, value, show, showChange = show) => {
    const [a, b] = [value(one.figures ?? {}), value(other.figures ?? {})];
    const change = isNumber(a) && isNumber(b) ? b - a : null;
    const sign = change > 0 ? "+" : "\u2212";
    return { name, a: show(a), b: show(b), differs: a !== b,
      change: change === null ? "" : change === 0 ? "0" : `${sign}${showChange(Math.abs(change))}` };
  };
  const share = (pick) => (figures) => shareOf(pick(figures), figures.threshold);
  const quantile = (name) => (figures) => figures.score_quantiles?.[name];
  return [
    { ...by("Parts inspected", (figures) => figures.parts, count), differs: false },
    by("Share of defects", (figures) => (figures.parts ? figures.defects / figures.parts : undefined), percent,
      (change) => `${(100 * change).toFixed(1)} points`),
    by("Threshold", (figures) => figures.threshold, figure),
    by("Score, mean", (figures) => figures.score_mean, figure),
    by("Score, standard deviation", (figures) => figures.score_std, figure),
    by("Score, 5 % quantile", quantile("0.05"), figure),
    by("Score, median", quantile("0.5"), figure),
    by("Score, 95 % quantile", quantile("0.95"), figure),
    by("Median relative to threshold", share(quantile("0.5")), figure),
    by("95 % quantile relative to threshold", share(quantile("0.95")), figure),
    { ...by("First part", (figures) => figures.first_at, clock), differs: false, change: "" },
    { ...by("Last part", (figures) => figures.last_at, clock), differs: false, change: "" },
  ];
}

function manifestRows(one, other) {
  const [a, b] = [factsOf(one.manifest), factsOf(other.manifest)];
  return [...new Set([...a.keys(), ...b.keys()])].map((name) => {
    const [left, right] = [a.get(name), b.get(name)];
    const isComparable = Boolean(one.manifest && other.manifest);
    return { name, a: left ?? DASH, b: right ?? DASH, differs: isComparable && left !== right, change: "" };
  });
}

/** A manifest's facts by their names; what is nested has its path. */
function factsOf(manifest) {
  const facts = new Map();
  const add = (name, value) => {
    if (value !== null && typeof value === "object" && !Array.isArray(value)) {
      for (const [key, inner] of Object.entries(value)) add(name ? `${name}, ${key}` : key, inner);
    } else if (value !== null && value !== undefined) {
      facts.set(name.replaceAll("_", " "), isNumber(value) && !Number.isInteger(value) ? figure(value, 6) : wordOf(value));
    }
  };
  if (!manifest) return facts;
  const { digest, name, path, problem, swaps, loaded_at: loadedAt, ...said } = manifest;
  add("digest", digest);
  add("product on this line", name);
  add("path", path);
  add("in use since", clock(loadedAt));
  add("", said);
  return facts;
}

function wordOf(value) {
  return typeof value === "string" ? value : JSON.stringify(value);
}

function rowOf({ name, a, b, differs, change }) {
  return make("tr", { class: differs ? "differs" : null },
    make("th", { scope: "row" }, differs ? make("span", { class: "sign", title: "differs" }, "\u2260") : null, name),
    make("td", { class: "number" }, a), make("td", { class: "number" }, b), make("td", { class: "number" }, change));
}

/** Both bundles' scores by their thresholds: from the 5 % to the 95 % quantile, with the median and the threshold. */
function spread(one, other) {
  const sides = [["A", one], ["B", other]].map(([name, { figures }]) => [name, figures && ["0.05", "0.5", "0.95"].map(
    (quantile) => shareOf(figures.score_quantiles[quantile], figures.threshold))]);
  const values = sides.flatMap(([, shares]) => shares ?? []).filter(isNumber);
  if (!values.length) return make("p", { class: "empty" }, "No part has been inspected by these bundles.");
  const end = Math.max(1.25, ...values) * 1.05;
  const at = (share) => 30 + (560 * Math.max(0, share)) / end;
  return make("figure", { class: "spread" },
    makeSvg("svg", { viewBox: "0 0 600 96", role: "img", "aria-label": "Scores relative to threshold of bundle A and bundle B" },
      sides.map(([name, shares], index) => bandOf(name, shares, 22 + 30 * index, at)),
      makeSvg("path", { class: "threshold", d: `M${at(1)} 6V70` }),
      makeSvg("text", { x: at(1), y: 86, "text-anchor": "middle" }, "threshold"),
      makeSvg("text", { x: at(0), y: 86, "text-anchor": "middle" }, "0")),
    make("figcaption", {}, "Scores relative to threshold: 5 % to 95 % of the parts, and their median"));
}

function bandOf(name, shares, y, at) {
  if (!shares?.every(isNumber)) return makeSvg("text", { x: 8, y: y + 5 }, `${name}  no parts`);
  const [low, middle, high] = shares.map(at);
  return makeSvg("g", { class: "band" },
    makeSvg("text", { x: 8, y: y + 5 }, name),
    makeSvg("rect", { x: low, y: y - 8, width: Math.max(2, high - low), height: 16, rx: 3 }),
    makeSvg("path", { d: `M${middle} ${y - 11}v22` }));
}
