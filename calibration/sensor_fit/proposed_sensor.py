"""A sensor's description proposed from what some of its raw scans say, and what it makes of each of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from ...runtime.bundle.sensor_changes import flat_values
from ...runtime.bundle.sensor_description import SensorDescription
from ...runtime.errors import ScanError, naming_scan
from ...runtime.preparation.part_view import PartView
from ...runtime.preparation.prepare import PreparedScan, evidence_of, prepare
from ...runtime.preparation.raw_or_preprocessed import settle
from ...runtime.preparation.settling import names_apart
from ...runtime.progress import Progress
from ...runtime.sensor.part import POINTS, Part, read_part
from ...runtime.sensor.sensor_file import assigned, described, settings_of
from .scan_measures import SensorMeasure, measure_scan
from .shadow_gaps import agreed_distance, joining_distance

MOST_MEASURED = 24
"""Scans that are measured; of more as many evenly chosen ones are."""

# A table's points are told from others at so many standard deviations of its noise; never finer than a pixel.
_SIGMAS = 4.0
# Pixels that a gap in a part may have: what the presets' cluster distances are, too.
_CLUSTER_PITCHES = 10.0
_CLUSTER_SIGMAS = 6.0
# Shadows of other parts, and of other places of the same, are a little wider.
_MARGIN = 1.25
# A border less measured than this says too little about the far end of the table.
_FULL_BORDER = 0.5
_DIGITS = 2
_FEW_SCANS = 3

Look = Callable[[str, Part, SensorDescription, PreparedScan | None], None]


@dataclass(frozen=True)
class ScanOutcome:
    """What a description makes of one scan: its part, or why there is none."""

    name: str
    view: PartView | None
    error: str = ""


@dataclass(frozen=True)
class SensorFit:
    """A proposed description.

    Attributes:
        description: what is proposed.
        notes: how the values of some keys were measured, a sentence each.
        names: of the scans that were measured.
        measures: what each of them says.
        outcomes: what the description makes of each.
        warnings: what was not measured, or should be looked at, a sentence each.
    """

    description: SensorDescription
    notes: dict[str, str]
    names: tuple[str, ...]
    measures: tuple[SensorMeasure, ...]
    outcomes: tuple[ScanOutcome, ...]
    warnings: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """For machines: `sensor {key: value}, measured {key: how}, warnings, scans [{scan, pixel_pitch_m, ...}]`."""
        scans = zip(self.names, self.measures, self.outcomes, strict=True)
        return {
            "sensor": flat_values(self.description),
            "measured": self.notes,
            "warnings": self.warnings,
            "scans": [_json(name, measure, outcome) for name, measure, outcome in scans],
        }


def fit_sensor(
    scans: Sequence[Path],
    known: SensorDescription,
    assignments: Sequence[str] = (),
    progress: Progress = lambda *_: None,
    look: Look = lambda *_: None,
) -> SensorFit:
    """Measure some raw scans of one sensor, and propose its description.

    Args:
        scans: at least one.
        known: what is known of the sensor: its name, unit and geometry, and what is not measured.
        assignments: values of `--set`, which hold whatever is measured.
        progress: called with (stage, done, all, remark).
        look: is shown every scan, by its name, with what the proposed description makes of it, to draw it.

    Raises:
        ScanError: a scan cannot be read.
        UsageError: scans are of both kinds, raw and preprocessed, or an assignment makes no sense.
    """
    chosen = [scans[index] for index in _evenly(len(scans))]
    names = tuple(names_apart(chosen))
    measures, said = _measured(chosen, names, known, progress)
    settings, notes = proposed_settings(measures)
    base = settings_of(known)
    merged = {table: {**base[table], **settings.get(table, {})} for table in base}
    proposed = described(assigned(merged, assignments), "the proposed sensor")
    proposed, told, warnings = _settled(proposed, chosen, names)
    if proposed.preprocessing.plane == "always" and not _is_told("preprocessing.cluster_distance_m", assignments):
        proposed, joined = _joined(proposed, chosen)
        notes |= joined
    outcomes = _outcomes(chosen, names, proposed, progress, look)
    return SensorFit(
        description=proposed,
        notes=_of_what_holds({**notes, "preprocessing.plane": told}, assignments),
        names=names,
        measures=tuple(measures),
        outcomes=tuple(outcomes),
        warnings=(*said, *warnings, *_warnings(measures, names, outcomes)),
    )


def _measured(
    scans: Sequence[Path], names: Sequence[str], known: SensorDescription, progress: Progress
) -> tuple[list[SensorMeasure], list[str]]:
    """What every scan says of the sensor, and what its reader left out, a sentence each."""
    measures, said = [], []
    for number, (scan, name) in enumerate(zip(scans, names, strict=True), 1):
        with naming_scan(scan):
            part = _read(scan, known)
            assert part.points is not None
            said += [f"{name}: {note}" for note in part.notes]
            measures.append(measure_scan(part.points, known.preprocessing, part.origin))
        progress("measure", number, len(scans), "")
    return measures, said


def proposed_settings(measures: Sequence[SensorMeasure]) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """What is measured, as the tables of a sensor file, and how, by key.

    A point lies on the table up to four standard deviations of its noise, or as far as 99 % of the points behind it
    reach, or a pixel pitch, whichever is largest; all of these are removed. Neighbors belong together at ten pixel
    pitches, as in the presets.

    Args:
        measures: of at least one scan; medians count.
    """
    pitch = _median([measure.pitch_m for measure in measures])
    tables = [measure.table for measure in measures if measure.table is not None]
    settings: dict[str, dict[str, Any]] = {"sensor": {"pixel_pitch_m": _rounded(pitch, 3)}}
    notes = {"sensor.pixel_pitch_m": f"measured: median of {len(measures)} scans"}
    if not tables:
        return settings, notes
    noise, behind = _median([table.noise_m for table in tables]), _median([table.behind_m for table in tables])
    reach = _rounded(max(_SIGMAS * noise, behind, pitch))
    border = _median([measure.border_share for measure in measures])
    settings["preprocessing"] = {
        "ransac_threshold_m": reach,
        "plane_distance_m": reach,
        "cluster_distance_m": _rounded(max(_CLUSTER_PITCHES * pitch, _CLUSTER_SIGMAS * noise)),
        "refine_on": "border" if border >= _FULL_BORDER else "scan",
    }
    told = (
        f"measured: the largest of {_SIGMAS:g} x the noise ({_mm(noise)}), a pixel, and 99 % of what is behind the "
        f"table ({_mm(behind)})"
    )
    return settings, {
        **notes,
        "preprocessing.ransac_threshold_m": told,
        "preprocessing.plane_distance_m": told,
        "preprocessing.cluster_distance_m": f"measured: {_CLUSTER_PITCHES:g} pixels, or {_CLUSTER_SIGMAS:g} x noise",
        "preprocessing.refine_on": f"measured: {border:.0%} of the image's border",
    }


def _settled(
    proposed: SensorDescription, scans: Sequence[Path], names: Sequence[str]
) -> tuple[SensorDescription, str, tuple[str, ...]]:
    """The proposal with raw or preprocessed decided, the reason, and what speaks against it."""
    evidence = []
    for scan in scans:
        with naming_scan(scan):
            part = _read(scan, proposed)
            assert part.points is not None
            evidence.append(evidence_of(part.points, proposed.preprocessing, part.origin))
    settled = settle(proposed.preprocessing, evidence, names)
    # On which side parts stand is left to each calibration: it depends on how the sensor is mounted.
    decided = msgspec.structs.replace(proposed.preprocessing, plane=settled.preprocessing.plane)
    return msgspec.structs.replace(proposed, preprocessing=decided), f"decided: {settled.reason}", settled.warnings


def _joined(proposed: SensorDescription, scans: Sequence[Path]) -> tuple[SensorDescription, dict[str, str]]:
    """The proposal with a distance that joins the pieces of one part across shadows, and what was measured of them."""
    distances = []
    for scan in scans:
        part = _read(scan, proposed)
        assert part.points is not None
        with suppress(ScanError):  # is told of when the scan is prepared
            distances.append(joining_distance(part.points, proposed.preprocessing))
    agreed = agreed_distance(distances)
    if agreed is None:
        return proposed, {}
    distance = _rounded(_MARGIN * agreed)
    changed = msgspec.structs.replace(proposed.preprocessing, cluster_distance_m=distance)
    told = f"measured: {_mm(distance)} join the pieces of a part across its shadows, where pixels alone would part them"
    return msgspec.structs.replace(proposed, preprocessing=changed), {"preprocessing.cluster_distance_m": told}


def _outcomes(
    scans: Sequence[Path], names: Sequence[str], proposed: SensorDescription, progress: Progress, look: Look
) -> list[ScanOutcome]:
    outcomes = []
    for number, (scan, name) in enumerate(zip(scans, names, strict=True), 1):
        outcomes.append(_outcome(scan, name, proposed, look))
        progress("prepare", number, len(scans), "")
    return outcomes


def _outcome(scan: Path, name: str, proposed: SensorDescription, look: Look) -> ScanOutcome:
    part = _read(scan, proposed)
    assert part.points is not None
    try:
        prepared = prepare(part.points, proposed.preprocessing, origin=part.origin)
    except ScanError as error:
        look(name, part, proposed, None)
        return ScanOutcome(name, None, str(error))
    look(name, part, proposed, prepared)
    return ScanOutcome(name, prepared.view)


def _read(scan: Path, description: SensorDescription) -> Part:
    return read_part(scan, POINTS, description.preprocessing)


def _json(name: str, measure: SensorMeasure, outcome: ScanOutcome) -> dict[str, Any]:
    table, view = measure.table, outcome.view
    return {
        "scan": name,
        "pixel_pitch_m": measure.pitch_m,
        "missing_share": measure.missing_share,
        "border_share": measure.border_share,
        "noise_m": None if table is None else table.noise_m,
        "table_normal": None if table is None else table.plane.normal.tolist(),
        "table_distance_m": None if table is None else table.distance_m,
        "table_tilt_deg": None if table is None else table.tilt_deg,
        "part_pixels": None if view is None else view.part_pixels,
        "part_diameter_m": None if view is None else view.diameter_m,
        "error": outcome.error or None,
    }


def _warnings(measures: Sequence[SensorMeasure], names: Sequence[str], outcomes: Sequence[ScanOutcome]) -> list[str]:
    warnings = []
    if len(measures) < _FEW_SCANS:
        warnings.append(f"{len(measures)} scans are few: give {_FEW_SCANS} or more, with the part in different places")
    without = [name for measure, name in zip(measures, names, strict=True) if measure.table is None]
    if without:
        shown = ", ".join(without[:_FEW_SCANS])
        warnings.append(
            f"{len(without)} of {len(names)} scans show no table ({shown}): their noise was not measured"
            + ("; lengths follow the pixel pitch alone" if len(without) == len(names) else "")
        )
    warnings += [f"{outcome.name}: {outcome.error}" for outcome in outcomes if outcome.error]
    several = [outcome.name for outcome in outcomes if outcome.view is not None and outcome.view.other_objects]
    if several:
        shown = ", ".join(several[:_FEW_SCANS])
        warnings.append(
            f"{len(several)} of {len(names)} scans ({shown}) show several things, of which one is taken: if they are "
            "one part, set a larger preprocessing.cluster_distance_m"
        )
    touching = [outcome.name for outcome in outcomes if outcome.view is not None and outcome.view.touches_border > 0]
    if touching:
        shown = ", ".join(touching[:_FEW_SCANS])
        warnings.append(f"the edge of the view cuts the part off in {len(touching)} of {len(names)} scans ({shown})")
    return warnings


def _of_what_holds(notes: dict[str, str], assignments: Sequence[str]) -> dict[str, str]:
    """The notes of values that were measured and not set."""
    return {key: "given with --set" if _is_told(key, assignments) else note for key, note in notes.items()}


def _is_told(key: str, assignments: Sequence[str]) -> bool:
    return any(assignment.partition("=")[0].strip() == key for assignment in assignments)


def _evenly(count: int) -> list[int]:
    return np.unique(np.linspace(0, count - 1, min(count, MOST_MEASURED)).round().astype(int)).tolist()


def _median(values: Sequence[float]) -> float:
    return float(np.median(values))


def _rounded(value: float, digits: int = _DIGITS) -> float:
    return float(f"{value:.{digits}g}")


def _mm(length_m: float) -> str:
    return f"{1e3 * length_m:.2g} mm"
