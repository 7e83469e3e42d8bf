"""`cmdiad evaluate`: detection quality on labeled parts."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import console
from .options import (
    CheckpointOption,
    ClassOption,
    CoresetOption,
    EpsOption,
    IterationsOption,
    JsonOption,
    MainModality,
    MetricName,
    MetricOption,
    NeighborsOption,
    NormalizationName,
    NormalizationOption,
    NuOption,
    ProviderOption,
    QuietOption,
    RateOption,
    RouteName,
    ScaleOption,
    SeedOption,
    Sensor,
    SensorOption,
    sensor_preprocessing,
)

if TYPE_CHECKING:
    from ..reproduce.paper_runs import GridSettings
    from ..runtime.bundle.parameters import Modality


class TableNumber(StrEnum):
    """A table of the paper."""

    table_2 = "2"
    table_3 = "3"
    table_4 = "4"
    table_5 = "5"
    table_a1 = "a1"
    table_a2 = "a2"
    table_a3 = "a3"
    table_a4 = "a4"
    table_a5 = "a5"


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
    metric: MetricOption = MetricName.l2,
    normalization: NormalizationOption = NormalizationName.paper,
    projection_eps: EpsOption = 0.9,
    n_neighbors: NeighborsOption = 2,
    nu: NuOption = 0.5,
    svm_iterations: IterationsOption = 1000,
    provider: ProviderOption = "cpu",
    seed: SeedOption = 0,
    markdown: Annotated[Path | None, typer.Option(help="Write the tables as Markdown.")] = None,
    csv: Annotated[Path | None, typer.Option(help="Write the metrics as CSV.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write a report with curves and pictures, one file.")] = None,
    report: Annotated[Path | None, typer.Option(help="Folder for report.html, .md, .csv and .json.")] = None,
    json: JsonOption = False,
    table: Annotated[
        TableNumber | None, typer.Option(help="Run the grid of a table of the paper; what is missing is trained.")
    ] = None,
    point_extractor: Annotated[
        str, typer.Option(help="With --table: embedded, point-mae or point-bert.")
    ] = "point-mae",
    image_extractor: Annotated[
        str, typer.Option(help="With --table: embedded, or a ViT of timm.")
    ] = "vit_base_patch8_224.dino",
    point_checkpoint: CheckpointOption = None,
    image_checkpoint: CheckpointOption = None,
    route_checkpoints_pc: Annotated[
        list[Path] | None,
        typer.Option("--route-checkpoint-pc", help="With --table: published MTFI_*.pth, main modality pc; repeatable."),
    ] = None,
    route_checkpoints_rgb: Annotated[
        list[Path] | None,
        typer.Option("--route-checkpoint-rgb", help="With --table: the same, main modality rgb; repeatable."),
    ] = None,
    epochs: Annotated[int, typer.Option(min=1, help="With --table: of what is trained.")] = 100,
    batch_size: Annotated[int, typer.Option(min=1, help="With --table: scans in a training step.")] = 32,
    cache: Annotated[Path, typer.Option(help="With --table: folder of the runs that are trained.")] = Path(
        "runs/paper"
    ),
    sensor: SensorOption = Sensor.structured_light,
    metres_per_unit: ScaleOption = None,
    quiet: QuietOption = False,
) -> None:
    """Calibrate every class on its train/good and score its test, with the exported networks.

    With --table, the experiments of a table of the paper are run, and printed beside its figures.
    """
    from ..runtime.errors import UsageError

    if table is not None:
        if routes or mains or html or report:
            raise UsageError(
                "--table: has routes and a form of its own: leave out --route, --main, --html and --report"
            )
        from ..reproduce.paper_runs import GridSettings
        from ..reproduce.paper_tables import ExtractorPair
        from ..training.train import TrainingSettings

        training = TrainingSettings(
            point_checkpoint=point_checkpoint,
            image_checkpoint=image_checkpoint,
            preprocessing=sensor_preprocessing(sensor, metres_per_unit),
            epochs=epochs,
            batch_size=batch_size,
            seed=seed,
        )
        pair = ExtractorPair(point_extractor, image_extractor)
        checkpoints: list[tuple[Modality, Path]] = [
            *(("pc", each) for each in route_checkpoints_pc or []),
            *(("rgb", each) for each in route_checkpoints_rgb or []),
        ]
        grid = GridSettings(pair, training, runs or [], checkpoints, cache, false_reject_rate, seed, provider)
        _evaluate_table(table, data, class_names or [], grid, (markdown, csv), json, quiet)
        return
    from ..calibration.calibrate import CalibrationSettings
    from ..calibration.evaluation.report import Destinations, write_reports
    from ..calibration.evaluation.report_tables import as_json, tables
    from ..export.evaluate_runs import evaluate_runs, routes_of

    settings = CalibrationSettings(
        false_reject_rate=false_reject_rate,
        coreset_ratio=coreset_ratio,
        metric=metric.value,
        normalization=normalization.value,
        projection_eps=projection_eps,
        n_neighbors=n_neighbors,
        nu=nu,
        svm_iterations=svm_iterations,
        seed=seed,
    )
    chosen = routes_of(
        [each.value for each in routes or [RouteName.f2f]], [each.value for each in mains or [MainModality.pc]]
    )
    wanted = Destinations(markdown, csv, html, report)
    wanted.require_writable()
    with console.progress_display(quiet or json) as progress:
        evaluation = evaluate_runs(
            data, class_names or [], runs or [Path("runs/latest")], chosen, settings, provider, progress
        )
    written = write_reports(evaluation, data, settings, provider, wanted)
    if json:
        console.emit_bytes(as_json(evaluation))
        return
    for printed in tables(evaluation):
        console.print_titled_table(printed)
    for path in written:
        console.emit(f"written: {path}")


def _evaluate_table(
    number: TableNumber,
    data: Path,
    class_names: list[str],
    grid: GridSettings,
    files: tuple[Path | None, Path | None],
    json: bool,
    quiet: bool,
) -> None:
    from ..calibration.evaluation.report import Destinations, write_tables
    from ..reproduce.paper_runs import run_paper_table
    from ..runtime.reports.table import tables_as_json

    Destinations(*files).require_writable()
    with console.progress_display(quiet or json) as progress:
        found = run_paper_table(number.value, data, class_names, grid, progress)
    written = write_tables(found, *files)
    if json:
        console.emit_bytes(tables_as_json(found))
        return
    for printed in found:
        console.print_titled_table(printed)
    for path in written:
        console.emit(f"written: {path}")
