// The selected part: its verdict, the heat map, the cloud, its regions, and what else is known of it.

import { SCALE_END, SCALE_START, scaleColor } from "./colors.js";
import { byId, make, makeSvg, row } from "./dom.js";
import { mark } from "./marks.js";
import { askBytes } from "./session.js";
import {
  DASH, VERDICTS, clock, count, figure, isNumber, millimetres, milliseconds, nameOf, percent, shareOf, short, timesThreshold,
} from "./words.js";

const METER_END = 2;

/** The card in the middle. */
export class PartView {
  constructor() {
    this.number = null;
    this.heading = make("header", { class: "verdict-line" });
    this.picture = make("div", { class: "frame" });
    this.canvas = make("canvas", { tabindex: 0, role: "img", "aria-label":
      "The scan in 3D, colored by anomaly. Arrow keys rotate, plus and minus zoom, 0 resets." });
    this.words = make("p", { class: "over" });
    this.facts = make("div", { class: "details", tabindex: 0, role: "group", "aria-label": "Details of the part" });
    this.reset = make("button", { type: "button", class: "corner", on: { click: () => this.cloud?.reset() } }, "Reset view");
    this.body = make("div", { class: "views" },
      make("figure", {}, this.picture, make("figcaption", {}, "Heat map over the scan")),
      make("figure", {}, make("div", { class: "frame" }, this.canvas, this.words, this.reset),
        make("figcaption", {}, "3D: drag to rotate, pinch or click and scroll to zoom")));
    this.cloud = undefined; // not tried yet; null where there is no WebGL
    byId("part").replaceChildren(make("p", { class: "empty" }, "No part is selected."));
  }

  /** @param {object} part a record */
  show(part) {
    if (part.number === this.number) return;
    if (this.number === null) byId("part").replaceChildren(this.heading, this.body, legend(), this.facts);
    this.number = part.number;
    this.reset.hidden = this.cloud === null || part.verdict === "error";
    this.heading.replaceChildren(...headingOf(part).filter(Boolean));
    this.showPicture(part);
    this.facts.replaceChildren(...detailsOf(part));
    this.showCloud(part);
  }

  showPicture(part) {
    if (!part.result.files?.heatmap) {
      this.picture.replaceChildren(make("p", { class: "over" }, part.verdict === "error"
        ? "There is no heat map: the part was not inspected." : "The heat map of this part was not saved."));
      return;
    }
    const image = make("img", { alt: `Heat map of ${nameOf(part)}, ${VERDICTS[part.verdict]}`, decoding: "async" });
    const marks = makeSvg("svg", { class: "region-marks", "aria-hidden": "true" });
    image.addEventListener("load", () => {
      if (this.number !== part.number) return;
      markRegions(marks, part.result.regions ?? [], image.naturalWidth, image.naturalHeight);
      this.picture.replaceChildren(image, marks);
    });
    image.addEventListener("error", () => {
      if (this.number !== part.number) return;
      this.picture.replaceChildren(make("p", { class: "over" }, "The heat map is no longer kept."));
    });
    image.src = `/v1/parts/${part.number}/heatmap`; // the picture before stays until this one is here
  }

  async showCloud(part) {
    if (part.verdict === "error") {
      this.cloud?.clear();
      this.words.textContent = "There is no 3D view: the part was not inspected.";
      return;
    }
    try {
      const [points, cloud] = await Promise.all([askBytes(`/v1/parts/${part.number}/points`), this.opened()]);
      if (this.number !== part.number) return;
      this.words.textContent = cloud ? "" : "This browser has no WebGL 2: the heat map shows the same anomalies.";
      cloud?.show(new Float32Array(points));
      this.canvas.dataset.number = part.number;
    } catch (refused) {
      if (this.number !== part.number) return;
      this.cloud?.clear();
      this.words.textContent = sentence(refused.message);
    }
  }

  /** The 3D view, whose library is loaded when it is needed first; null where the browser cannot draw it. */
  async opened() {
    if (this.cloud === undefined) {
      this.cloud = null;
      const { CloudView } = await import("./cloud.js");
      try {
        this.cloud = new CloudView(this.canvas);
      } catch {
        this.canvas.hidden = this.reset.hidden = true;
      }
    }
    return this.cloud;
  }
}

function headingOf(part) {
  const share = shareOf(part.score, part.threshold);
  return [
    make("div", { class: `headline ${part.verdict}` }, mark(part.verdict), make("strong", {}, VERDICTS[part.verdict])),
    make("h2", {}, nameOf(part)),
    share === null ? null : make("div", { class: "score" },
      make("span", { class: "times" }, `${timesThreshold(part.score, part.threshold)} \u00d7 threshold`),
      meterOf(share, part.verdict),
      make("span", { class: "soft" }, `score ${figure(part.score)}, threshold ${figure(part.threshold)}`)),
  ];
}

/** A bar from zero to twice the threshold, with the threshold in its middle. */
function meterOf(share, verdict) {
  return makeSvg("svg", { class: `share-meter ${verdict}`, viewBox: "0 0 200 14", preserveAspectRatio: "none", "aria-hidden": "true" },
    makeSvg("rect", { class: "track", x: 0, y: 4, width: 200, height: 6, rx: 3 }),
    makeSvg("rect", { class: "fill", x: 0, y: 4, width: (200 * Math.min(share, METER_END)) / METER_END, height: 6, rx: 3 }),
    makeSvg("rect", { class: "tick", x: 200 / METER_END - 1, y: 0, width: 2, height: 14 }));
}

/** The regions' numbers beside their peaks. */
function markRegions(marks, regions, width, height) {
  marks.setAttribute("viewBox", `0 0 ${width} ${height}`);
  const size = Math.max(width, height) / 26;
  const places = regions.map((region) => [region.number, region.peak_row, region.peak_column]);
  marks.replaceChildren(...places.filter(([, peakRow, peakColumn]) => isNumber(peakRow) && isNumber(peakColumn)).map(
    ([number, peakRow, peakColumn]) => {
      const x = Math.min(width - size, peakColumn + 1.8 * size), y = Math.max(size, peakRow - 1.8 * size);
      return makeSvg("g", {}, makeSvg("path", { d: `M${x} ${y}L${peakColumn} ${peakRow}` }),
        makeSvg("circle", { cx: x, cy: y, r: size * 0.8 }),
        makeSvg("text", { x, y, "font-size": size, "text-anchor": "middle", "dominant-baseline": "central" }, String(number)));
    }));
}

function legend() {
  const stops = Array.from({ length: 11 }, (_, index) => makeSvg("stop", { offset: `${10 * index}%`,
    "stop-color": `rgb(${scaleColor(index / 10).map(Math.round).join(" ")})` }));
  const ticks = [SCALE_START, 1, 1.5, SCALE_END];
  const at = (share) => (300 * (share - SCALE_START)) / (SCALE_END - SCALE_START);
  return make("div", { class: "legend" },
    make("span", {}, "Anomaly \u00f7 pixel threshold"),
    makeSvg("svg", { viewBox: "-18 0 336 30", role: "img", "aria-label": "Colors from half the threshold, violet, to twice "
      + "the threshold, pale yellow; below half the threshold the scan is gray" },
      makeSvg("defs", {}, makeSvg("linearGradient", { id: "scale" }, stops)),
      makeSvg("rect", { x: 0, y: 0, width: 300, height: 12, fill: "url(#scale)" }),
      ticks.map((tick) => makeSvg("path", { d: `M${at(tick)} 12v4`, class: "tick" })),
      ticks.map((tick) => makeSvg("text", { x: at(tick), y: 27, "text-anchor": "middle" }, `${tick} \u00d7`))),
    make("span", { class: "soft" }, "gray: below half the threshold"));
}

function detailsOf(part) {
  const { result } = part;
  const alarms = (result.drift_alarms ?? []).map((alarm) =>
    make("p", { class: "note" }, mark("alarm"), make("span", {}, `Drift: ${alarm.message}`)));
  return [
    ...alarms,
    result.error ? make("p", { class: "wrong" }, mark("error"), make("span", {}, sentence(result.error.message))) : null,
    result.regions?.length ? regionsOf(result.regions, result.regions_found) : null,
    make("dl", { class: "facts" }, factsOf(part).map(([term, value]) =>
      make("div", {}, make("dt", {}, term), make("dd", {}, value)))),
  ].filter(Boolean);
}

function regionsOf(regions, total) {
  const head = ["Region", "Peak", "Length, mm", "Width, mm", "Area, mm\u00b2", "Center x, y, z, mm"];
  const area = (region) => (isNumber(region.area_m2) ? (1e6 * region.area_m2).toFixed(1) : DASH);
  const center = (region) => region.center_m?.map((value) => millimetres(value)).join(", ") ?? DASH;
  const table = make("table", { class: "regions" },
    make("thead", {}, make("tr", {}, head.map((name, index) => make("th", { scope: "col", class: index ? "number" : null }, name)))),
    make("tbody", {}, regions.map((region) => row(String(region.number),
      ["number", figure(region.peak_score, 3)], ["number", millimetres(region.length_m)],
      ["number", millimetres(region.width_m)], ["number", area(region)], ["number", center(region)]))));
  const box = make("div", { class: "regions-box" }, table);
  if (!(total > regions.length)) return box;
  return make("div", {}, box, make("p", { class: "soft" }, `${count(total)} regions in total; those with the highest peaks are listed.`));
}

function factsOf(part) {
  const { result } = part;
  const facts = [
    ["Number", String(part.number)],
    ["Scan", part.scan],
    ["Product", part.product ?? DASH],
    ["Source", part.source],
    ["Finished", clock(part.finished_at)],
    ["Turnaround", `${milliseconds(1e3 * (part.finished_at - part.accepted_at))} ms`],
    ["Bundle", short(part.bundle)],
  ];
  if (isNumber(result.part_diameter_m)) facts.push(["Part's diameter", `${millimetres(result.part_diameter_m)} mm`]);
  if (isNumber(result.measured_share)) facts.push(["Measured", percent(result.measured_share)]);
  if (isNumber(result.inspected_share) && result.inspected_share < 1) {
    facts.push(["Inspected share of objects in view", percent(result.inspected_share)]);
  }
  if (result.other_objects?.length) facts.push(["Other objects, not inspected", count(result.other_objects.length)]);
  if (result.tries > 1) facts.push(["Tries", count(result.tries)]);
  return facts;
}

function sentence(message) {
  // A file's name stays as it is.
  const isWord = /^[a-z]+[ ,:]/.test(message);
  return `${isWord ? message[0].toUpperCase() + message.slice(1) : message}.`;
}
