"""`cmdiad calibrate --update`: which options go with it, and what it prints."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from . import console

if TYPE_CHECKING:
    from ..calibration.calibrated_bundle import Completed
    from ..calibration.update_comparison import ScanUnderBoth, UpdateComparison
    from ..calibration.updating import Updated
    from ..runtime.bundle.manifest import Manifest
    from ..runtime.bundle.parameters import Threshold

# All that an update has a use for; the rest it takes from the old bundle.
USED = {
    "scans",
    "bundle",
    "out",
    "defective",
    "line_graph",
    "report",
    "sign",
    "provider",
    "update",
    "json",
    "quiet",
}
OF_UPDATE = {"replace", "accept_defective"}
N_SHIFTED = 5


def refuse_foreign_options(context: typer.Context, update: bool) -> None:
    """Refuse options that would have no effect: an update takes the old bundle's settings and replaces nothing.

    Raises:
        UsageError: names the option.
    """
    from ..runtime.errors import UsageError

    names = {parameter.name: parameter.opts[0] for parameter in context.command.params}
    foreign = names.keys() - USED - OF_UPDATE if update else OF_UPDATE
    for name in names:
        if name in foreign and was_given(context, name):
            if update:
                raise UsageError(
                    f"{names[name]}: an update takes it from the old bundle, or has no use for it: leave it out"
                )
            raise UsageError(f"{names[name]}: goes with --update alone: leave it out, or add --update")


def was_given(context: typer.Context, name: str) -> bool:
    """Whether a parameter was typed."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def run_update(
    scans: Sequence[str],
    bundle: Path | None,
    out: Path | None,
    replace: bool,
    accepted: Sequence[str],
    provider: str | None,
    defective: Sequence[str],
    line_graph: bool | None,
    quiet: bool,
    json: bool,
    report: Path | None,
) -> Path:
    """Update a bundle, and print what has changed: where the new one lies."""
    from ..calibration.updating import UpdateRequest, dated_name, update_bundle
    from ..runtime.acceptance.golden import unseen_defect
    from ..runtime.bundle.reading import find_bundle, open_bundle

    source = open_bundle(find_bundle(bundle))
    inputs, known, left_out = find_parts(scans, defective, source.manifest)
    target = out or dated_name(source.path, date.today())
    command = (Path(sys.argv[0]).name, *sys.argv[1:])
    request = UpdateRequest(
        tuple(inputs), target, replace, tuple(accepted), provider, tuple(known), line_graph, command
    )
    with console.progress_display(quiet) as progress:
        updated = update_bundle(source, request, progress)
    warnings = [*updated.comparison.warnings, *updated.completed.warnings]
    for warning in warnings:
        console.warn(warning)
    sheet = updated.completed.write_sheet(target)
    if report is not None:
        write_calibration_report(updated.completed, report)
    if json:
        console.emit_json(_as_json(updated, source.path, target, sheet, [*left_out, *warnings]))
        return target
    _print(updated.comparison, source.path)
    if unseen := unseen_defect(updated.completed.golden.values()):
        console.emit(unseen)
    console.emit(f"what was taken as the part: {sheet}")
    if report is not None:
        console.emit(f"report: {report}")
    console.emit(f"audit trail: {updated.audit}")
    console.emit(f"bundle: {target}")
    return target


def find_parts(
    scans: Sequence[str], defective: Sequence[str], manifest: Manifest
) -> tuple[list[Path], list[Path], list[str]]:
    """Normal parts, known defects, and what is left out of their folders, which is said: a sentence each."""
    from ..runtime.patches.routes import modalities
    from ..runtime.sensor.part import find_defective_parts, find_normal_parts

    measured = modalities(manifest)
    with console.said_warnings() as left_out:
        inputs = find_normal_parts(scans, measured)
        known = find_defective_parts(defective, measured) if defective else []
    return inputs, known, left_out


def require_report(report: Path | None) -> None:
    """Before the work.

    Raises:
        OutputError: the report cannot be written.
    """
    from ..runtime.files.atomic import require_writable

    if report is not None:
        require_writable(report)


def write_calibration_report(completed: Completed, report: Path) -> None:
    """The page of a calibration.

    Raises:
        OutputError: it cannot be written.
        ScanError: a scan that it shows cannot be read any more.
    """
    from ..calibration.calibration_page import calibration_page
    from ..runtime.files.atomic import atomic_write_bytes
    from ..runtime.files.json_encoding import encode_text

    atomic_write_bytes(report, encode_text(calibration_page(completed)))


def _as_json(updated: Updated, before: Path, after: Path, sheet: Path, warnings: list[str]) -> dict[str, Any]:
    told = updated.comparison
    return {
        "bundle_before": str(before),
        "bundle_after": str(after),
        "digest_before": told.digest_before,
        "digest_after": told.digest_after,
        "threshold_before": told.threshold_before,
        "threshold_after": told.threshold_after,
        "pixel_threshold_before": told.pixel_threshold_before,
        "pixel_threshold_after": told.pixel_threshold_after,
        "rejected_before": told.rejected_before,
        "scans": [asdict(scan) for scan in told.scans],
        "golden": [asdict(case) for case in told.golden],
        "health": [asdict(measure) for measure in told.health],
        "warnings": warnings,
        "parts_sheet": str(sheet),
        "audit": str(updated.audit),
    }


def _print(told: UpdateComparison, before: Path) -> None:
    console.emit(f"old bundle: {before} (unchanged)")
    console.emit(f"it rejects {told.rejected_before} of {len(told.scans)} recent scans")
    rows = [
        ["score threshold", *_figures(told.threshold_before, told.threshold_after)],
        ["map threshold", *_figures(told.pixel_threshold_before, told.pixel_threshold_after)],
        *(_verdicts(f"golden {case.scan}", case) for case in told.golden),
        ["mean score of recent scans", *_mean_scores(told.scans)],
        *_shifted(told),
    ]
    console.print_table(["", "before", "after"], rows, numeric=(1, 2))
    console.emit("recent scans are scored without their own patches in the new banks")
    console.emit(told.threshold_after.describe())
    if told.threshold_after.placement is not None:
        console.emit(told.threshold_after.placement.describe())


def _figures(before: Threshold, after: Threshold) -> tuple[str, str]:
    return f"{before.value:.4g}", f"{after.value:.4g}"


def _verdicts(name: str, case: ScanUnderBoth) -> list[str]:
    words = {True: "defect", False: "good"}
    return [
        name,
        f"{case.score_before:.4g} {words[case.is_defect_before]}",
        f"{case.score_after:.4g} {words[case.is_defect_after]}",
    ]


def _mean_scores(scans: Sequence[ScanUnderBoth]) -> tuple[str, str]:
    count = len(scans)
    before, after = sum(scan.score_before for scan in scans) / count, sum(scan.score_after for scan in scans) / count
    return f"{before:.4g}", f"{after:.4g}"


def _shifted(told: UpdateComparison) -> list[list[str]]:
    """The measures that have moved most, in standard deviations of before."""
    known = [measure for measure in told.health if measure.shift_sigmas is not None]
    known.sort(key=lambda measure: -abs(measure.shift_sigmas or 0.0))
    return [
        [
            f"mean {measure.measure}",
            f"{measure.mean_before:.4g}",
            f"{measure.mean_after:.4g} ({measure.shift_sigmas:+.1f} sigma)",
        ]
        for measure in known[:N_SHIFTED]
    ]
