"""What a drift monitor says: alarms, which come once, and lamps, which are always there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Lamp = Literal["ok", "watch", "alarm"]
DriftDirection = Literal["rises", "falls"]


@dataclass(frozen=True)
class DriftAlarm:
    """One measure has changed. Values are in `unit`, shares from 0 to 1.

    Attributes:
        measure: its name.
        direction: rises or falls.
        part: the number of the part that gave the alarm, from 1.
        since_part: after this part the change most likely began; 0: it was there from the first part on.
        mean_before, mean_since: the mean up to there, and from there on; the first is None where there is nothing.
        shift: the difference; None where there is nothing before.
        shift_sigmas: the same in standard deviations before; None where these are 0 or not known.
        unit: of the values; empty for shares and scores.
        advice: what to do.
    """

    measure: str
    direction: DriftDirection
    part: int
    since_part: int
    mean_before: float | None
    mean_since: float
    shift: float | None
    shift_sigmas: float | None
    unit: str
    advice: str

    @property
    def message(self) -> str:
        """One line for those who run the line."""
        unit = f" {self.unit}" if self.unit else ""
        before = "" if self.mean_before is None else f" from {self.mean_before:.4g}"
        sigmas = "" if self.shift_sigmas is None else f" ({self.shift_sigmas:+.1f} sigma)"
        return (
            f"{self.measure} {self.direction} since part {self.since_part}{before} to {self.mean_since:.4g}{unit}"
            f"{sigmas}: {self.advice}"
        )


@dataclass(frozen=True)
class MeasureLamp:
    """How one measure stands.

    Attributes:
        measure: its name.
        unit: of the values; empty for shares and scores.
        lamp: ok; watch: look when there is time; alarm: until it is acknowledged.
        value: the latest part's; None where it was not measured.
        baseline_mean, baseline_std: of calibration, or of all parts so far where the bundle tells none; None without.
        ewma: the moving mean, which looks back some 20 parts; None before the first.
        evidence: 1 is an alarm.
        n_reference: the values that new ones are ranked among.
        n_not_measured: parts so far without a finite value.
    """

    measure: str
    unit: str
    lamp: Lamp
    value: float | None
    baseline_mean: float | None
    baseline_std: float | None
    ewma: float | None
    evidence: float
    n_reference: int
    n_not_measured: int
