"""Questions to the journal: which parts, with what verdicts, and what every bundle made of its parts."""

from __future__ import annotations

import csv
import io
import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..choices import Verdict
from ..errors import OutputError, UsageError
from .arrival import PartRecord
from .journal import NAME, Journal, require_version
from .journal_record import RECORD_COLUMNS, read_record

MOST_AT_ONCE = 1000
_NEWEST = 5000
_NUMBER = re.compile(r"-?\d+(\.\d+)?(e[-+]?\d+)?")
_FACTS = PartRecord.__struct_fields__[:-1]  # all but `result`, of which a row has a few
CSV_COLUMNS = (*_FACTS, "error", "heatmap", "map")


@dataclass(frozen=True)
class HistoryQuery:
    """Which results are wanted, the newest first; what is None does not restrict.

    Attributes:
        part_id: of the part, or its beginning where it ends in `*`.
        product: what inspected it.
        verdict: good, defect or error.
        bundle: the digest of the bundle, or its beginning.
        since, until: when the result was made, seconds since 1970.
        before: numbers smaller than this, to go on where the last answer ended.
        limit: how many at most.
    """

    part_id: str | None = None
    product: str | None = None
    verdict: Verdict | None = None
    bundle: str | None = None
    since: float | None = None
    until: float | None = None
    before: int | None = None
    limit: int = 100

    def as_sql(self) -> tuple[str, list[Any]]:
        """The query of a record's columns, and its values."""
        conditions: list[tuple[str, Any]] = [("state = ?", "done")]
        if self.part_id is not None:
            pattern = _literal(self.part_id.removesuffix("*"))
            is_beginning = self.part_id.endswith("*")
            conditions.append(("part_id GLOB ?", f"{pattern}*") if is_beginning else ("part_id = ?", self.part_id))
        if self.bundle is not None:
            conditions.append(("bundle GLOB ?", f"{_literal(self.bundle)}*"))
        for column, value in (("product = ?", self.product), ("verdict = ?", self.verdict)):
            if value is not None:
                conditions.append((column, value))
        bounds = (("finished_at >= ?", self.since), ("finished_at < ?", self.until), ("number < ?", self.before))
        conditions += [(condition, value) for condition, value in bounds if value is not None]
        where = " AND ".join(condition for condition, _ in conditions)
        query = f"SELECT {RECORD_COLUMNS} FROM parts WHERE {where} ORDER BY number DESC LIMIT ?"
        return query, [*(value for _, value in conditions), self.limit]


def part(journal: Journal, number: int) -> PartRecord | None:
    """One result; None: there is none of that number."""
    query = f"SELECT {RECORD_COLUMNS} FROM parts WHERE number = ? AND state = 'done'"
    return next(iter(journal.records(query, [number])), None)


def bundle_figures(journal: Journal, product: str | None = None) -> list[dict[str, Any]]:
    """What every bundle made of its newest parts: how many, how they scored, how many it rejected."""
    records = journal.records(*HistoryQuery(product=product, limit=_NEWEST).as_sql())
    by_bundle: dict[str, list[PartRecord]] = {}
    for record in records:
        if record.bundle is not None and record.score is not None:
            by_bundle.setdefault(record.bundle, []).append(record)
    return [_figures(digest, parts) for digest, parts in by_bundle.items()]


def _figures(digest: str, parts: Sequence[PartRecord]) -> dict[str, Any]:
    scores = np.array([record.score for record in parts], np.float64)
    threshold = parts[0].threshold
    return {
        "bundle": digest,
        "product": parts[0].product,
        "parts": len(parts),
        "defects": sum(record.verdict == "defect" for record in parts),
        "threshold": threshold,
        "score_mean": float(scores.mean()),
        "score_std": float(scores.std()),
        "score_quantiles": {f"{q:g}": float(np.quantile(scores, q)) for q in (0.05, 0.5, 0.95)},
        "first_at": min(record.finished_at for record in parts),
        "last_at": max(record.finished_at for record in parts),
    }


def read_history(out: Path, query: HistoryQuery) -> Iterator[PartRecord]:
    """The results of a folder, whether a line works in it now or not.

    Raises:
        OutputError: the journal is damaged, or of another version.
        UsageError: there is no journal.
    """
    path = out / NAME
    if not path.is_file():
        raise UsageError(f"{out}: there is no {NAME} here: give the folder that `watch` or `serve` writes to (--out)")
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            require_version(path, connection.execute("PRAGMA user_version").fetchone()[0])
            for row in connection.execute(*query.as_sql()):
                yield read_record(*row)
    except (sqlite3.Error, ValueError) as cause:
        raise OutputError(f"{path}: cannot be read ({cause}): check the disk") from cause


def as_row(record: PartRecord) -> list[str]:
    """A result as the cells of `CSV_COLUMNS`."""
    values: dict[str, Any] = {name: getattr(record, name) for name in _FACTS}
    files = record.result.get("files", {})
    values |= {"error": record.result.get("error", {}).get("message")}
    values |= {"heatmap": files.get("heatmap"), "map": files.get("map")}
    return ["" if values[name] is None else _harmless(str(values[name])) for name in CSV_COLUMNS]


def csv_line(cells: Sequence[str]) -> str:
    """Cells as one line of CSV."""
    line = io.StringIO()
    # Cells with a character of the line's end in them are quoted, those with a break too.
    csv.writer(line, lineterminator="\r\n").writerow(cells)
    return line.getvalue().removesuffix("\r\n")


def _harmless(cell: str) -> str:
    """A cell that no spreadsheet takes for a formula: names come from outside."""
    is_formula = cell[:1] in ("=", "+", "-", "@", "\t", "\r") and not _NUMBER.fullmatch(cell)
    return f"'{cell}" if is_formula else cell


def _literal(text: str) -> str:
    """Text that GLOB takes as it is written."""
    return "".join(f"[{character}]" if character in "*?[" else character for character in text)
