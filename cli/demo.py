"""`cmdiad demo`: the whole loop on synthetic parts, by the commands that a user would type."""

from __future__ import annotations

import shlex
import shutil
import time
from pathlib import Path
from typing import Annotated

import typer

from ..runtime.errors import UsageError
from ..runtime.files.atomic_folder import holds_something
from . import console, options
from .extras import EVALUATE, needs
from .interruption import when_interrupted

PRODUCT = "flange"
DEFECT = "missing_piece"
MARKER = ".cmdiad-demo"
SIZES = f"--class {PRODUCT} --train 32 --validation 0 --test-good 12 --per-defect 4"
TRAINING = "--epochs 15 --batch-size 4"
ROUTES = "--route single --route f2f --route dual"


@needs(EVALUATE)
@when_interrupted("run it again; it starts from scratch")
def demo(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where everything goes.")] = Path("demo"),
    seed: options.Seed = 0,
    quiet: options.Quiet = False,
) -> None:
    """Run the whole loop on synthetic parts: data, training, comparison, bundle, and two inspections."""
    from . import line, workstation

    if holds_something(folder) and not (folder / MARKER).exists():
        raise UsageError(f"{folder}: holds something that is not a demo's: choose another folder")
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    (folder / MARKER).touch()
    data, run, bundle = folder / "data", folder / "run", folder / "bundle"
    test = data / PRODUCT / "test"
    good, defective = (test / kind / "xyz" / "000.tiff" for kind in ("good", DEFECT))
    commands: list[list[object]] = [
        ["cmdiad", "synth", data, "--seed", seed, *SIZES.split()],
        ["cmdiad", "train", data, "--route", "f2f", "--out", run, "--seed", seed, *TRAINING.split()],
        ["cmdiad", "evaluate", data, "--run", run, *ROUTES.split()],
        ["cmdiad", "export", "--run", run, "--route", "f2f", "--out", bundle],
        ["cmdiad", "calibrate", data / PRODUCT / "train" / "good", "--bundle", bundle],
        ["cmdiad-rt", "infer", good, defective, "--bundle", bundle, "--out", folder / "inspections"],
    ]
    begin = time.monotonic()
    for name, *arguments in (list(map(str, command)) for command in commands):
        console.emit(f"\n[{time.monotonic() - begin:4.0f} s] $ {shlex.join([name, *arguments])}")
        app = (line if name == "cmdiad-rt" else workstation).app
        code = app([*arguments, *(["--quiet"] if quiet else [])], standalone_mode=False)
        if code:
            raise SystemExit(code)
    console.emit(f"\n[{time.monotonic() - begin:4.0f} s] done")
