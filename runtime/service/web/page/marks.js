// What has a color has a shape too: circle, triangle and cross for verdicts, the same family for lamps.

import { makeSvg } from "./dom.js";

const CIRCLE = () => makeSvg("circle", { cx: 8, cy: 8, r: 5.5 });
const TRIANGLE = () => makeSvg("path", { d: "M8 1.8 15 14H1Z" });
const CROSS = () => makeSvg("path", { d: "M3 3 13 13M13 3 3 13", class: "stroke" });
const DIAMOND = () => makeSvg("path", { d: "M8 1 15 8 8 15 1 8Z" });
const RING = () => makeSvg("circle", { cx: 8, cy: 8, r: 5.5, class: "stroke" });
const HALF = () => makeSvg("path", { d: "M8 2.5a5.5 5.5 0 0 1 0 11ZM8 2.5a5.5 5.5 0 0 0 0 11", class: "half" });

const SHAPES = {
  good: CIRCLE, defect: TRIANGLE, error: CROSS,
  ready: CIRCLE, busy: HALF, offline: RING,
  ok: CIRCLE, watch: DIAMOND, alarm: TRIANGLE,
};

/** The mark of a verdict or a lamp; words stand beside it, so it is hidden from screen readers. */
export function mark(kind) {
  const shape = SHAPES[kind] ?? RING;
  return makeSvg("svg", { class: `mark ${kind in SHAPES ? kind : "offline"}`, viewBox: "0 0 16 16", "aria-hidden": "true" },
    shape());
}
