"""What an update changes: the old and the new bundle on the same scans, for people and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..runtime.acceptance.golden import INDEX, GoldenCase, read_case, read_golden
from ..runtime.bundle.health_baseline import HealthBaseline
from ..runtime.bundle.manifest import Calibration
from ..runtime.bundle.parameters import Threshold
from ..runtime.bundle.reading import Bundle
from ..runtime.inspector import Inspector

LOST = "defective"


@dataclass(frozen=True)
class ScanUnderBoth:
    """One scan's verdict before and after.

    Attributes:
        scan: its file, or the golden case's name.
        score_before, is_defect_before: by the old bundle.
        score_after, is_defect_after: by the new one; a scan that it learned from is scored without its own rows.
    """

    scan: str
    score_before: float
    is_defect_before: bool
    score_after: float
    is_defect_after: bool


@dataclass(frozen=True)
class MeasureUnderBoth:
    """One measure of sensor, table, parts or score before and after; None where it was not measured.

    Attributes:
        measure: its name; the unit is in it.
        mean_before, mean_after, std_before, std_after: on the normal scans.
        shift_sigmas: of the mean, in standard deviations before; None if these are 0 or a mean is not known.
    """

    measure: str
    mean_before: float | None
    mean_after: float | None
    std_before: float | None
    std_after: float | None
    shift_sigmas: float | None


@dataclass(frozen=True)
class UpdateComparison:
    """The old bundle and the new one.

    Attributes:
        digest_before, digest_after: of the manifests.
        threshold_before, threshold_after, pixel_threshold_before, pixel_threshold_after: of score and map.
        scans: every recent scan.
        rejected_before: how many of these the old bundle rejects.
        golden: the old bundle's golden scans.
        health: every measure that either calibration has.
        warnings: what must be looked at before the new bundle goes to the line, a sentence each.
    """

    digest_before: str
    digest_after: str
    threshold_before: Threshold
    threshold_after: Threshold
    pixel_threshold_before: Threshold
    pixel_threshold_after: Threshold
    scans: tuple[ScanUnderBoth, ...]
    rejected_before: int
    golden: tuple[ScanUnderBoth, ...]
    health: tuple[MeasureUnderBoth, ...]
    warnings: tuple[str, ...]


def compared(
    before: Bundle, after: Bundle, old: Calibration, new: Calibration, scans: Sequence[ScanUnderBoth]
) -> UpdateComparison:
    """Compare two calibrated bundles.

    Args:
        before: with its golden scans.
        after: written.
        old, new: their calibrations.
        scans: the recent scans under both.
    """
    golden = _golden_under_both(before, after)
    return UpdateComparison(
        digest_before=before.manifest.digest,
        digest_after=after.manifest.digest,
        threshold_before=old.threshold,
        threshold_after=new.threshold,
        pixel_threshold_before=old.pixel_threshold,
        pixel_threshold_after=new.pixel_threshold,
        scans=tuple(scans),
        rejected_before=sum(scan.is_defect_before for scan in scans),
        golden=golden,
        health=_health_under_both(old.health, new.health),
        warnings=(*_lost(golden), *_fewer_scans(old.threshold, new.threshold)),
    )


def defective_case(bundle: Bundle) -> GoldenCase | None:
    """The golden scan with a defect that was given at calibration; None if the bundle has none."""
    if INDEX not in bundle.manifest.files:
        return None
    return next((case for case in read_golden(bundle).cases if case.name == LOST), None)


def _golden_under_both(before: Bundle, after: Bundle) -> tuple[ScanUnderBoth, ...]:
    if INDEX not in before.manifest.files:
        return ()
    under_both = []
    with Inspector(after, graph="networks", allow_any_size=True) as inspector:
        for case in read_golden(before).cases:
            inspection = inspector.inspect(read_case(before, case))
            under_both.append(
                ScanUnderBoth(case.name, case.score, case.is_defect, inspection.score, inspection.is_defect)
            )
    return tuple(under_both)


def _health_under_both(old: HealthBaseline | None, new: HealthBaseline | None) -> tuple[MeasureUnderBoth, ...]:
    before, after = ({} if told is None else told.measures for told in (old, new))
    under_both = []
    for name in dict.fromkeys([*before, *after]):
        was, is_now = before.get(name), after.get(name)
        shift = None if was is None or is_now is None or not was.std else (is_now.mean - was.mean) / was.std
        under_both.append(
            MeasureUnderBoth(
                measure=name,
                mean_before=None if was is None else was.mean,
                mean_after=None if is_now is None else is_now.mean,
                std_before=None if was is None else was.std,
                std_after=None if is_now is None else is_now.std,
                shift_sigmas=shift,
            )
        )
    return tuple(under_both)


def _lost(golden: Sequence[ScanUnderBoth]) -> list[str]:
    return [
        f"the golden scan {case.scan!r}, which the old bundle rejects, passes the new one ({case.score_after:.4g}): "
        "do not use the new bundle before you know why"
        for case in golden
        if case.is_defect_before and not case.is_defect_after
    ]


def _fewer_scans(old: Threshold, new: Threshold) -> list[str]:
    if new.n_scans >= old.n_scans or new.n_scans >= new.scans_needed:
        return []
    return [
        f"the new thresholds come from {new.n_scans} scans, the old ones from {old.n_scans}: give more recent good "
        "parts to make them more certain"
    ]
