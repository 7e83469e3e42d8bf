"""`cmdiad calibrate`: memory banks, fusion and thresholds from normal scans."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..calibration.choices import BankPrecision
from ..runtime.bundle.parameters import Plane
from . import console, options, signing
from .bundle_updating import (
    find_parts,
    refuse_foreign_options,
    require_report,
    run_update,
    was_given,
    write_calibration_report,
)
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
        help="Normal scans (images if that is the bundle's sensor): files, folders or quoted globs.",
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
        help="always: scans are raw, and the plane is removed. never: scans were preprocessed "
        "before. auto: decided once, from all of these scans.  [default: the sensor file's, else auto]"
    ),
]
_DefectiveOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="SCAN",
        help="Known defects: file, folder or quoted glob, repeatable. They place the threshold, docs/thresholds.md; "
        "the clearest is kept for `cmdiad-rt selftest`.  [default: the highest-scoring normal scan]",
    ),
]
_ReportOption = Annotated[
    Path | None,
    typer.Option(help="Write an HTML report: which normal scans to look at, with pictures, and the threshold."),
]
_LineGraphOption = Annotated[
    bool | None,
    typer.Option(
        "--line-graph/--no-line-graph",
        help="Whether to write line.onnx, the fused graph for GPUs.  [default: where it is below 256 MiB]",
    ),
]
_UpdateOption = Annotated[
    bool,
    typer.Option(
        "--update",
        help="Update a calibrated bundle from recent good parts, with its own settings. The old one stays; "
        "see docs/drift.md.  [out: NAME-YYYYMMDD]",
    ),
]
_ReplaceOption = Annotated[
    bool,
    typer.Option(
        "--replace", help="With --update: make the banks from these scans alone.  [default: keep the old rows too]"
    ),
]
_AcceptOption = Annotated[
    list[str] | None,
    typer.Option(metavar="SCAN", help="With --update: a good scan that the old bundle rejects; repeatable."),
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
    neighborhood: options.Neighborhood = 1,
    score: options.Score = "paper",
    settings_file: options.Settings = None,
    product: _ProductOption = None,
    sensor: options.OtherSensor = None,
    metres_per_unit: Annotated[
        float | None, typer.Option(help="Meters in one unit of the scans.  [default: as trained]")
    ] = None,
    plane: _PlaneOption = None,
    window: options.Window = None,
    roi: options.Roi = None,
    parts: options.Parts = None,
    assignments: options.Assignments = None,
    defective: _DefectiveOption = None,
    line_graph: _LineGraphOption = None,
    report: _ReportOption = None,
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
    """Make memory banks, fusion and thresholds from normal scans with the exported networks (no torch, no RGB)."""
    from ..runtime.bundle.reading import find_bundle, is_signed, open_bundle

    refuse_foreign_options(context, update)
    _require_names(product, report)
    if update:
        judged = accept_defective or [], provider if was_given(context, "provider") else None, defective or []
        keys, signed_before = signing.signing_keys(sign, "calibrate"), is_signed(find_bundle(bundle))
        updated = run_update(scans, bundle, out, replace, *judged, line_graph, quiet, json, report)
        signing.finish_signing(updated, keys, signed_before, aloud=not json)
        return
    from ..calibration.calibrated_bundle import calibrate_bundle, product_of
    from ..calibration.calibration_settings import CalibrationSettings
    from ..calibration.settings_file import apply_settings_file

    given = CalibrationSettings(
        false_reject_rate=false_reject_rate,
        coreset_ratio=coreset_ratio,
        metric=metric,
        bank_precision=bank_precision,
        n_neighbors=n_neighbors,
        neighborhood=neighborhood,
        score=score,
        seed=seed,
    )
    settings = apply_settings_file(given, settings_file)
    keys, source = signing.signing_keys(sign, "calibrate"), open_bundle(find_bundle(bundle))
    signed_before = is_signed(source.path)
    inputs, known, left_out = find_parts(scans, defective or [], source.manifest)
    target = out or source.path
    _protect(target, product or product_of(inputs) or source.manifest.product, force)
    told = [*as_assignments(plane=plane, window=window, roi=roi, parts=parts), *(assignments or ())]
    described = _adapted(source.manifest, sensor, metres_per_unit, told, aloud=not json)
    source, preprocessing = source.of_sensor(described.identity), described.preprocessing
    with console.progress_display(quiet or json) as progress:
        completed = calibrate_bundle(
            source, inputs, settings, target, provider, product, preprocessing, progress, known, line_graph
        )
    _tell(completed, left_out, target, report, json)
    signing.finish_signing(target, keys, signed_before, aloud=not json)


def _require_names(product: str | None, report: Path | None) -> None:
    """Refuse a name that is blank, and a report that could not be written, before the work."""
    from ..runtime.errors import UsageError

    require_report(report)
    if product is not None and not product.strip():
        raise UsageError("--product: give a name, or leave it out")


def _tell(completed: Completed, said: list[str], target: Path, report: Path | None, json: bool) -> None:
    """Write the sheet and the report, and print what was found; what was said already is kept in both."""
    from ..calibration.calibration_page import calibration_object

    sheet, with_said = completed.write_sheet(target), replace(completed, warnings=(*said, *completed.warnings))
    if report is not None:
        write_calibration_report(with_said, report)
    if json:
        for warning in completed.warnings:
            console.warn(warning)
        console.emit_json(calibration_object(with_said, target, sheet, report))
        return
    _print(completed)
    for name, path in (("what was taken as the part", sheet), ("report", report), ("bundle", target)):
        if path is not None:
            console.emit(f"{name}: {path}")


def _print(completed: Completed) -> None:
    from ..calibration.calibration_page import advised_scans, choices_table
    from ..runtime.acceptance.golden import unseen_defect

    manifest, threshold = completed.manifest, completed.threshold
    console.emit(f"product: {manifest.product}")
    if completed.decision:
        console.emit(f"plane: {manifest.preprocessing.plane} ({completed.decision})")
    if manifest.preprocessing.window_pixels is not None:
        console.emit(f"window: {manifest.preprocessing.window_pixels} pixels around the part")
    preprocessing, n_parts = manifest.preprocessing, len(completed.scores)
    if preprocessing.roi is not None:
        console.emit(f"region of interest: {preprocessing.roi} (row, column, height, width)")
    if preprocessing.parts == "all":
        console.emit(f"parts: {n_parts} in {len(completed.scans)} scans, each left out with its whole scan")
    for role, bank in manifest.banks.items():
        console.emit(f"bank {role}: {bank.n_rows} x {bank.dim}")
    console.emit("highest scores of the normal scans, each without its own patches in the banks; look at them:")
    for scan in completed.ranked()[:N_HIGHEST]:
        share = f", {scan.score / threshold.value:.0%} of the threshold" if threshold.value > 0 else ""
        console.emit(f"  {scan.score:.4g}{share}{', suspicious' if scan.is_suspicious else ''}: {scan.scan}")
    console.emit(threshold.describe())
    if threshold.placement is not None:
        console.emit(threshold.placement.describe())
        console.print_titled_table(choices_table(completed))
    console.emit(advised_scans(completed).describe())
    if unseen := unseen_defect(completed.golden.values()):
        console.emit(unseen)
    for warning in completed.warnings:
        console.warn(warning)


def _protect(target: Path, product: str, force: bool) -> None:
    """Say how to keep a calibration that is there, and how to replace it, where nobody asked to."""
    from ..runtime.bundle.writing import protect_calibration

    if force:
        return
    name = Path(re.sub(r"[^\w.-]+", "_", product) + ".cmdiad")
    protect_calibration(target, f"--out {'NAME.cmdiad' if name.exists() else name} keeps it, --force replaces it")


def _adapted(
    manifest: Manifest, sensor: str | None, metres_per_unit: float | None, told: Sequence[str], aloud: bool
) -> SensorDescription:
    """The bundle's sensor, changed where asked; says aloud what that changes in a bundle that is calibrated."""
    import msgspec

    from ..runtime.bundle.sensor_changes import sensor_changes, what_is_made_again
    from ..runtime.sensor.sensor_file import adapted

    known = manifest.description
    if sensor is not None:
        # What the networks were trained to see is not the sensor's to say.
        told = [f"preprocessing.window={known.preprocessing.window}", *told]
    described = adapted(known, sensor, told, metres_per_unit)
    if described is None:
        return msgspec.structs.replace(known, preprocessing=known.preprocessing.undecided())
    changes = sensor_changes(known, described)
    if manifest.calibration is not None and changes and aloud:
        console.emit(f"sensor: {what_is_made_again(changes)}")
    return described
