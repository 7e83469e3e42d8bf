"""What differs between two descriptions of a sensor, and what in a calibrated bundle that makes worthless."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from .region_of_interest import RegionOfInterest
from .sensor_description import UNIT, SensorDescription

OPEN = "auto"
"""What calibration decides from its scans contradicts no decision."""

_DECIDED = ("preprocessing.plane", "preprocessing.side")
_WINDOW, _WINDOW_PIXELS = "preprocessing.window", "preprocessing.window_pixels"
MADE_AGAIN = "banks, fusion, thresholds, the line graph and the golden scans"


@dataclass(frozen=True)
class SensorChange:
    """A key that differs.

    Attributes:
        key: with its table.
        before, after: its values; None: not given.
        changes_points: whether networks are given other points for the same file, so that banks are of others.
    """

    key: str
    before: object
    after: object
    changes_points: bool

    def __str__(self) -> str:
        return f"{self.key} {_text(self.before)} -> {_text(self.after)}"


def sensor_changes(before: SensorDescription, after: SensorDescription) -> list[SensorChange]:
    """The keys in which two descriptions differ; what one of them leaves to the scans does not.

    Example:
        >>> kinect = SensorDescription(preprocessing=KINECT)  # doctest: +SKIP
        >>> [str(change) for change in sensor_changes(SensorDescription(), kinect)][0]  # doctest: +SKIP
        'preprocessing.ransac_threshold_m 0.004 -> 0.008'
    """
    old, new = flat_values(before), flat_values(after)
    changes = []
    for key in dict.fromkeys([*old, *new]):
        one, other = old.get(key), new.get(key)
        if one != other and not _is_open(key, one, other, old, new) and not _without_plane(key, old, new):
            changes.append(SensorChange(key, one, other, _changes_points(key)))
    return changes


def flat_values(description: SensorDescription) -> dict[str, object]:
    """Every key with its table, and its value as TOML has it."""
    values = msgspec.to_builtins(description.preprocessing)
    unit, geometry = values.pop(UNIT), values.pop("geometry", {})
    identity = description.identity
    sensor = {"name": identity.name, "preset": identity.preset, UNIT: unit, "pixel_pitch_m": identity.pixel_pitch_m}
    flat: dict[str, object] = {f"sensor.{name}": value for name, value in sensor.items()}
    flat |= {f"geometry.{name}": value for name, value in geometry.items() if value is not None}
    return flat | {f"preprocessing.{name}": value for name, value in values.items()}


def what_must_be_done(changes: Sequence[SensorChange]) -> str:
    """What the changes mean for a calibrated bundle, as one sentence without a full stop."""
    points = [change for change in changes if change.changes_points]
    if points:
        named = "; ".join(map(str, points))
        return f"{named}: banks were made from other points, so {MADE_AGAIN} must be made again (`cmdiad calibrate`)"
    if changes:
        return f"{'; '.join(map(str, changes))}: points stay the same, and the calibration holds"
    return "nothing differs"


def what_is_made_again(changes: Sequence[SensorChange]) -> str:
    """The same for a command that makes the calibration at this moment."""
    points = [change for change in changes if change.changes_points]
    named = "; ".join(map(str, points or changes))
    if points:
        return f"{named}: banks were made from other points; {MADE_AGAIN} are now made from these"
    return f"{named}: points stay the same"


def _changes_points(key: str) -> bool:
    return not key.startswith("sensor.") or key == f"sensor.{UNIT}"


def _is_open(key: str, one: object, other: object, old: Mapping[str, object], new: Mapping[str, object]) -> bool:
    """Whether one of two descriptions leaves a key to the scans; without a window there is nothing to leave."""
    if key == _WINDOW_PIXELS:
        return None in (one, other) and old[_WINDOW] == new[_WINDOW]
    return key in _DECIDED and OPEN in (one, other)


def _without_plane(key: str, old: Mapping[str, object], new: Mapping[str, object]) -> bool:
    """Whether a key is of no matter: where no plane is removed, there is no side of it."""
    return key == "preprocessing.side" and "never" in (old["preprocessing.plane"], new["preprocessing.plane"])


def _text(value: Any) -> str:
    if isinstance(value, Mapping) and "row" in value:
        return str(msgspec.convert(value, RegionOfInterest))
    return "not given" if value in (None, "") else f"{value:g}" if isinstance(value, float) else str(value)
