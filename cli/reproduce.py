"""`cmdiad reproduce`: a table of the paper on the dataset at hand, ours beside the printed figures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..reproduce.choices import TableNumber
from . import console, options
from .evaluate import print_tables
from .extras import EVALUATE, needs
from .interruption import when_interrupted

if TYPE_CHECKING:
    from ..runtime.bundle.parameters import Modality


@needs(EVALUATE)
@when_interrupted("no table was written: run it again; what was trained is found in --cache")
def reproduce(
    number: Annotated[TableNumber, typer.Argument(metavar="N", help="Table of the paper: 2, 3, 4, 5, a1 ... a5.")],
    data: options.Data,
    runs: Annotated[
        list[Path] | None,
        typer.Option("--run", help="Run folder of `cmdiad train` to take instead of training; repeatable."),
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
    cache: Annotated[Path, typer.Option(help="Folder of the runs that are trained.")] = Path("runs/paper"),
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
    """Run the experiments of a table of the paper on a dataset and print them beside its figures.

    What is not given as a run or a checkpoint is trained.
    """
    from ..calibration.evaluation.report_files import Destinations, write_tables
    from ..reproduce.paper_runs import GridSettings, run_paper_table
    from ..reproduce.paper_tables import ExtractorPair
    from ..runtime.reports.table import tables_as_json
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
    settings = GridSettings(pair, training, runs or [], checkpoints, cache, false_reject_rate, seed, provider)
    Destinations(markdown, csv).require_writable()
    with console.progress_display(quiet or json) as progress:
        tables = run_paper_table(number, data, class_names or [], settings, progress)
    written = write_tables(tables, markdown, csv)
    if json:
        console.emit_bytes(tables_as_json(tables))
    else:
        print_tables(tables, written)
