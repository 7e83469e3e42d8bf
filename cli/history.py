"""`cmdiad-rt history`: what the line found, also while it works."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import typer

from ..runtime.choices import Verdict
from . import console
from .verdicts import WORDS

Form = Literal["table", "csv", "json"]
_FORMS = ("%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S")


def history(
    out: Annotated[Path, typer.Option(help="The folder that watch or serve writes to.")] = Path("inspections"),
    part_id: Annotated[str | None, typer.Option(help="Of this part; with * at its end, of all that begin so.")] = None,
    product: Annotated[str | None, typer.Option(help="Inspected as this product.")] = None,
    verdict: Annotated[Verdict | None, typer.Option(help="With this verdict.")] = None,
    bundle: Annotated[str | None, typer.Option(help="By the bundle whose digest begins so.")] = None,
    since: Annotated[datetime | None, typer.Option(formats=list(_FORMS), help="From this moment on, UTC.")] = None,
    until: Annotated[datetime | None, typer.Option(formats=list(_FORMS), help="Before this moment, UTC.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the newest.")] = 100,
    form: Annotated[Form, typer.Option("--format", help="A table, CSV, or one JSON object a line.")] = "table",
) -> None:
    """Query the results of a line, the newest first; it may work meanwhile.

    Exit codes: 0 done, 2 there is no journal, 74 it is damaged.
    """
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


def _seconds(moment: datetime | None) -> float | None:
    return None if moment is None else moment.replace(tzinfo=UTC).timestamp()
