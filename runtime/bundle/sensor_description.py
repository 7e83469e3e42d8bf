"""A sensor as a user describes it: its name, how its files are read, and how its scans are prepared.

The description travels in the manifest as `sensor` and `preprocessing`. Lengths of the preparation that are not given
follow the distance between neighboring pixels: they are a preset's, times that distance over the preset's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from .parameters import PRESET_PITCH_M, PRESETS, Preprocessing, Sensor

DERIVED = ("ransac_threshold_m", "plane_distance_m", "cluster_distance_m")
"""The lengths of `Preprocessing` that follow the pixel pitch if they are not given."""

UNIT = "metres_per_unit"
SMALLEST_PITCH_M, LARGEST_PITCH_M = 1e-7, 0.02
_LONGEST_NAME = 100


class SensorIdentity(msgspec.Struct, frozen=True, kw_only=True):
    """Which sensor it is.

    Attributes:
        name: what people call it; empty in bundles from before there were names.
        preset: supplies everything that is not given.
        pixel_pitch_m: the distance between neighboring pixels on the part, meters; None: not given, and lengths are the
            preset's.
        derived: the lengths of the preparation that follow from it.
    """

    name: str = ""
    preset: Sensor = "structured-light"
    pixel_pitch_m: float | None = None
    derived: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse values that no sensor can have. Raises ValueError."""
        if len(self.name) > _LONGEST_NAME or not self.name.isprintable():
            raise ValueError(f"name must be at most {_LONGEST_NAME} printable characters")
        pitch = self.pixel_pitch_m
        if pitch is not None and not SMALLEST_PITCH_M <= pitch <= LARGEST_PITCH_M:
            raise ValueError(f"pixel_pitch_m is {pitch:g}, must be {_range()}{_fitting(pitch)}")
        if unknown := set(self.derived) - set(DERIVED):
            raise ValueError(f"derived names {', '.join(sorted(unknown))}, which do not follow the pixel pitch")


UNNAMED = SensorIdentity()
"""Of bundles and runs from before sensors had names."""


class SensorDescription(msgspec.Struct, frozen=True, kw_only=True):
    """A sensor's whole description; nothing is left open except what "auto" leaves to the scans.

    Attributes:
        identity: which sensor it is.
        preprocessing: how its files become points, and how these are prepared.
    """

    identity: SensorIdentity = UNNAMED
    preprocessing: Preprocessing = Preprocessing()


UNDESCRIBED = SensorDescription()
"""What holds if nobody described the sensor: a structured-light scanner that saves organized clouds in meters."""


def derived_lengths(preset: Sensor, pitch_m: float) -> dict[str, float]:
    """The lengths of a preparation that follow the pixel pitch, meters.

    Args:
        preset: whose lengths are scaled.
        pitch_m: the distance of neighboring pixels, meters.

    Example:
        >>> derived_lengths("structured-light", 3e-4)["cluster_distance_m"]
        0.003
    """
    factor = pitch_m / PRESET_PITCH_M[preset]
    # Rounded, so that a pitch of 0.0003 does not give 0.0029999999999999996.
    return {name: float(f"{factor * getattr(PRESETS[preset], name):.6g}") for name in DERIVED}


def complete_preprocessing(
    preset: Sensor, given: Mapping[str, Any], metres_per_unit: float | None, pitch_m: float | None
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """All values of a preparation, and the names of those that follow the pixel pitch.

    Args:
        preset: supplies everything that is not given.
        given: by name, as `Preprocessing` calls them.
        metres_per_unit: the files' unit; None where the reader is to tell.
        pitch_m: the distance of neighboring pixels, meters; None: lengths are the preset's.
    """
    values = {**msgspec.structs.asdict(PRESETS[preset]), UNIT: metres_per_unit}
    derived: tuple[str, ...] = ()
    if pitch_m is not None and pitch_m != PRESET_PITCH_M[preset]:
        lengths = {name: length for name, length in derived_lengths(preset, pitch_m).items() if name not in given}
        values.update(lengths)
        derived = tuple(lengths)
    return {**values, **given}, derived


def _range() -> str:
    return f"from {SMALLEST_PITCH_M:g} to {LARGEST_PITCH_M:g} meters"


def _fitting(pitch_m: float) -> str:
    """What a pitch was meant to be, as the end of a sentence."""
    for unit, factor in (("millimeters", 1e-3), ("micrometers", 1e-6)):
        if SMALLEST_PITCH_M <= pitch_m * factor <= LARGEST_PITCH_M:
            return f": in {unit} it would be {pitch_m * factor:g}"
    return ""
