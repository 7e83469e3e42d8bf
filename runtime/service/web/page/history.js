// The history: results by part ID, product, verdict and time, page by page.

import { byId, make } from "./dom.js";
import { mark } from "./marks.js";
import { ask } from "./session.js";
import { DASH, VERDICTS, clock, count, figure, nameOf, short, timesThreshold } from "./words.js";

const AT_ONCE = 100;

/** The view with the search form. */
export class History {
  constructor() {
    this.form = byId("search");
    this.rows = byId("history-rows");
    this.next = null;
    this.asked = 0;
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.search();
    });
    this.form.addEventListener("reset", () => setTimeout(() => this.search()));
    byId("more").addEventListener("click", () => this.load(this.next));
  }

  /** Offer the line's products. */
  showProducts(names) {
    const select = this.form.elements.product;
    const offered = [...select.options].slice(1).map((option) => option.value);
    if (offered.join("\n") === names.join("\n")) return;
    const chosen = select.value;
    select.replaceChildren(select.options[0], ...names.map((name) => make("option", { value: name }, name)));
    select.value = names.includes(chosen) ? chosen : "";
  }

  /** Answer the form anew. */
  search() {
    return this.load(null);
  }

  async load(before) {
    const question = ++this.asked;
    try {
      const { parts, next } = await ask(`/v1/history?${this.question(before)}`);
      if (question !== this.asked) return; // a later question has been asked
      if (before === null) this.rows.replaceChildren();
      this.rows.append(...parts.map(rowOf));
      this.next = next;
      this.say();
    } catch (refused) {
      byId("history-words").textContent = `${refused.message}.`;
    }
  }

  say() {
    const shown = this.rows.children.length;
    byId("history-table").hidden = !shown;
    byId("more").hidden = this.next === null;
    byId("history-words").textContent = shown
      ? `${count(shown)} ${shown === 1 ? "result" : "results"}, newest first${this.next === null ? "" : "; there are older ones"}.`
      : "No results match.";
  }

  question(before) {
    const query = new URLSearchParams({ limit: String(AT_ONCE) });
    const { part_id: partId, product, verdict, since, until } = this.form.elements;
    if (partId.value.trim()) query.set("part_id", `${partId.value.trim().replace(/\*$/, "")}*`);
    if (product.value) query.set("product", product.value);
    if (verdict.value) query.set("verdict", verdict.value);
    if (since.value) query.set("since", String(new Date(since.value).getTime() / 1e3));
    // The second that is named is meant too.
    if (until.value) query.set("until", String(new Date(until.value).getTime() / 1e3 + 1));
    if (before !== null) query.set("before", String(before));
    return query;
  }
}

function rowOf(part) {
  const cell = (kind, ...content) => make("td", { class: kind }, ...content);
  return make("tr", {},
    cell("sign", mark(part.verdict), make("span", { class: `verdict ${part.verdict}` }, VERDICTS[part.verdict])),
    cell(null, make("a", { href: `#part/${part.number}` }, nameOf(part))),
    cell("wide", part.scan),
    cell("middle", part.product ?? DASH),
    cell("number wide", figure(part.score)),
    cell("number", timesThreshold(part.score, part.threshold)),
    cell("number", clock(part.finished_at)),
    cell("wide digest", short(part.bundle)));
}
