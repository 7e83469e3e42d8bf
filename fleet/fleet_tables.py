"""The one table of a fleet: products, thresholds, detection, and how far each has moved since its last bundle."""

from __future__ import annotations

from collections.abc import Sequence

from ..runtime.reports.table import MISSING, Table
from .fleet_run import FleetReport
from .product_task import BundleDrift, CalibratedProduct, EvaluatedProduct, ProductOutcome

HEADERS = [
    "product",
    "state",
    "parts",
    "threshold",
    "map threshold",
    "I-AUROC",
    "AUPRO",
    "false rejects",
    "misses",
    "threshold moved",
    "moved most",
    "sigma",
    "median ms",
]
_NOTE = (
    "Moved: since the product's last bundle; sigma: the shift of the measure that moved most, in standard deviations "
    "of the last bundle. A dash: not requested, not known, or there is no last bundle."
)


def products_table(report: FleetReport) -> Table:
    """The table with one row per product."""
    rows = [_row(outcome) for outcome in report.products]
    return Table("Products", HEADERS, rows, n_labels=2, note=_NOTE)


def counted_states(report: FleetReport) -> dict[str, int]:
    """How many products are done, kept from before, and failed."""
    states = [state_of(outcome) for outcome in report.products]
    return {state: states.count(state) for state in ("done", "kept", "FAILED")}


def counted_products(report: FleetReport) -> str:
    """How many products the table has, and how many the file lists if some were left out."""
    count, listed = len(report.products), report.listed
    return f"{count} product{'s' * (count != 1)}" if count == listed else f"{count} of the file's {listed} products"


def state_of(outcome: ProductOutcome) -> str:
    """What became of a product, in a word: done; kept, if nothing had changed; or FAILED."""
    if outcome.error is not None:
        return "FAILED"
    return "done" if outcome.done else "kept"


def warnings_of(outcome: ProductOutcome) -> list[str]:
    """What should be looked at before a product's bundle goes to the line, and what falsifies its figures."""
    warnings: list[str] = []
    if outcome.calibrated is not None:
        drift = outcome.calibrated.drift
        compared = [] if drift is None else [*drift.warnings, *([drift.not_compared] if drift.not_compared else [])]
        warnings += [*outcome.calibrated.warnings, *compared]
    if outcome.evaluated is not None:
        warnings += outcome.evaluated.warnings
    return [f"{outcome.product}: {warning}" for warning in warnings]


def _row(outcome: ProductOutcome) -> list[str]:
    measured = outcome.measured
    return [
        outcome.product,
        state_of(outcome),
        *_calibration_cells(outcome.calibrated),
        *_detection_cells(outcome.evaluated),
        *_drift_cells(None if outcome.calibrated is None else outcome.calibrated.drift),
        MISSING if measured is None else f"{1e3 * measured.p50_s:.1f}",
    ]


def _calibration_cells(calibrated: CalibratedProduct | None) -> Sequence[str]:
    if calibrated is None:
        return [MISSING] * 3
    return [str(calibrated.n_parts), f"{calibrated.threshold.value:.4g}", f"{calibrated.pixel_threshold.value:.4g}"]


def _detection_cells(evaluated: EvaluatedProduct | None) -> Sequence[str]:
    if evaluated is None:
        return [MISSING] * 4
    row = evaluated.row
    scores = [MISSING if score is None else f"{score:.3f}" for score in (row.i_auroc, row.aupro)]
    return [
        *scores,
        f"{evaluated.false_rejects} of {evaluated.n_good}",
        f"{evaluated.misses} of {evaluated.n_defective}",
    ]


def _drift_cells(drift: BundleDrift | None) -> Sequence[str]:
    if drift is None:
        return [MISSING] * 3
    change = MISSING if drift.threshold_change is None else f"{drift.threshold_change:+.1%}"
    largest = drift.largest
    if largest is None or largest.shift_sigmas is None:
        return [change, MISSING, MISSING]
    return [change, largest.measure, f"{largest.shift_sigmas:+.1f}"]
