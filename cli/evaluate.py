"""`cmdiad evaluate`: detection quality on labelled parts."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import console
from .options import (
    ClassOption,
    CoresetOption,
    JsonOption,
    MainModality,
    MainOption,
    ProviderOption,
    QuietOption,
    RouteName,
    RunOption,
    SeedOption,
)

if TYPE_CHECKING:
    from ..runtime.bundle import Bundle


def evaluate(
    data: Annotated[Path, typer.Argument(metavar="DATA", help="Dataset root in the MVTec 3D-AD layout.")],
    routes: Annotated[list[RouteName] | None, typer.Option("--route", help="Repeatable.  [default: f2f]")] = None,
    main: MainOption = MainModality.pc,
    run: RunOption = Path("runs/latest"),
    class_names: ClassOption = None,
    coreset_ratio: CoresetOption = 0.1,
    provider: ProviderOption = "cpu",
    seed: SeedOption = 0,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Calibrate every class on its train/good and score its test, with the exported networks."""
    import tempfile

    from ..calibration.calibrate import CalibrationSettings
    from ..calibration.evaluate import evaluate_dataset
    from ..export.bundles import export_bundle
    from ..runtime.bundle import open_bundle

    settings = CalibrationSettings(coreset_ratio=coreset_ratio, seed=seed)
    with tempfile.TemporaryDirectory() as scratch, console.progress_display(quiet or json) as progress:
        bundles: list[Bundle] = []
        for route in dict.fromkeys(routes or [RouteName.f2f]):
            progress("export", len(bundles), len(routes or [RouteName.f2f]), route.value)
            path = Path(scratch) / route.value
            export_bundle(run, route.value, main.value, path)
            bundles.append(open_bundle(path))
        evaluation = evaluate_dataset(data, class_names or [], bundles, settings, provider, progress)
    if json:
        sys.stdout.buffer.write(evaluation.as_json() + b"\n")
        return
    headers, rows = evaluation.as_table()
    console.print_table(headers, rows, numeric=range(3, len(headers)))
    headers, rows = evaluation.by_defect()
    print("\nI-AUROC by defect (its parts against the good ones):")
    console.print_table(headers, rows, numeric=range(2, len(headers)))
