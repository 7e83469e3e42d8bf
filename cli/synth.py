"""`cmdiad synth`: a synthetic dataset."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..training.choices import Difficulty
from . import console, options
from .interruption import when_interrupted


@when_interrupted("remove the folder before you run it again")
def synth(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="New folder for the dataset.")],
    train: Annotated[int, typer.Option(min=1, help="Normal training parts per class.")] = 40,
    validation: Annotated[int, typer.Option(min=0, help="Normal validation parts per class.")] = 5,
    test_good: Annotated[int, typer.Option(min=1, help="Normal test parts per class.")] = 20,
    per_defect: Annotated[int, typer.Option(min=1, help="Test parts per class and defect type.")] = 8,
    size: Annotated[int, typer.Option(min=64, max=4000, help="Side length of a scan, in pixels.")] = 400,
    difficulty: Annotated[
        Difficulty, typer.Option(help="field: defects as hard to find as MVTec 3D-AD's; hard: slighter ones.")
    ] = "field",
    class_names: options.Class = None,
    seed: options.Seed = 0,
    quiet: options.Quiet = False,
) -> None:
    """Write a synthetic dataset: normal and defective parts as a structured-light camera sees them."""
    from ..runtime.threads import usable_processors
    from ..training.synth.synthesis import PART_CLASSES, write_dataset

    with console.progress_display(quiet) as progress:
        write_dataset(
            folder,
            classes=class_names or PART_CLASSES,
            train=train,
            validation=validation,
            test_good=test_good,
            per_defect=per_defect,
            size=size,
            seed=seed,
            difficulty=difficulty,
            workers=usable_processors(),
            progress=lambda done, total: progress("synth", done, total, ""),
        )
    console.emit(f"dataset: {folder}")
