"""`cmdiad reproduce`: a table of the paper on the dataset at hand, ours beside the printed figures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from ..reproduce.choices import WHOLE, Reproducible
from . import console, options
from .evaluate import print_tables
from .extras import EVALUATE, needs
from .interruption import when_interrupted
from .reproduction import run_whole

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..reproduce.choices import TableNumber
    from ..reproduce.paper_runs import GridSettings
    from ..runtime.bundle.parameters import Modality


@needs(EVALUATE)
@when_interrupted("no table was written: run it again; what was trained or finished is found in --cache")
def reproduce(
    number: Annotated[
        Reproducible,
        typer.Argument(metavar="N", help="Table of the paper: 2, 3, 4, 5, a1 ... a5; or mvtec3d for its main tables."),
    ],
    data: options.Data,
    runs: Annotated[
        list[Path] | None,
        typer.Option("--run", help="Run folder of `cmdiad train` to use instead of training; repeatable."),
    ] = None,
    class_names: options.Class = None,
    point_extractor: options.PointExtractor = "point-mae",
    image_extractor: options.ImageExtractor = "vit_base_patch8_224.dino",
    point_checkpoint: options.Checkpoint = None,
    image_checkpoint: options.Checkpoint = None,
    route_checkpoints_pc: Annotated[
        list[Path] | None,
        typer.Option("--route-checkpoint-pc", help="Published MTFI_*.pth with main modality pc; repeatable."),
    ] = None,
    route_checkpoints_rgb: Annotated[
        list[Path] | None,
        typer.Option("--route-checkpoint-rgb", help="The same with main modality rgb; repeatable."),
    ] = None,
    epochs: options.Epochs = 100,
    batch_size: options.BatchSize = 32,
    cache: Annotated[Path, typer.Option(help="Folder for trained runs and mvtec3d's finished cells.")] = Path(
        "runs/paper"
    ),
    check: Annotated[bool, typer.Option("--check", help="mvtec3d: only say what is missing.")] = False,
    partial: Annotated[
        bool, typer.Option("--partial", help="mvtec3d: run whatever is possible with the files that are here.")
    ] = False,
    sensor: options.Sensor = "structured-light",
    metres_per_unit: options.Scale = None,
    assignments: options.Assignments = None,
    false_reject_rate: options.Rate = 0.01,
    provider: options.Provider = "cpu",
    seed: options.Seed = 0,
    markdown: options.Markdown = None,
    csv: options.Csv = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Run the experiments of a table of the paper on a dataset and print them next to the paper's figures.

    Routes not given as a run or a checkpoint are trained. `mvtec3d` runs tables 2, 3, A1 and A3 with the published
    checkpoints: it trains nothing, looks for every file first, continues where it stopped, and compares with
    tolerances.
    """
    from ..calibration.evaluation.report_files import Destinations
    from ..reproduce.paper_runs import GridSettings
    from ..reproduce.paper_tables import ExtractorPair
    from ..runtime.errors import UsageError
    from ..runtime.sensor.sensor_file import open_sensor
    from ..training.train import TrainingSettings

    description = open_sensor(sensor, assignments or (), metres_per_unit)
    training = TrainingSettings(
        point_checkpoint=point_checkpoint,
        image_checkpoint=image_checkpoint,
        sensor=description.identity,
        preprocessing=description.preprocessing,
        epochs=epochs,
        batch_size=batch_size,
        seed=seed,
    )
    checkpoints: list[tuple[Modality, Path]] = [
        *(("pc", path) for path in route_checkpoints_pc or []),
        *(("rgb", path) for path in route_checkpoints_rgb or []),
    ]
    pair = ExtractorPair(point_extractor, image_extractor)
    once = list(dict.fromkeys(checkpoints))
    settings = GridSettings(pair, training, runs or [], once, cache, false_reject_rate, seed, provider)
    Destinations(markdown, csv).require_writable()
    if number == WHOLE:
        run_whole(data, class_names or [], settings, (check, partial), (markdown, csv), json, quiet)
        return
    if check or partial:
        raise UsageError(f"--{'check' if check else 'partial'}: goes with mvtec3d alone: leave it out")
    _run_table(cast("TableNumber", number), data, class_names or [], settings, (markdown, csv), json, quiet)


def _run_table(
    number: TableNumber,
    data: Path,
    class_names: Sequence[str],
    settings: GridSettings,
    files: tuple[Path | None, Path | None],
    json: bool,
    quiet: bool,
) -> None:
    """Run a table, write it and print it."""
    from ..calibration.evaluation.report_files import write_tables
    from ..reproduce.paper_runs import run_paper_table
    from ..runtime.reports.table import tables_as_json

    with console.progress_display(quiet or json) as progress:
        tables = run_paper_table(number, data, class_names, settings, progress)
    written = write_tables(tables, *files)
    if json:
        console.emit_bytes(tables_as_json(tables))
    else:
        print_tables(tables, written)
