"""`cmdiad calibrate`: memory banks, fusion and thresholds from normal scans."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..calibration.choices import BankPrecision
from ..runtime.bundle.parameters import Plane
from . import console, options, signing
from .bundle_updating import refuse_foreign_options, run_update, was_given
from .extras import CALIBRATE, needs
from .interruption import when_interrupted
from .line_options import as_assignments

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..calibration.calibrated_bundle import Completed
    from ..runtime.bundle.manifest import Manifest
    from ..runtime.bundle.sensor_description import SensorDescription

N_HIGHEST = 3

_ScansArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="SCAN",
        help="Normal scans (images, if that is the bundle's sensor): files, folders or quoted globs.",
    ),
]
_BankPrecisionOption = Annotated[
    BankPrecision, typer.Option(help="How banks hold their rows: fp16 takes half the memory on the line.")
]
_ProductOption = Annotated[
    str | None, typer.Option(help="What the bundle inspects.  [default: the scans' class folder, else unchanged]")
]
_PlaneOption = Annotated[
    Plane | None,
    typer.Option(
        help="always: scans are raw, the plane that parts stand on is removed. never: they were preprocessed "
        "before. auto: decided once, from all of these scans.  [default: the sensor file's, else auto]"
    ),
]
_DefectiveOption = Annotated[
    Path | None,
    typer.Option(help="A scan with a defect, for `cmdiad-rt selftest`.  [default: the highest-scoring normal one]"),
]
_LineGraphOption = Annotated[
    bool | None,
    typer.Option(
        "--line-graph/--no-line-graph",
        help="Write line.onnx, the fused graph for GPUs, or do not.  [default: where it is below 256 MiB]",
    ),
]
_UpdateOption = Annotated[
    bool,
    typer.Option(
        "--update",
        help="Bring a calibrated bundle up to date from recent good parts, with its own settings. The old one stays; "
        "see docs/drift.md.  [out: NAME-YYYYMMDD]",
    ),
]
_ReplaceOption = Annotated[
    bool,
    typer.Option("--replace", help="With --update: banks of these scans alone.  [default: the old rows are kept too]"),
]
_AcceptOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="SCAN", help="With --update: a scan that the old bundle rejects, and that is good; repeatable."
    ),
]


@needs(CALIBRATE)
@when_interrupted("no bundle was written: run it again")
def calibrate(
    context: typer.Context,
    scans: _ScansArgument,
    bundle: Annotated[
        Path | None, typer.Option(help="Exported bundle.  [default: $CMDIAD_BUNDLE, else ./bundle]")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Where the calibrated bundle goes.  [default: in place]")] = None,
    false_reject_rate: options.Rate = 0.01,
    coreset_ratio: options.Coreset = 0.1,
    metric: options.Metric = "l2",
    bank_precision: _BankPrecisionOption = "fp32",
    n_neighbors: options.Neighbors = 2,
    settings_file: options.Settings = None,
    product: _ProductOption = None,
    sensor: options.OtherSensor = None,
    metres_per_unit: Annotated[
        float | None, typer.Option(help="Metres in one unit of the scans.  [default: as trained]")
    ] = None,
    plane: _PlaneOption = None,
    window: options.Window = None,
    roi: options.Roi = None,
    parts: options.Parts = None,
    assignments: options.Assignments = None,
    defective: _DefectiveOption = None,
    line_graph: _LineGraphOption = None,
    force: options.Force = False,
    sign: signing.Sign = None,
    provider: options.Provider = "cpu",
    seed: options.Seed = 0,
    update: _UpdateOption = False,
    replace: _ReplaceOption = False,
    accept_defective: _AcceptOption = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Make memory banks, fusion and thresholds from normal scans, with the exported networks (no torch, no RGB)."""
    from ..runtime.bundle.reading import find_bundle, is_signed, open_bundle

    refuse_foreign_options(context, update)
    if update:
        asked = provider if was_given(context, "provider") else None
        accepted = accept_defective or []
        keys, signed_before = signing.signing_keys(sign, "calibrate"), is_signed(find_bundle(bundle))
        updated = run_update(scans, bundle, out, replace, accepted, asked, defective, line_graph, quiet, json)
        signing.finish_signing(updated, keys, signed_before, aloud=not json)
        return
    from ..calibration.calibrated_bundle import calibrate_bundle, product_of
    from ..calibration.calibration_settings import CalibrationSettings
    from ..calibration.settings_file import apply_settings_file
    from ..runtime.bundle.writing import protect_calibration
    from ..runtime.errors import UsageError
    from ..runtime.patches.routes import modalities
    from ..runtime.sensor.part import find_normal_parts

    given = CalibrationSettings(
        false_reject_rate=false_reject_rate,
        coreset_ratio=coreset_ratio,
        metric=metric,
        bank_precision=bank_precision,
        n_neighbors=n_neighbors,
        seed=seed,
    )
    settings = apply_settings_file(given, settings_file)
    if product is not None and not product.strip():
        raise UsageError("--product: give a name, or leave it out")
    keys, source = signing.signing_keys(sign, "calibrate"), open_bundle(find_bundle(bundle))
    inputs = find_normal_parts(scans, modalities(source.manifest))
    product, target = product or product_of(inputs) or source.manifest.product, out or source.path
    if not force:
        protect_calibration(target, _advice(product))
    told = [*as_assignments(plane=plane, window=window, roi=roi, parts=parts), *(assignments or ())]
    described = _adapted(source.manifest, sensor, metres_per_unit, told)
    source, signed_before = source.of_sensor(described.identity), is_signed(source.path)
    made = described.preprocessing
    with console.progress_display(quiet) as progress:
        completed = calibrate_bundle(
            source, inputs, settings, target, provider, product, made, progress, defective, line_graph
        )
    _print(completed, target)
    signing.finish_signing(target, keys, signed_before)


def _print(completed: Completed, target: Path) -> None:
    manifest = completed.manifest
    assert manifest.calibration is not None
    threshold = manifest.calibration.threshold
    console.emit(f"product: {manifest.product}")
    if completed.decision:
        console.emit(f"plane: {manifest.preprocessing.plane} ({completed.decision})")
    if manifest.preprocessing.window_pixels is not None:
        console.emit(f"window: {manifest.preprocessing.window_pixels} pixels around the part")
    preprocessing, n_parts = manifest.preprocessing, manifest.calibration.n_scans
    if preprocessing.roi is not None:
        console.emit(f"region of interest: {preprocessing.roi} (row, column, height, width)")
    if preprocessing.parts == "all":
        console.emit(f"parts: {n_parts} in {len(completed.scans)} scans, each left out with its whole scan")
    for role, bank in manifest.banks.items():
        console.emit(f"bank {role}: {bank.n_rows} x {bank.dim}")
    console.emit("highest scores of the normal scans, each without its own patches in the banks; look at them:")
    for scan, score in completed.highest(N_HIGHEST):
        share = f", {score / threshold.value:.0%} of the threshold" if threshold.value > 0 else ""
        console.emit(f"  {score:.4g}{share}: {scan}")
    console.emit(threshold.describe())
    for warning in completed.warnings:
        console.warn(warning)
    console.emit(f"what was taken as the part: {completed.write_sheet(target)}")
    console.emit(f"bundle: {target}")


def _advice(product: str) -> str:
    """How to keep a calibration that is there, and how to replace it."""
    name = Path(re.sub(r"[^\w.-]+", "_", product) + ".cmdiad")
    return f"--out {'NAME.cmdiad' if name.exists() else name} keeps it, --force replaces it"


def _adapted(
    manifest: Manifest, sensor: str | None, metres_per_unit: float | None, told: Sequence[str]
) -> SensorDescription:
    """The bundle's sensor, changed where asked; says what that changes in a bundle that is calibrated."""
    import msgspec

    from ..runtime.bundle.sensor_changes import sensor_changes, what_must_be_done
    from ..runtime.sensor.sensor_file import adapted

    known = manifest.description
    if sensor is not None:
        # What the networks were trained to see is not the sensor's to say.
        told = [f"preprocessing.window={known.preprocessing.window}", *told]
    described = adapted(known, sensor, told, metres_per_unit)
    if described is None:
        return msgspec.structs.replace(known, preprocessing=known.preprocessing.undecided())
    changes = sensor_changes(known, described)
    if manifest.calibration is not None and changes:
        console.emit(f"sensor: {what_must_be_done(changes)}")
    return described
