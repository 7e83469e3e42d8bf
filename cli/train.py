"""`cmdiad train`: a distillation route learns from normal parts."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from . import console
from .options import (
    CheckpointOption,
    ClassOption,
    ImageExtractorOption,
    MainModality,
    MainOption,
    MetricName,
    PointExtractorOption,
    QuietOption,
    ScaleOption,
    SeedOption,
    Sensor,
    SensorOption,
    sensor_preprocessing,
)


class Device(StrEnum):
    """Where training computes."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


class TrainedRoute(StrEnum):
    """A route that has something to learn."""

    f2f = "f2f"
    f2i = "f2i"
    i2f = "i2f"


def train(
    data: Annotated[Path, typer.Argument(metavar="DATA", help="Dataset root: MVTec 3D-AD's layout, or Eyecandies'.")],
    route: Annotated[TrainedRoute, typer.Option(help="What to learn.")] = TrainedRoute.f2f,
    main: MainOption = MainModality.pc,
    class_names: ClassOption = None,
    out: Annotated[
        Path | None, typer.Option(help="Run folder; one that was begun goes on.  [default: a new one under runs/]")
    ] = None,
    cache: Annotated[
        Path | None,
        typer.Option(
            help="Folder of extracted features, which runs on the same data may share.  [default: runs/feature_cache; "
            "in the run folder, where that is not in runs/]"
        ),
    ] = None,
    point_extractor: PointExtractorOption = "embedded",
    image_extractor: ImageExtractorOption = "embedded",
    point_checkpoint: CheckpointOption = None,
    image_checkpoint: CheckpointOption = None,
    loss: Annotated[MetricName, typer.Option(help="Distance to the missing modality's features.")] = MetricName.l2,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the training scans.")] = 100,
    batch_size: Annotated[int, typer.Option(min=1, help="Scans in a step.")] = 32,
    learning_rate: Annotated[
        float | None, typer.Option(min=1e-9, help="After 10 epochs of warm-up.  [default: 5e-4, i2f 3e-4]")
    ] = None,
    select: Annotated[
        bool, typer.Option(help="Ship the checkpoint that detects best on validation parts, or else the last.")
    ] = True,
    device: Annotated[Device, typer.Option(help="auto: a GPU where there is one.")] = Device.auto,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads.  [default: all]")] = None,
    amp: Annotated[bool, typer.Option("--amp", help="bfloat16 where it is safe, on a GPU.")] = False,
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Write event files for TensorBoard.")] = False,
    sensor: SensorOption = Sensor.structured_light,
    metres_per_unit: ScaleOption = None,
    seed: SeedOption = 0,
    quiet: QuietOption = False,
) -> None:
    """Train a distillation route on the normal parts of a dataset with RGB and 3D.

    F2F learns both directions at once; F2I and I2F that of --main. A run that was killed goes on when the same
    command names its folder with --out.
    """
    from ..training.train import TrainingSettings, train_route

    settings = TrainingSettings(
        route=route.value,
        main=main.value,
        point_extractor=point_extractor,
        image_extractor=image_extractor,
        point_checkpoint=point_checkpoint,
        image_checkpoint=image_checkpoint,
        preprocessing=sensor_preprocessing(sensor, metres_per_unit),
        loss=loss.value,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        seed=seed,
        select=select,
        device=device.value,
        threads=threads,
        amp=amp,
        tensorboard=tensorboard,
    )
    with console.progress_display(quiet) as progress:
        folder = train_route(data, class_names or [], settings, out, progress, cache)
    console.emit(f"run: {folder}")
