"""`cmdiad`: the workstation's command: make data, train, export, calibrate, evaluate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import console, weights
from .calibrate import calibrate
from .doctor import workstation_doctor
from .engines import (
    BatchOption,
    BundleOption,
    EngineOption,
    StripOption,
    TargetOption,
    Tf32Option,
    TimingCacheOption,
    WorkspaceOption,
    build_engines,
)
from .entry import new_app, run
from .evaluate import evaluate
from .features import features
from .inspect import inspect
from .options import (
    AcceptOption,
    CalibratorName,
    CalibratorOption,
    ClassOption,
    ForceOption,
    GateScansOption,
    MainModality,
    MainOption,
    PrecisionName,
    PrecisionOption,
    QuietOption,
    RouteName,
    RouteOption,
    RunOption,
    ScaleOption,
    SeedOption,
    Sensor,
    SensorOption,
    sensor_preprocessing,
)
from .train import train

app = new_app("Train cross-modal-distillation anomaly detection with RGB and 3D, and make bundles for the line.")


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version and leave.", is_eager=True, callback=console.print_version),
    ] = False,
) -> None:
    pass


@app.command(short_help="The whole loop on synthetic parts, ending with inspections.")
def demo(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where everything goes.")] = Path("demo"),
    seed: SeedOption = 0,
    quiet: QuietOption = False,
) -> None:
    """The whole loop on synthetic parts: data, training, comparison, bundle, and two inspections."""
    from . import line
    from .demo import run_demo

    run_demo(folder, app, line.app, seed, quiet)


@app.command(short_help="Write a synthetic dataset, normal and defective parts.")
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
            progress=lambda done, total: progress("synth", done, total, ""),
        )
    console.emit(f"dataset: {folder}")


@app.command(short_help="Preprocess a dataset once into a new folder.")
def preprocess(
    data: Annotated[Path, typer.Argument(metavar="DATA", help="Dataset root: MVTec 3D-AD's layout, or Eyecandies'.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="New folder for the preprocessed copy.")],
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
            sensor_preprocessing(sensor, metres_per_unit),
            workers,
            lambda done, total: progress("preprocess", done, total, ""),
        )
    share = sum(1 - each.kept / each.measured for each in removals) / len(removals)
    console.emit(f"{len(removals)} scans, {share:.1%} of the measured pixels removed on average: see {out / REPORT}")


app.command(short_help="Train a distillation route on normal parts.")(train)


@app.command(short_help="Export a trained route to ONNX as a bundle; build engines.")
def export(
    run_folder: RunOption = Path("runs/latest"),
    route: RouteOption = RouteName.f2f,
    main: MainOption = MainModality.pc,
    out: Annotated[
        Path | None,
        typer.Option(help="Bundle folder, or a file ending in .cmdiad.  [default: bundle; with --bundle: in place]"),
    ] = None,
    product: Annotated[str | None, typer.Option(help="What the bundle inspects.  [default: the class]")] = None,
    precision: PrecisionOption = PrecisionName.fp32,
    scans: GateScansOption = None,
    calibrator: CalibratorOption = CalibratorName.minmax,
    accept: AcceptOption = "",
    bundle: BundleOption = None,
    engine: EngineOption = None,
    targets: TargetOption = None,
    batch: BatchOption = "1,1,1",
    workspace_mib: WorkspaceOption = None,
    tf32: Tf32Option = False,
    strip_weights: StripOption = False,
    timing_cache: TimingCacheOption = None,
    force: ForceOption = False,
    quiet: QuietOption = False,
) -> None:
    """Export a trained route's networks to ONNX, checked against torch, as a bundle to calibrate; build engines.

    With --bundle an exported bundle is brought to another precision, or given engines.

    Exit codes: 0 done, 2 wrong usage, 4 bad bundle, 5 an engine cannot be built, 6 a graph does not compute the same.
    """
    from ..runtime.bundle.writing import protect_calibration
    from ..runtime.errors import UsageError

    if engine is None and ((bundle is not None and precision is PrecisionName.fp32) or targets):
        raise UsageError("--bundle needs --precision or --engine, --target needs --engine: say what to make")
    target = out or bundle or Path("bundle")
    if not force and (bundle is None or target.resolve() != bundle.resolve()):
        protect_calibration(target, "--out NAME.cmdiad keeps it, --force replaces it")
    with console.progress_display(quiet) as progress:
        report = console.StageReport(progress, "export")
        source = bundle
        if bundle is None or precision is not PrecisionName.fp32:
            from ..export.bundles import export_bundle, reduce_bundle
            from ..export.precision.reduced import ExportSettings
            from ..runtime.bundle.reading import open_bundle
            from ..runtime.patches.routes import measured_by, modalities
            from ..runtime.sensor.part import find_normal_parts

            measured = (
                measured_by(route.value, main.value) if bundle is None else modalities(open_bundle(bundle).manifest)
            )
            given = find_normal_parts(scans, measured) if scans else ()
            settings = ExportSettings(precision.value, given, calibrator=calibrator.value, accept=accept)
            if bundle is None:
                export_bundle(run_folder, route.value, main.value, target, product, report, settings)
            else:
                reduce_bundle(bundle, target, run_folder, settings, report)
            source = target
        if engine is not None:
            build_engines(
                source or target,
                target,
                engine,
                targets,
                batch,
                workspace_mib,
                tf32,
                strip_weights,
                timing_cache,
                report,
            )
        report.end()
    todo = "" if bundle is not None else f" (not calibrated: run `cmdiad calibrate SCANS --bundle {target}`)"
    console.emit(f"bundle: {target}{todo}")


app.command(short_help="Make banks, fusion and thresholds from normal scans.")(calibrate)
app.command(short_help="Calibrate and score every class of a labeled dataset.")(evaluate)
app.command(short_help="Say what a bundle, an ONNX file or an engine is.")(inspect)
app.command("doctor", short_help="Say what this machine can run, and what to install.")(workstation_doctor)
app.command(short_help="Write what lies between a scan and its score to a file.")(features)
app.add_typer(weights.app, name="weights", short_help="Published weights: what there is, and what is here.")


def main() -> None:
    """The console script."""
    run(app, "cmdiad")
