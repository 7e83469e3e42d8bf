// The last parts, the newest on top: arrow keys and touch select one.

import { byId, make } from "./dom.js";
import { mark } from "./marks.js";
import { VERDICTS, clock, nameOf, timesThreshold } from "./words.js";

const SHOWN = 100;

/** The list beside the selected part. */
export class PartList {
  /** @param {(number: number) => void} choose called with the number of a part that the user selects */
  constructor(choose) {
    this.list = byId("parts");
    this.choose = choose;
    this.numbers = [];
    this.selected = null;
    this.list.addEventListener("keydown", (event) => this.press(event));
    this.list.addEventListener("click", (event) => {
      const option = event.target.closest("[role=option]");
      if (option) this.choose(Number(option.dataset.number));
    });
  }

  /** @param {object[]} parts records, the newest first */
  show(parts, selected) {
    const shown = parts.slice(0, SHOWN);
    const wanted = new Set(shown.map((part) => part.number));
    const present = new Map();
    for (const option of [...this.list.children]) {
      if (wanted.has(Number(option.dataset.number))) present.set(Number(option.dataset.number), option);
      else option.remove();
    }
    shown.forEach((part, index) => {
      const option = present.get(part.number) ?? optionOf(part);
      if (this.list.children[index] !== option) this.list.insertBefore(option, this.list.children[index] ?? null);
    });
    this.numbers = shown.map((part) => part.number);
    this.mark(selected);
    byId("no-parts").hidden = shown.length > 0;
  }

  /** Show which part is selected, without taking the focus. */
  mark(selected) {
    this.selected = selected;
    for (const option of this.list.children) {
      option.setAttribute("aria-selected", String(Number(option.dataset.number) === selected));
    }
    const option = this.numbers.includes(selected) ? `part-${selected}` : null;
    if (option) this.list.setAttribute("aria-activedescendant", option);
    else this.list.removeAttribute("aria-activedescendant");
  }

  press(event) {
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10, Home: -SHOWN, End: SHOWN }[event.key];
    if (step === undefined || !this.numbers.length) return;
    event.preventDefault();
    const at = this.numbers.indexOf(this.selected);
    const next = Math.min(this.numbers.length - 1, Math.max(0, at < 0 ? 0 : at + step));
    this.choose(this.numbers[next]);
    byId(`part-${this.numbers[next]}`)?.scrollIntoView({ block: "nearest" });
  }
}

function optionOf(part) {
  return make("li", { role: "option", id: `part-${part.number}`, "data-number": part.number, "aria-selected": "false" },
    mark(part.verdict),
    make("span", { class: "name" }, nameOf(part)),
    make("span", { class: part.score === null ? "dash" : "share", title: "score relative to threshold" },
      timesThreshold(part.score, part.threshold)),
    make("span", { class: `verdict ${part.verdict}` }, VERDICTS[part.verdict]),
    make("time", {}, clock(part.finished_at)));
}
