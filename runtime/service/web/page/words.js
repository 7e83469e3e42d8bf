// Numbers and times as people read them; a missing value is a dash.

export const DASH = "\u2013";
export const VERDICTS = { good: "good", defect: "defect", error: "not inspected" };

const WHOLE = new Intl.NumberFormat("en-US");

/** A count: 12,345. */
export function count(value) {
  return isNumber(value) ? WHOLE.format(value) : DASH;
}

/** A number with the digits that tell something: 0.00123, 1.23, 123. */
export function figure(value, digits = 4) {
  if (!isNumber(value)) return DASH;
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size !== 0 && (size >= 1e6 || size < 1e-4)) return value.toExponential(digits - 1);
  return value.toFixed(Math.max(0, Math.min(6, digits - 1 - Math.floor(Math.log10(size)))));
}

/** A score as a multiple of its threshold, with two places: 1.42. */
export function timesThreshold(score, threshold) {
  const share = shareOf(score, threshold);
  return share === null ? DASH : share.toFixed(share < 100 ? 2 : 0);
}

/** The same as a number; null where there is none. */
export function shareOf(score, threshold) {
  return isNumber(score) && isNumber(threshold) && threshold > 0 ? score / threshold : null;
}

/** Milliseconds with one place, from 100 on with none. */
export function milliseconds(value) {
  return isNumber(value) ? value.toFixed(value < 100 ? 1 : 0) : DASH;
}

/** A share in percent. */
export function percent(value, places = 1) {
  return isNumber(value) ? `${(100 * value).toFixed(places)} %` : DASH;
}

/** Meters in millimeters. */
export function millimetres(metres, places = 1) {
  return isNumber(metres) ? (1e3 * metres).toFixed(places) : DASH;
}

/** The time of day of seconds since 1970; another day than today is said too. */
export function clock(seconds) {
  if (!isNumber(seconds)) return DASH;
  const moment = new Date(1e3 * seconds);
  const time = [moment.getHours(), moment.getMinutes(), moment.getSeconds()].map(twoDigits).join(":");
  return moment.toDateString() === new Date().toDateString() ? time : `${day(moment)} ${time}`;
}

/** How long something lasts, roughly: 12 s, 3 min, 2 h. */
export function duration(seconds) {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 3600)} h`;
}

/** The beginning of a digest. */
export function short(digest) {
  return digest ? digest.slice(0, 12) : DASH;
}

/** What a part is called: by the plant, else by its scan. */
export function nameOf(part) {
  return part.part_id ?? part.scan.split(/[\\/]/).slice(-1)[0];
}

export function isNumber(value) {
  return typeof value === "number" && Number.isFinite(value);
}

function day(moment) {
  return `${moment.getFullYear()}-${twoDigits(moment.getMonth() + 1)}-${twoDigits(moment.getDate())}`;
}

function twoDigits(value) {
  return String(value).padStart(2, "0");
}
