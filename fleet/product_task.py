"""One product's work, as it is sent to the process that does it, and what comes back; both as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

import msgspec

from ..calibration.evaluation.outcomes import Row
from ..calibration.update_comparison import MeasureUnderBoth
from ..runtime.bundle.parameters import Threshold
from ..version import __version__
from .products_file import FleetProduct, FleetTable

Step = Literal["export", "calibrate", "evaluate", "bench"]
STEPS: tuple[Step, ...] = get_args(Step)


class ProductTask(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be done for one product.

    Attributes:
        product: with absolute paths.
        steps: in their order, including those that the requested ones need.
        fleet: the file's [fleet] table.
        version: of the program that asks; the one that does the work must have the same.
    """

    product: FleetProduct
    steps: list[Step]
    fleet: FleetTable
    version: str = __version__

    def folder(self, step: Step) -> Path:
        """The folder that a step leaves."""
        return Path(self.product.out or "") / step

    def bundle(self, step: Step) -> Path:
        """The bundle that a step writes: the exported one, or the calibrated one."""
        return self.folder(step) / f"{self.product.name}.cmdiad"


class ExportedNetworks(msgspec.Struct, frozen=True, kw_only=True):
    """The result of exporting a run.

    Attributes:
        digest: of the bundle's manifest, which covers every file.
    """

    digest: str


class BundleDrift(msgspec.Struct, frozen=True, kw_only=True):
    """How a product's new bundle differs from its last one.

    Attributes:
        digest_before: of the last one's manifest.
        threshold_before, pixel_threshold_before: its thresholds.
        threshold_change: the new threshold over the old one, minus 1; None if the old one was 0.
        measures: of sensor, table, parts and score on the normal scans of both.
        warnings: what must be looked at before the new bundle goes to the line, a sentence each.
        not_compared: why only the thresholds are compared; empty if everything is.
    """

    digest_before: str
    threshold_before: Threshold
    pixel_threshold_before: Threshold
    threshold_change: float | None
    measures: list[MeasureUnderBoth] = []
    warnings: list[str] = []
    not_compared: str = ""

    @property
    def largest(self) -> MeasureUnderBoth | None:
        """The measure that has moved most, in standard deviations; None where no shift is known."""
        known = [measure for measure in self.measures if measure.shift_sigmas is not None]
        return max(known, key=lambda measure: abs(measure.shift_sigmas or 0.0), default=None)


class CalibratedProduct(msgspec.Struct, frozen=True, kw_only=True):
    """The result of calibrating a product.

    Attributes:
        digest: of the bundle's manifest.
        n_scans, n_parts: how many scans and parts it was learned from.
        threshold, pixel_threshold: of score and map.
        decision: why scans count as raw or preprocessed; empty for images.
        warnings: what should be looked at before these scans are called normal.
        drift: since the product's last bundle; None for the first.
    """

    digest: str
    n_scans: int
    n_parts: int
    threshold: Threshold
    pixel_threshold: Threshold
    decision: str
    warnings: list[str]
    drift: BundleDrift | None


class EvaluatedProduct(msgspec.Struct, frozen=True, kw_only=True):
    """The result of scoring a product's labeled test parts with its calibrated bundle.

    Attributes:
        row: scores of detection.
        n_good, false_rejects, n_defective, misses, refused: the verdicts, see `Verdicts`.
        warnings: what falsifies these figures.
    """

    row: Row
    n_good: int
    false_rejects: int
    n_defective: int
    misses: int
    refused: int
    warnings: list[str] = []


class MeasuredProduct(msgspec.Struct, frozen=True, kw_only=True):
    """The result of measuring a product's inspection, one part after the other.

    Attributes:
        machine: what it was measured on.
        n: how many latencies were measured.
        p50_s, p90_s, p99_s: percentiles; p90 and p99 are None if there are too few latencies for them.
        throughput_hz: parts a second.
    """

    machine: str
    n: int
    p50_s: float
    p90_s: float | None
    p99_s: float | None
    throughput_hz: float


class StepFailure(msgspec.Struct, frozen=True, kw_only=True):
    """Why a product could not be done.

    Attributes:
        step: the one that failed; None if the work did not begin or its process was lost.
        kind, message, exit_code: of the error.
    """

    step: Step | None
    kind: str
    message: str
    exit_code: int


class ProductOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one product.

    Attributes:
        product: its name.
        bundle: the calibrated bundle's file, from this run or an earlier one; None if there is no such bundle.
        done: the steps that were done now.
        kept: the steps that were done before, from the same scans, settings and networks.
        exported, calibrated, evaluated, measured: the results of the steps.
        error: of the step that failed; None if all went well.
        seconds: the time it took.
    """

    product: str
    bundle: str | None = None
    done: list[Step] = []
    kept: list[Step] = []
    exported: ExportedNetworks | None = None
    calibrated: CalibratedProduct | None = None
    evaluated: EvaluatedProduct | None = None
    measured: MeasuredProduct | None = None
    error: StepFailure | None = None
    seconds: float = 0.0


def steps_of(asked: Sequence[Step], product: FleetProduct) -> list[Step]:
    """The steps of a product: those requested, and before them those that they need.

    A run is exported for all others, and a product is calibrated before it is evaluated or measured.
    """
    needed = set(asked)
    if needed & {"evaluate", "bench"}:
        needed.add("calibrate")
    if product.run is not None:
        needed.add("export")
    elif "export" in needed:
        needed.discard("export")
    return [step for step in STEPS if step in needed]
