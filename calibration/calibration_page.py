"""A calibration as one HTML file and one JSON object: which normal scans to look at, and where the threshold lies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from ..runtime.patches.routes import modalities
from ..runtime.preparation.prepared_part import prepare_parts, require_parts
from ..runtime.reports.chart import Chart
from ..runtime.reports.histogram import Bars, histogram
from ..runtime.reports.page import render_page
from ..runtime.reports.table import MISSING, Table
from ..runtime.sensor.in_memory import read_source
from .calibrated_bundle import Completed
from .held_out import HeldOutScan, suspicion_limit
from .known_defects import KnownDefect, RateChoice, rate_choices
from .part_pictures import side_by_side
from .recommended_scans import Recommendation, recommendation
from .trade import Traded, drawn_trade

_TEMPLATE = Path(__file__).with_name("calibration.html")


def advised_scans(completed: Completed) -> Recommendation:
    """How many normal scans the false-reject rate needs."""
    return recommendation(len(completed.scores), completed.threshold.false_reject_rate)


def choices_of(completed: Completed) -> list[RateChoice]:
    """What other false-reject rates would give."""
    return rate_choices(completed.scores, completed.known, completed.threshold.false_reject_rate)


def choices_table(completed: Completed) -> Table:
    """Other false-reject rates, with the known defects that each would miss, if there are any."""
    known = len(completed.known)
    headers = ["false-reject rate", "threshold", "how", *(["known defects missed"] if known else [])]
    rows = [
        [
            f"{100 * choice.false_reject_rate:.3g} %",
            f"{choice.threshold:.4g}",
            "counted" if choice.method == "order-statistic" else choice.method,
            *([f"{choice.missed} of {known}"] if known else []),
        ]
        for choice in choices_of(completed)
    ]
    return Table("What other false-reject rates would give, from the normal scans alone", headers, rows, 0)


def calibration_object(completed: Completed, bundle: Path, sheet: Path, report: Path | None) -> dict[str, object]:
    """The documented object of `calibrate --json`; `scans` are all normal scans, the highest score first."""
    manifest, calibration = completed.manifest, completed.manifest.calibration
    assert calibration is not None
    return {
        "bundle": str(bundle),
        "digest": manifest.digest,
        "product": manifest.product,
        "plane": manifest.preprocessing.plane,
        "n_scans": calibration.n_scans,
        "threshold": calibration.threshold,
        "pixel_threshold": calibration.pixel_threshold,
        "suspicious_above_sigmas": suspicion_limit(len(completed.scores)),
        "scans": [_scan_object(scan, completed) for scan in completed.ranked()],
        "recommended": asdict(advised_scans(completed)),
        "known_defects": [_defect_object(defect, completed) for defect in completed.known],
        "golden": completed.golden,
        "trade": [asdict(choice) for choice in choices_of(completed)],
        "warnings": list(completed.warnings),
        "parts_sheet": str(sheet),
        "report": None if report is None else str(report),
    }


def calibration_page(completed: Completed) -> str:
    """The page, with the normal scans of the highest scores as pictures.

    Raises:
        ScanError: one of them can no longer be read.
    """
    shown = [scan for scan in completed.ranked() if scan.number in completed.maps]
    return render_page(
        _TEMPLATE,
        title=f"Calibration: {completed.manifest.product}",
        n_scans=len(completed.scans),
        threshold=completed.threshold,
        advice=advised_scans(completed).describe(),
        warnings=completed.warnings,
        limit=suspicion_limit(len(completed.scores)),
        pictures=[(scan, _picture(scan, completed)) for scan in shown],
        charts=[chart for chart in (_scores_chart(completed), _trade_chart(completed)) if chart is not None],
        choices=choices_table(completed),
        scans=_scans_table(completed.ranked(), completed.threshold.value),
        known=_known_table(completed.known, completed.threshold.value),
    )


def _scan_object(scan: HeldOutScan, completed: Completed) -> dict[str, object]:
    return {
        "scan": str(scan.scan),
        "score": scan.score,
        "is_defect": scan.score > completed.threshold.value,
        "robust_sigmas": scan.sigmas,
        "is_suspicious": scan.is_suspicious,
    }


def _defect_object(defect: KnownDefect, completed: Completed) -> dict[str, object]:
    return {
        "scan": str(defect.scan),
        "sha256": defect.digest,
        "score": defect.score,
        "is_missed": defect.score <= completed.threshold.value,
        "is_among_normal": defect.is_among_normal,
        "refusal": defect.refusal or None,
    }


def _picture(scan: HeldOutScan, completed: Completed) -> str:
    manifest = completed.manifest
    assert manifest.calibration is not None
    measured = modalities(manifest)
    number = completed.scan_of[scan.number]
    part = read_source(completed.scans[number], measured, manifest.preprocessing)
    among = require_parts(prepare_parts(part, measured, manifest.preprocessing, manifest.part_range))
    prepared = among[scan.number - completed.scan_of.index(number)]
    return side_by_side(part, prepared, completed.maps[scan.number], manifest.calibration.pixel_threshold.value)


def _scores_chart(completed: Completed) -> Chart:
    known = np.array([defect.score for defect in completed.known])
    kinds = [Bars("normal", "good", completed.scores), Bars("known defects", "bad", known)]
    chosen = [bars for bars in kinds if len(bars.values)]
    return histogram("Scores", "score", "scans", chosen, completed.threshold.value)


def _trade_chart(completed: Completed) -> Chart | None:
    """Known defects missed against normal scans rejected; None without known defects."""
    known = np.array([defect.score for defect in completed.known])
    scores = np.concatenate([completed.scores, known])
    is_defective = np.arange(len(scores)) >= len(completed.scores)
    traded = Traded("by the threshold", scores, is_defective, completed.threshold.value)
    return drawn_trade("The trade-off: known defects missed against normal scans rejected", [traded])


def _scans_table(scans: Sequence[HeldOutScan], threshold: float) -> Table:
    rows = [
        [
            str(scan.scan),
            "suspicious" if scan.is_suspicious else "",
            f"{scan.score:.4g}",
            f"{scan.score / threshold:.0%}" if threshold > 0 else MISSING,
            MISSING if scan.sigmas is None else f"{scan.sigmas:+.1f}",
        ]
        for scan in scans
    ]
    return Table("All normal scans", ["scan", "", "score", "of the threshold", "robust sigma"], rows, 2)


def _known_table(known: Sequence[KnownDefect], threshold: float) -> Table | None:
    if not known:
        return None
    rows = [
        [str(defect.scan), "missed" if defect.score <= threshold else "found", f"{defect.score:.4g}"]
        for defect in sorted(known, key=lambda defect: defect.score)
    ]
    return Table("Known defects, the lowest first", ["scan", "verdict", "score"], rows, 2)
