"""`cmdiad calibrate`: memory banks, fusion and thresholds from normal scans."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import console
from .options import (
    BankPrecisionName,
    CoresetOption,
    EpsOption,
    IterationsOption,
    MetricName,
    MetricOption,
    NeighborsOption,
    NormalizationName,
    NormalizationOption,
    NuOption,
    ProviderOption,
    QuietOption,
    RateOption,
    SeedOption,
    Sensor,
    sensor_preprocessing,
)

if TYPE_CHECKING:
    from ..runtime.preprocessing import Preprocessing


def calibrate(
    scans: Annotated[
        list[str],
        typer.Argument(
            metavar="SCAN...",
            help="Normal scans (images, if that is the bundle's sensor): files, folders or quoted globs.",
        ),
    ],
    bundle: Annotated[
        Path | None, typer.Option(help="Exported bundle.  [default: $CMDIAD_BUNDLE, else ./bundle]")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Where the calibrated bundle goes.  [default: in place]")] = None,
    false_reject_rate: RateOption = 0.01,
    coreset_ratio: CoresetOption = 0.1,
    metric: MetricOption = MetricName.l2,
    bank_precision: Annotated[
        BankPrecisionName, typer.Option(help="How banks hold their rows: fp16 takes half the memory on the line.")
    ] = BankPrecisionName.fp32,
    normalization: NormalizationOption = NormalizationName.paper,
    projection_eps: EpsOption = 0.9,
    n_neighbors: NeighborsOption = 2,
    nu: NuOption = 0.5,
    svm_iterations: IterationsOption = 1000,
    product: Annotated[str | None, typer.Option(help="What the bundle inspects.  [default: unchanged]")] = None,
    sensor: Annotated[
        Sensor | None, typer.Option(help="Preset of the preprocessing parameters.  [default: as trained]")
    ] = None,
    metres_per_unit: Annotated[
        float | None, typer.Option(help="Metres in one unit of the scans.  [default: as trained]")
    ] = None,
    defective: Annotated[
        Path | None,
        typer.Option(help="A scan with a defect, for `cmdiad-rt selftest`.  [default: the highest-scoring normal one]"),
    ] = None,
    line_graph: Annotated[
        bool | None,
        typer.Option(
            "--line-graph/--no-line-graph",
            help="Write line.onnx, the fused graph for GPUs, or do not.  [default: where it is below 256 MiB]",
        ),
    ] = None,
    provider: ProviderOption = "cpu",
    seed: SeedOption = 0,
    quiet: QuietOption = False,
) -> None:
    """Make memory banks, fusion and thresholds from normal scans, with the exported networks (no torch, no RGB)."""
    from ..calibration.calibrate import CalibrationSettings, calibrate_bundle
    from ..runtime.bundle import find_bundle, open_bundle
    from ..runtime.inspector import find_inputs

    source = open_bundle(find_bundle(bundle))
    target = out or source.path
    preprocessing = _adapted(source.manifest.preprocessing, sensor, metres_per_unit)
    settings = CalibrationSettings(
        false_reject_rate=false_reject_rate,
        coreset_ratio=coreset_ratio,
        metric=metric.value,
        bank_precision=bank_precision.value,
        normalization=normalization.value,
        projection_eps=projection_eps,
        n_neighbors=n_neighbors,
        nu=nu,
        svm_iterations=svm_iterations,
        seed=seed,
    )
    with console.progress_display(quiet) as progress:
        inputs = find_inputs(scans, source.manifest)
        manifest = calibrate_bundle(
            source, inputs, settings, target, provider, product, preprocessing, progress, defective, line_graph
        )
    assert manifest.calibration is not None
    for role, bank in manifest.banks.items():
        console.emit(f"bank {role}: {bank.n_rows} x {bank.dim}")
    console.emit(manifest.calibration.threshold.describe())
    console.emit(f"bundle: {target}")


def _adapted(trained: Preprocessing, sensor: Sensor | None, metres_per_unit: float | None) -> Preprocessing:
    import msgspec

    if sensor is not None:
        return sensor_preprocessing(sensor, metres_per_unit or trained.metres_per_unit)
    return msgspec.structs.replace(trained, metres_per_unit=metres_per_unit or trained.metres_per_unit)
