"""`cmdiad train`: a distillation route learns from normal parts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..runtime.bundle.parameters import TrainedRouteName
from ..training.choices import DeviceName, Loss
from . import console, options
from .extras import TRAIN, needs
from .interruption import when_interrupted
from .line_options import as_assignments


@needs(TRAIN)
@when_interrupted("the same command with the run's folder as --out goes on from its last saved state")
def train(
    data: options.Data,
    route: Annotated[TrainedRouteName, typer.Option(help="What to learn.")] = "f2f",
    main: options.Main = "pc",
    class_names: options.Class = None,
    out: Annotated[
        Path | None, typer.Option(help="Run folder; an unfinished run continues.  [default: a new one under runs/]")
    ] = None,
    cache: Annotated[
        Path | None,
        typer.Option(
            help="Folder for extracted features; runs on the same data can share it.  [default: runs/feature_cache; "
            "in the run folder if that is not in runs/]"
        ),
    ] = None,
    point_extractor: options.PointExtractor = "embedded",
    image_extractor: options.ImageExtractor = "embedded",
    point_checkpoint: options.Checkpoint = None,
    image_checkpoint: options.Checkpoint = None,
    loss: Annotated[Loss, typer.Option(help="Distance to the missing modality's features; the loss.")] = "l2",
    epochs: options.Epochs = 100,
    batch_size: options.BatchSize = 32,
    learning_rate: Annotated[
        float | None,
        typer.Option(min=1e-9, help="Learning rate after 10 epochs of warm-up.  [default: 5e-4, i2f 3e-4]"),
    ] = None,
    select: Annotated[
        bool, typer.Option(help="Ship the checkpoint that detects best on validation parts, or the last one.")
    ] = True,
    device: Annotated[DeviceName, typer.Option(help="auto: a GPU if there is one.")] = "auto",
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads.  [default: all]")] = None,
    amp: Annotated[bool, typer.Option("--amp", help="On a GPU, use bfloat16 where it is safe.")] = False,
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Write event files for TensorBoard.")] = False,
    sensor: options.Sensor = "structured-light",
    metres_per_unit: options.Scale = None,
    window: options.Window = None,
    roi: options.Roi = None,
    parts: options.Parts = None,
    assignments: options.Assignments = None,
    seed: options.Seed = 0,
    quiet: options.Quiet = False,
) -> None:
    """Train a distillation route on the normal parts of a dataset with RGB and 3D.

    F2F learns both directions at once; F2I and I2F learn that of --main. A killed run continues when the same
    command gives its folder as --out.
    """
    from ..runtime.sensor.sensor_file import open_sensor

    told = [*as_assignments(window=window, roi=roi, parts=parts), *(assignments or ())]
    description = open_sensor(sensor, told, metres_per_unit)
    # After the check of what was asked for: it imports torch, which takes seconds.
    from ..training.train import TrainingSettings, train_route

    settings = TrainingSettings(
        route=route,
        main=main,
        point_extractor=point_extractor,
        image_extractor=image_extractor,
        point_checkpoint=point_checkpoint,
        image_checkpoint=image_checkpoint,
        sensor=description.identity,
        preprocessing=description.preprocessing,
        loss=loss,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        seed=seed,
        select=select,
        device=device,
        threads=threads,
        amp=amp,
        tensorboard=tensorboard,
    )
    with console.progress_display(quiet) as progress:
        folder = train_route(data, class_names or [], settings, out, progress, cache)
    _tell(folder)


def _tell(folder: Path) -> None:
    """What was decided from the scans, which checkpoint is shipped, and where the run is."""
    from ..training.runs.record import read_run
    from ..training.runs.summary import describe_run, doubts_of

    _, run = read_run(folder)
    for line in describe_run(run):
        console.emit(line)
    for doubt in doubts_of(run):
        console.warn(doubt)
    console.emit(f"run: {folder}")
