"""`cmdiad evaluate`: detection quality on labeled parts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from ..runtime.bundle.parameters import Modality, RouteName, ScoreName
from . import console, options
from .extras import EVALUATE, needs
from .interruption import when_interrupted
from .line_options import as_assignments

if TYPE_CHECKING:
    from ..runtime.reports.table import Table


@needs(EVALUATE)
@when_interrupted("no report was written: run it again")
def evaluate(
    data: options.Data,
    routes: Annotated[list[str] | None, options.several("--route", RouteName, "Repeatable.  [default: f2f]")] = None,
    mains: Annotated[
        list[str] | None,
        options.several("--main", Modality, "Main modality: what the line measures; repeatable.  [default: pc]"),
    ] = None,
    runs: Annotated[
        list[Path] | None,
        typer.Option("--run", help="Run folder of `cmdiad train`; repeatable.  [default: runs/latest]"),
    ] = None,
    class_names: options.Class = None,
    false_reject_rate: options.Rate = 0.01,
    coreset_ratio: options.Coreset = 0.1,
    metric: options.Metric = "l2",
    n_neighbors: options.Neighbors = 2,
    neighborhood: options.Neighborhood = 1,
    scores: Annotated[
        list[str] | None,
        options.several("--score", ScoreName, f"{options.SCORE_HELP} Repeatable.  [default: paper]"),
    ] = None,
    settings_file: options.Settings = None,
    sensor: options.OtherSensor = None,
    roi: options.Roi = None,
    parts: options.Parts = None,
    assignments: options.Assignments = None,
    provider: options.Provider = "cpu",
    seed: options.Seed = 0,
    markdown: options.Markdown = None,
    csv: options.Csv = None,
    parts_csv: Annotated[
        Path | None, typer.Option("--parts-csv", help="Write every test part's score and verdict as CSV.")
    ] = None,
    html: Annotated[Path | None, typer.Option(help="Write a report with curves and pictures as one file.")] = None,
    report: Annotated[Path | None, typer.Option(help="Folder for report.html, .md, .csv, .json and parts.csv.")] = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Calibrate every class on its train/good and score its test parts, with the exported networks."""
    from ..calibration.calibration_settings import CalibrationSettings
    from ..calibration.evaluation.report_files import Destinations, write_reports
    from ..calibration.evaluation.report_tables import as_json, tables
    from ..calibration.settings_file import apply_settings_file
    from ..runtime.sensor.sensor_file import open_sensor

    # What makes no sense is refused here, and not when the first run was exported.
    told = [*as_assignments(roi=roi, parts=parts), *(assignments or ())]
    open_sensor(sensor or "structured-light", told)
    from ..export.evaluate_runs import evaluate_runs, routes_of

    given = CalibrationSettings(
        false_reject_rate=false_reject_rate,
        coreset_ratio=coreset_ratio,
        metric=metric,
        n_neighbors=n_neighbors,
        neighborhood=neighborhood,
        seed=seed,
    )
    settings = apply_settings_file(given, settings_file)
    chosen = routes_of(cast("list[RouteName]", routes or ["f2f"]), cast("list[Modality]", mains or ["pc"]))
    wanted = Destinations(markdown, csv, html, report, parts_csv)
    wanted.require_writable()
    with console.progress_display(quiet or json) as progress:
        evaluation = evaluate_runs(
            data,
            class_names or [],
            runs or [Path("runs/latest")],
            chosen,
            settings,
            provider,
            progress,
            (sensor, told),
            cast("list[ScoreName]", scores or []),
        )
    written = write_reports(evaluation, data, settings, provider, wanted)
    if json:
        console.emit_bytes(as_json(evaluation))
    else:
        print_tables(tables(evaluation), written)


def print_tables(tables: Sequence[Table], written: Sequence[Path]) -> None:
    """Tables on standard output, then the files that hold them."""
    for table in tables:
        console.print_titled_table(table)
    for path in written:
        console.emit(f"written: {path}")
