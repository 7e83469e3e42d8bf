// What the line tells: results and status as they come, what was missed, and that it says nothing any more.

import { ask } from "./session.js";

const SILENT_AFTER_SECONDS = 4;
const REOPEN_SECONDS = 2;
const NEWEST = 500;

/** The line's events; after every interruption the newest results are asked for again. */
export class Feed {
  /**
   * @param {object} heard what is called: `parts(records)` the newest first, `part(record)`, `status(status)`, and
   *   every second `silence(seconds)`, 0 while the line talks
   */
  constructor(heard) {
    this.heard = heard;
    this.lastAt = Date.now();
    this.source = null;
    this.total = null; // parts that the status counted when the newest results were asked for
    this.received = 0;
    this.behind = 0;
  }

  async start() {
    setInterval(() => this.watch(), 1000);
    await this.open();
  }

  async open() {
    try {
      await this.catchUp();
    } catch {
      setTimeout(() => this.open(), 1e3 * REOPEN_SECONDS);
      return;
    }
    this.source = new EventSource("/v1/events");
    this.source.addEventListener("part", (event) => this.take(event, (record) => {
      this.received += 1;
      this.heard.part(record);
    }));
    this.source.addEventListener("status", (event) => this.take(event, (status) => {
      this.compare(status);
      this.heard.status(status);
    }));
    this.source.addEventListener("error", () => this.reopen());
  }

  take(event, use) {
    this.lastAt = Date.now();
    use(JSON.parse(event.data));
  }

  /** A browser does not say why a stream ended: the next question does, and asks for the token where that is it. */
  reopen() {
    this.source.close();
    setTimeout(() => this.open(), 1e3 * REOPEN_SECONDS);
  }

  async catchUp() {
    this.total = null;
    this.received = this.behind = 0;
    const { parts } = await ask(`/v1/history?limit=${NEWEST}`);
    this.heard.parts(parts);
  }

  /** Whether the line counted more results than came: it drops some for those who listen slowly. */
  compare(status) {
    if (this.total === null) {
      this.total = status.parts.total;
      this.received = 0;
      return;
    }
    this.behind = status.parts.total - this.total > this.received ? this.behind + 1 : 0;
    if (this.behind > 1) this.catchUp().catch(() => {}); // the watch says so if the line is gone
  }

  watch() {
    const seconds = (Date.now() - this.lastAt) / 1e3;
    this.heard.silence(seconds > SILENT_AFTER_SECONDS ? seconds : 0);
  }
}
