"""`cmdiad-rt history`: what the line found, also while it works."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import typer

from ..runtime.choices import Verdict
from ..runtime.errors import UsageError
from . import console
from .verdicts import WORDS

Form = Literal["table", "csv", "json"]
_FORMS = ("%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S")


def history(
    out: Annotated[Path, typer.Option(help="The folder that watch or serve writes to.")] = Path("inspections"),
    part_id: Annotated[
        str | None, typer.Option(help="Only this part; with a * at the end, all parts whose ID starts like this.")
    ] = None,
    product: Annotated[str | None, typer.Option(help="Only this product.")] = None,
    verdict: Annotated[Verdict | None, typer.Option(help="Only this verdict.")] = None,
    bundle: Annotated[str | None, typer.Option(help="Only the bundle whose digest starts like this.")] = None,
    since: Annotated[datetime | None, typer.Option(formats=list(_FORMS), help="From this time on, UTC.")] = None,
    until: Annotated[datetime | None, typer.Option(formats=list(_FORMS), help="Before this time, UTC.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most this many, the newest first.")] = 100,
    form: Annotated[Form, typer.Option("--format", help="A table, CSV, or one JSON object per line.")] = "table",
    audit: Annotated[
        bool, typer.Option("--audit", help="Print OUT/audit.jsonl instead, verified: who changed which bundle.")
    ] = False,
) -> None:
    """Query the results of a line, newest first, even while it is running.

    Exit codes: 0 done, 2 no journal or audit trail, 4 the audit trail was changed, 74 the journal is damaged.
    """
    if audit:
        if form == "csv" or any(value is not None for value in (part_id, product, verdict, bundle, since, until)):
            raise UsageError("--audit goes with --out, --limit and --format table or json alone: leave out the rest")
        _print_audit(out, limit, form)
        return
    from ..runtime.service.history import CSV_COLUMNS, HistoryQuery, as_row, csv_line, read_history

    query = HistoryQuery(part_id, product, verdict, bundle, _seconds(since), _seconds(until), None, limit)
    records = read_history(out, query)
    if form == "json":
        for record in records:
            console.emit_json(record)
        return
    if form == "csv":
        console.emit(csv_line(CSV_COLUMNS))
        for record in records:
            console.emit(csv_line(as_row(record)))
        return
    rows = [
        [
            str(record.number),
            datetime.fromtimestamp(record.finished_at, UTC).strftime("%Y-%m-%d %H:%M:%S"),
            record.part_id or "-",
            record.product or "-",
            "-" if record.score is None else f"{record.score:.4f}",
            "-" if record.threshold is None else f"{record.threshold:.4f}",
            WORDS[record.verdict],
            record.scan,
        ]
        for record in records
    ]
    titles = ["number", "finished, UTC", "part ID", "product", "score", "threshold", "verdict", "scan"]
    console.print_table(titles, rows, numeric=(0, 4, 5))
    if len(rows) == limit:
        console.emit(f"\nthe newest {limit}: there may be more (--limit)")


def _print_audit(folder: Path, limit: int, form: Form) -> None:
    """The newest entries of an audit trail, all of whose lines follow each other."""
    from ..runtime.files.audit import AUDIT_FILE, verify_audit

    path = folder / AUDIT_FILE
    entries = verify_audit(path)
    if not entries:
        raise UsageError(f"{path}: there is no audit trail: give the folder of a line, or that of an updated bundle")
    newest = entries[: -limit - 1 : -1]
    if form == "json":
        for entry in newest:
            console.emit_json(entry)
        return
    rows = [
        [
            *(str(entry.number), entry.when_utc, f"{entry.user}@{entry.host}", entry.action),
            *((digest or "-")[:12] for digest in (entry.bundle_before, entry.bundle_after)),
            str(len(entry.scans)),
            ", ".join(f"{name} {value}" for name, value in entry.details.items()),
        ]
        for entry in newest
    ]
    titles = ["number", "when, UTC", "who", "action", "bundle before", "after", "scans", "details"]
    console.print_table(titles, rows, numeric=(0, 6))
    console.emit(f"\n{path}: {len(entries)} entries, each follows the one before")


def _seconds(moment: datetime | None) -> float | None:
    return None if moment is None else moment.replace(tzinfo=UTC).timestamp()
