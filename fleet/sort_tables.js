"use strict";
// Figures go before words; "3 of 20" and "+1.5%" count as their first number, "-" comes last either way.
function keyOf(row, column) {
  const text = row.cells[column].textContent.trim();
  const number = Number.parseFloat(text);
  return { text, number, isNumber: !Number.isNaN(number), isMissing: text === "-" };
}

function compare(one, other, sign) {
  if (one.isMissing !== other.isMissing) return one.isMissing ? 1 : -1;
  if (one.isNumber && other.isNumber && one.number !== other.number) return sign * (one.number - other.number);
  if (one.isNumber !== other.isNumber) return one.isNumber ? -1 : 1;
  return sign * one.text.localeCompare(other.text, "en", { numeric: true });
}

function sortBy(heading) {
  const ascending = heading.getAttribute("aria-sort") !== "ascending";
  for (const other of heading.parentNode.cells) other.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", ascending ? "ascending" : "descending");
  const body = heading.closest("table").tBodies[0];
  const keyed = [...body.rows].map((row) => ({ row, key: keyOf(row, heading.cellIndex) }));
  keyed.sort((one, other) => compare(one.key, other.key, ascending ? 1 : -1));
  body.append(...keyed.map((entry) => entry.row));
}

for (const heading of document.querySelectorAll("thead th")) {
  heading.tabIndex = 0;
  heading.addEventListener("click", () => sortBy(heading));
  heading.addEventListener("keydown", (event) => {
    if (event.key === "Enter") sortBy(heading);
  });
}
