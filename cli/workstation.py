"""`cmdiad`: the workstation's command: make data, train, export, calibrate, evaluate."""

from __future__ import annotations

import sys
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import console

if TYPE_CHECKING:
    from ..runtime.bundle import Bundle
    from ..runtime.preprocessing import Preprocessing

app = typer.Typer(
    help="Train cross-modal-distillation anomaly detection with RGB and 3D, and make bundles for the line.",
    epilog="--debug anywhere shows the traceback of an error.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


class RouteName(str, Enum):
    """What is compared with memory banks at inspection."""

    f2f = "f2f"
    single = "single"
    dual = "dual"


class MainModality(str, Enum):
    """The sensor that the line has."""

    pc = "pc"
    rgb = "rgb"


class Sensor(str, Enum):
    """Preprocessing parameters of a kind of sensor."""

    structured_light = "structured-light"
    kinect = "kinect"


RunOption = Annotated[Path, typer.Option("--run", help="Run folder of `cmdiad train`.")]
RouteOption = Annotated[RouteName, typer.Option(help="f2f, or a baseline: single bank, dual RGB + PC.")]
MainOption = Annotated[MainModality, typer.Option(help="Main modality: what the line measures.")]
SensorOption = Annotated[Sensor, typer.Option(help="Preset of the preprocessing parameters.")]
ScaleOption = Annotated[
    float | None,
    typer.Option(help="Metres in one unit of the scans.  [default: 1 for floating point, refused for integers]"),
]
RateOption = Annotated[float, typer.Option(min=1e-6, max=0.5, help="Share of good parts that may be called defective.")]
CoresetOption = Annotated[float, typer.Option(min=1e-4, max=1.0, help="Share of the patches kept in a bank.")]
SeedOption = Annotated[int, typer.Option(min=0, help="Seed of everything random.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]
ClassOption = Annotated[
    list[str] | None, typer.Option("--class", help="Class of the dataset; repeatable.  [default: all]")
]
ProviderOption = Annotated[str, typer.Option(help="Execution provider: cpu, cuda, tensorrt or tensorrt-rtx.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout, nothing else.")]


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version and leave.", is_eager=True, callback=console.print_version),
    ] = False,
) -> None:
    pass


@app.command()
def demo(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where everything goes.")] = Path("demo"),
    seed: SeedOption = 0,
) -> None:
    """The whole loop on synthetic parts: data, training, comparison, bundle, and two inspections."""
    from . import line
    from .demo import run_demo

    run_demo(folder, app, line.app, seed)


@app.command()
def synth(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="New folder for the dataset.")],
    train: Annotated[int, typer.Option(min=1, help="Normal training parts of a class.")] = 40,
    validation: Annotated[int, typer.Option(min=0, help="Normal validation parts of a class.")] = 5,
    test_good: Annotated[int, typer.Option(min=1, help="Normal test parts of a class.")] = 20,
    per_defect: Annotated[int, typer.Option(min=1, help="Test parts of a class and defect type.")] = 8,
    size: Annotated[int, typer.Option(min=64, max=4000, help="Pixels on a side of a scan.")] = 400,
    class_names: ClassOption = None,
    seed: SeedOption = 0,
    quiet: QuietOption = False,
) -> None:
    """Write a synthetic dataset: parts as a structured-light camera sees them, normal and defective."""
    from ..training.synth.dataset import PART_CLASSES, write_dataset

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
            progress=lambda done, total: progress("synth", done, total, ""),
        )
    print(f"dataset: {folder}")


@app.command()
def preprocess(
    data: Annotated[Path, typer.Argument(metavar="DATA", help="Dataset root in the MVTec 3D-AD layout.")],
    out: Annotated[Path, typer.Argument(help="New folder for the preprocessed copy.")],
    class_names: ClassOption = None,
    sensor: SensorOption = Sensor.structured_light,
    metres_per_unit: ScaleOption = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 2,
    quiet: QuietOption = False,
) -> None:
    """Preprocess a dataset once into a new folder (training and the line do the same on raw scans by themselves)."""
    from ..training.preprocess import REPORT, preprocess_dataset

    with console.progress_display(quiet) as progress:
        removals = preprocess_dataset(
            data,
            out,
            class_names or [],
            _preprocessing(sensor, metres_per_unit),
            workers,
            lambda done, total: progress("preprocess", done, total, ""),
        )
    share = sum(1 - each.kept / each.measured for each in removals) / len(removals)
    print(f"{len(removals)} scans, {share:.1%} of the measured pixels removed on average: see {out / REPORT}")


@app.command()
def train(
    data: Annotated[Path, typer.Argument(metavar="DATA", help="Dataset root in the MVTec 3D-AD layout.")],
    route: Annotated[str, typer.Option(help="Distillation route: f2f.")] = "f2f",
    class_names: ClassOption = None,
    out: Annotated[Path | None, typer.Option(help="Run folder.  [default: a new one under runs/]")] = None,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the training scans.")] = 100,
    batch_size: Annotated[int, typer.Option(min=1, help="Scans in a step.")] = 32,
    learning_rate: Annotated[float, typer.Option(min=0.0, help="After 10 epochs of warm-up.")] = 5e-4,
    sensor: SensorOption = Sensor.structured_light,
    metres_per_unit: ScaleOption = None,
    seed: SeedOption = 0,
    quiet: QuietOption = False,
) -> None:
    """Train a distillation route on the normal parts of a dataset with RGB and 3D."""
    from ..runtime.errors import UsageError

    if route != "f2f":
        raise UsageError(f"--route {route}: cannot be trained; f2f can, and single or dual needs no training")
    from ..training.train import TrainingSettings, train_f2f

    settings = TrainingSettings(
        preprocessing=_preprocessing(sensor, metres_per_unit),
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        seed=seed,
    )
    with console.progress_display(quiet) as progress:
        folder = train_f2f(data, class_names or [], settings, out, progress)
    print(f"run: {folder}")


@app.command()
def export(
    run: RunOption = Path("runs/latest"),
    route: RouteOption = RouteName.f2f,
    main: MainOption = MainModality.pc,
    out: Annotated[Path, typer.Option(help="Bundle folder, or a file ending in .cmdiad.")] = Path("bundle"),
    product: Annotated[str | None, typer.Option(help="What the bundle inspects.  [default: the class]")] = None,
    quiet: QuietOption = False,
) -> None:
    """Export a trained route's networks to ONNX, checked against torch, as a bundle to calibrate."""
    from ..export.bundles import export_bundle

    with console.progress_display(quiet) as progress:
        stages: list[str] = []

        def report(stage: str) -> None:
            stages.append(stage)
            progress(f"export {stage}", 0, 1, "")

        export_bundle(run, route.value, main.value, out, product, report)
    print(f"bundle: {out} (not calibrated: run `cmdiad calibrate SCANS --bundle {out}`)")


@app.command()
def calibrate(
    scans: Annotated[
        list[str], typer.Argument(metavar="SCAN...", help="Normal scans: files, folders or quoted globs.")
    ],
    bundle: Annotated[
        Path | None, typer.Option(help="Exported bundle.  [default: $CMDIAD_BUNDLE, else ./bundle]")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Where the calibrated bundle goes.  [default: in place]")] = None,
    false_reject_rate: RateOption = 0.01,
    coreset_ratio: CoresetOption = 0.1,
    product: Annotated[str | None, typer.Option(help="What the bundle inspects.  [default: unchanged]")] = None,
    sensor: Annotated[
        Sensor | None, typer.Option(help="Preset of the preprocessing parameters.  [default: as trained]")
    ] = None,
    metres_per_unit: Annotated[
        float | None, typer.Option(help="Metres in one unit of the scans.  [default: as trained]")
    ] = None,
    provider: ProviderOption = "cpu",
    seed: SeedOption = 0,
    quiet: QuietOption = False,
) -> None:
    """Make memory banks, fusion and thresholds from normal scans, with the exported networks (no torch, no RGB)."""
    from ..calibration.calibrate import CalibrationSettings, calibrate_bundle
    from ..runtime.bundle import find_bundle, open_bundle
    from ..runtime.scan import find_scans

    source = open_bundle(find_bundle(bundle))
    target = out or source.path
    preprocessing = _adapted(source.manifest.preprocessing, sensor, metres_per_unit)
    settings = CalibrationSettings(false_reject_rate=false_reject_rate, coreset_ratio=coreset_ratio, seed=seed)
    with console.progress_display(quiet) as progress:
        manifest = calibrate_bundle(
            source, find_scans(scans), settings, target, provider, product, preprocessing, progress
        )
    assert manifest.calibration is not None
    for role, bank in manifest.banks.items():
        print(f"bank {role}: {bank.n_rows} x {bank.dim}")
    print(manifest.calibration.threshold.describe())
    print(f"bundle: {target}")


@app.command()
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


def _preprocessing(sensor: Sensor, metres_per_unit: float | None) -> Preprocessing:
    import msgspec

    from ..runtime.preprocessing import KINECT, STRUCTURED_LIGHT

    preset = KINECT if sensor is Sensor.kinect else STRUCTURED_LIGHT
    return msgspec.structs.replace(preset, metres_per_unit=metres_per_unit)


def _adapted(trained: Preprocessing, sensor: Sensor | None, metres_per_unit: float | None) -> Preprocessing:
    import msgspec

    if sensor is not None:
        return _preprocessing(sensor, metres_per_unit or trained.metres_per_unit)
    return msgspec.structs.replace(trained, metres_per_unit=metres_per_unit or trained.metres_per_unit)


def main() -> None:
    """The console script."""
    console.run(app, "cmdiad")
