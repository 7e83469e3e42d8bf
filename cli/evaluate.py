"""`cmdiad evaluate`: detection quality on labelled parts."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from . import console
from .options import (
    ClassOption,
    CoresetOption,
    JsonOption,
    MainModality,
    ProviderOption,
    QuietOption,
    RateOption,
    RouteName,
    SeedOption,
)


def evaluate(
    data: Annotated[Path, typer.Argument(metavar="DATA", help="Dataset root: MVTec 3D-AD's layout, or Eyecandies'.")],
    routes: Annotated[list[RouteName] | None, typer.Option("--route", help="Repeatable.  [default: f2f]")] = None,
    mains: Annotated[
        list[MainModality] | None,
        typer.Option("--main", help="Main modality: what the line measures; repeatable.  [default: pc]"),
    ] = None,
    runs: Annotated[
        list[Path] | None,
        typer.Option("--run", help="Run folder of `cmdiad train`; repeatable.  [default: runs/latest]"),
    ] = None,
    class_names: ClassOption = None,
    false_reject_rate: RateOption = 0.01,
    coreset_ratio: CoresetOption = 0.1,
    provider: ProviderOption = "cpu",
    seed: SeedOption = 0,
    markdown: Annotated[Path | None, typer.Option(help="Write the tables as Markdown.")] = None,
    csv: Annotated[Path | None, typer.Option(help="Write the metrics as CSV.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write a report with curves and pictures, one file.")] = None,
    report: Annotated[Path | None, typer.Option(help="Folder for report.html, .md, .csv and .json.")] = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Calibrate every class on its train/good and score its test, with the exported networks."""
    from ..calibration.calibrate import CalibrationSettings
    from ..calibration.report import Destinations, write_reports
    from ..calibration.report_tables import as_json, tables
    from ..export.evaluation import evaluate_runs, routes_of

    settings = CalibrationSettings(false_reject_rate=false_reject_rate, coreset_ratio=coreset_ratio, seed=seed)
    chosen = routes_of(
        [each.value for each in routes or [RouteName.f2f]], [each.value for each in mains or [MainModality.pc]]
    )
    with console.progress_display(quiet or json) as progress:
        evaluation = evaluate_runs(
            data, class_names or [], runs or [Path("runs/latest")], chosen, settings, provider, progress
        )
    written = write_reports(evaluation, data, settings, provider, Destinations(markdown, csv, html, report))
    if json:
        sys.stdout.buffer.write(as_json(evaluation) + b"\n")
        return
    for table in tables(evaluation):
        console.print_titled_table(table.title, table.headers, table.rows, table.n_labels, table.note)
    for path in written:
        print(f"written: {path}")
