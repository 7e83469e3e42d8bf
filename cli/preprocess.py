"""`cmdiad preprocess`: a copy of a dataset without the planes that its parts stand on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import console, options
from .interruption import when_interrupted


@when_interrupted("the same command continues")
def preprocess(
    data: options.Data,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="New folder for the preprocessed copy.")],
    class_names: options.Class = None,
    sensor: options.Sensor = "structured-light",
    metres_per_unit: options.Scale = None,
    assignments: options.Assignments = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 2,
    quiet: options.Quiet = False,
) -> None:
    """Preprocess a dataset once into a new folder (training and the line do the same on raw scans automatically)."""
    from ..runtime.sensor.sensor_file import open_sensor
    from ..training.preprocess import REPORT, preprocess_dataset

    with console.progress_display(quiet) as progress:
        removals = preprocess_dataset(
            data,
            out,
            class_names or [],
            open_sensor(sensor, assignments or (), metres_per_unit).preprocessing,
            workers,
            lambda done, total: progress("preprocess", done, total, ""),
        )
    share = sum(1 - removal.kept / removal.measured for removal in removals) / len(removals)
    console.emit(f"{len(removals)} scans, {share:.1%} of the measured pixels removed on average: see {out / REPORT}")
