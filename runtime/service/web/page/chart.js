// Scores relative to their thresholds over time; a verdict has a shape, and a click or the arrow keys select a part.

import { byId } from "./dom.js";
import { mark } from "./marks.js";
import { VERDICTS, shareOf } from "./words.js";

const REACH_PX = 28;
const SIZE_PX = 4.5;
const LEAST_TOP = 1.3;
const THRESHOLD_WORD_PX = 70;

/** The chart below the selected part. */
export class ScoreChart {
  /** @param {(number: number) => void} choose called with the number of a part that the user selects */
  constructor(choose) {
    this.place = byId("chart");
    this.choose = choose;
    this.parts = [];
    this.selected = null;
    this.key();
    this.plot = new uPlot(this.options(), [[], []], this.place);
    new ResizeObserver(() => this.plot.setSize(this.size())).observe(this.place);
    this.plot.over.addEventListener("click", (event) => this.click(event));
    this.place.addEventListener("keydown", (event) => this.press(event));
  }

  /** @param {object[]} parts records, the newest first */
  show(parts, selected) {
    this.parts = [...parts].sort((one, other) => one.finished_at - other.finished_at || one.number - other.number);
    this.selected = selected;
    this.plot.setData([this.parts.map((part) => part.finished_at), this.parts.map(heightOf)]);
    const defects = parts.filter((part) => part.verdict === "defect").length;
    this.place.setAttribute("aria-label", `Score relative to threshold of the last ${parts.length} parts, ${defects} of them `
      + "defects. The left and right arrow keys select a part.");
  }

  /** Show which part is selected. */
  mark(selected) {
    this.selected = selected;
    this.redraw();
  }

  redraw() {
    this.plot.redraw(false, true);
  }

  key() {
    byId("chart-key").replaceChildren(...["good", "defect", "error"].map((verdict) => {
      const word = document.createElement("span");
      word.append(mark(verdict), VERDICTS[verdict]);
      return word;
    }));
  }

  options() {
    const axis = { stroke: () => color("--soft"), grid: { stroke: () => color("--line"), width: 1 },
      ticks: { show: false }, font: "12px Inter, system-ui, sans-serif" };
    return {
      ...this.size(),
      padding: [10, THRESHOLD_WORD_PX, 0, 0],
      legend: { show: false },
      cursor: { y: false, points: { show: false }, drag: { x: false, y: false } },
      scales: { x: { time: true, range: (plot, low, high) => widened(low, high) },
        y: { range: (plot, low, high) => [0, Math.max(LEAST_TOP, (high || 0) * 1.1)] } },
      axes: [{ ...axis, values: dayTimes() }, { ...axis, size: 52, values: (plot, ticks) => ticks.map((tick) => `${tick.toFixed(1)} \u00d7`) }],
      series: [{}, { paths: () => null, points: { show: false } }],
      hooks: { draw: [(plot) => this.draw(plot)] },
    };
  }

  size() {
    return { width: Math.max(200, this.place.clientWidth), height: Math.max(120, this.place.clientHeight) };
  }

  draw(plot) {
    const { ctx } = plot, scale = devicePixelRatio;
    ctx.save();
    this.threshold(plot, ctx, scale);
    const colors = { good: color("--good"), defect: color("--defect"), error: color("--error") };
    for (const part of this.parts) {
      const [x, y] = this.at(plot, part, true);
      ctx.fillStyle = ctx.strokeStyle = colors[part.verdict];
      ctx.lineWidth = 2 * scale;
      drawShape(ctx, part.verdict, x, y, SIZE_PX * scale);
      if (part.number === this.selected) ring(ctx, x, y, 10 * scale, color("--ink"), scale);
    }
    ctx.restore();
  }

  threshold(plot, ctx, scale) {
    const y = plot.valToPos(1, "y", true), { left, width } = plot.bbox;
    ctx.strokeStyle = ctx.fillStyle = color("--ink");
    ctx.lineWidth = 1.5 * scale;
    ctx.setLineDash([6 * scale, 4 * scale]);
    ctx.beginPath();
    ctx.moveTo(left, y);
    ctx.lineTo(left + width, y);
    ctx.stroke();
    ctx.setLineDash([]);
    ctx.font = `${12 * scale}px Inter, system-ui, sans-serif`;
    ctx.textAlign = "left";
    ctx.textBaseline = "middle";
    ctx.fillText("threshold", left + width + 6 * scale, y);
  }

  /** Where a part stands, in pixels of the canvas or of the page. */
  at(plot, part, canvas) {
    return [plot.valToPos(part.finished_at, "x", canvas), plot.valToPos(heightOf(part) ?? 0, "y", canvas)];
  }

  click(event) {
    const box = this.plot.over.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    let nearest = null, reach = REACH_PX;
    for (const part of this.parts) {
      const [partX, partY] = this.at(this.plot, part, false);
      const distance = Math.hypot(partX - x, partY - y);
      if (distance < reach) [nearest, reach] = [part, distance];
    }
    if (nearest) this.choose(nearest.number);
  }

  press(event) {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (step === undefined || !this.parts.length) return;
    event.preventDefault();
    const at = this.parts.findIndex((part) => part.number === this.selected);
    const next = Math.min(this.parts.length - 1, Math.max(0, at < 0 ? this.parts.length - 1 : at + step));
    this.choose(this.parts[next].number);
  }
}

/** A part that was not inspected has no score: it stands on the axis. */
function heightOf(part) {
  return shareOf(part.score, part.threshold) ?? 0;
}

/** One part alone, or several at the same moment, have room around them. */
function widened(low, high) {
  if (low === null || low === undefined) return [Date.now() / 1e3 - 60, Date.now() / 1e3];
  const room = Math.max(1, (high - low) * 0.02);
  return [low - room, high + room];
}

/** Times on a clock of 24 hours, with the day where it changes. */
function dayTimes() {
  const [day, hour, minute] = [86400, 3600, 60];
  return [
    [day, "{YYYY}-{MM}-{DD}", null, null, null, null, null, null, 1],
    [hour, "{HH}:{mm}", "\n{YYYY}-{MM}-{DD}", null, "\n{YYYY}-{MM}-{DD}", null, null, null, 1],
    [minute, "{HH}:{mm}", "\n{YYYY}-{MM}-{DD}", null, "\n{YYYY}-{MM}-{DD}", null, null, null, 1],
    [1, "{HH}:{mm}:{ss}", "\n{YYYY}-{MM}-{DD}", null, "\n{YYYY}-{MM}-{DD}", null, null, null, 1],
  ];
}

function drawShape(ctx, verdict, x, y, size) {
  ctx.beginPath();
  if (verdict === "good") {
    ctx.arc(x, y, size * 0.85, 0, 2 * Math.PI);
    ctx.fill();
  } else if (verdict === "defect") {
    ctx.moveTo(x, y - size * 1.2);
    ctx.lineTo(x + size * 1.2, y + size);
    ctx.lineTo(x - size * 1.2, y + size);
    ctx.fill();
  } else {
    ctx.moveTo(x - size, y - size);
    ctx.lineTo(x + size, y + size);
    ctx.moveTo(x + size, y - size);
    ctx.lineTo(x - size, y + size);
    ctx.stroke();
  }
}

function ring(ctx, x, y, radius, stroke, scale) {
  ctx.strokeStyle = stroke;
  ctx.lineWidth = 1.5 * scale;
  ctx.beginPath();
  ctx.arc(x, y, radius, 0, 2 * Math.PI);
  ctx.stroke();
}

function color(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}
