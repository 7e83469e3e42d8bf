"""How seldom `DriftMonitor` alarms by chance, and how early it tells a slow shift: one JSON line a measure.

    python benchmarks/studies/drift.py [--runs 40] [--parts 10000]

`false_alarms_*`: baselines of 10, 30 and 100 calibration scans; five sensor measures and the score, all of one shape
(normal, log-normal or Student's t with 4 degrees), and 2 % rejected parts. `share` of runs have an alarm within so many
parts; `bar` is what is stated: parts / 100,000. `watch_share` is the same of the watch lamp, of which parts / 10,000 is
stated.

`slow_shift_of_the_score_*`: 100 calibration scans, a threshold for 1 % false rejects from these, 1,000 parts of which
1 % are defective, and then the score of every part rises by 1 % of the threshold every 100 parts. `score_sd` is the
noise of good parts' scores, as a share of the threshold. Part numbers count from where the rise begins, medians of the
runs: `watch` and `alarm` of the score or of the reject share; `counted_doubled`: the share of rejected parts among the
last 500 is twice that before, as people on the line count it; `true_doubled`: the probability that a part is rejected
is twice that before, which nobody sees; `false_doubled`: the same of good parts alone. `before_counted` and
`before_true` are the shares of runs whose alarm came no later than that, `watch_before_true` the same of the lamp.

`slow_shift_of_a_sensor_measure`: the plane's residual, 2 % noise, rises by 1 % of its mean every 100 parts.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from cmdiad.calibration.threshold import threshold_from_good
from cmdiad.runtime.bundle.health_baseline import SCORE, HealthBaseline, MeasureBaseline
from cmdiad.runtime.health.drift_monitor import DriftMonitor, DriftSettings
from scipy import stats

Rng = np.random.Generator
Values = npt.NDArray[np.float64]
Draw = Callable[[Rng, int], Values]

MEASURES = ("missing_share", "plane_rms_m", "plane_tilt_x_deg", "part_area_m2", "part_x_m")
SHAPES: dict[str, Draw] = {
    "normal": lambda rng, n: rng.normal(10, 1, n),
    "lognormal": lambda rng, n: rng.lognormal(0, 0.5, n),
    "t4": lambda rng, n: rng.standard_t(4, n),
}
BASELINES = (10, 30, 100)
REJECTED, DEFECTIVE = 0.02, 0.01
STEADY, RISING, WINDOW = 1000, 1500, 500
SLOPE = 1e-4  # of the threshold, or of the measure's mean, a part
NOISES = (0.03, 0.05, 0.08, 0.12)
_SEEN = ("watch", "alarm", "counted_doubled", "true_doubled", "false_doubled")
SENSOR_NOISE, SENSOR_MEAN = 0.02, 1e-4


def main() -> None:
    """Simulate and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=40)
    parser.add_argument("--parts", type=int, default=10_000)
    options = parser.parse_args()
    for shape, draw in SHAPES.items():
        for n in BASELINES:
            false_alarms(shape, draw, n, options.runs, options.parts)
    for noise in NOISES:
        slow_shift(noise, options.runs)
    sensor_shift(options.runs)


def report(measure: str, **figures: Any) -> None:
    """One JSON line."""
    print(json.dumps({"measure": measure, **figures}), flush=True)


def false_alarms(shape: str, draw: Draw, n: int, runs: int, parts: int) -> None:
    """One line: the share of runs in which nothing changes and an alarm comes all the same."""
    settings = DriftSettings()
    alarmed = watched = 0
    for run in range(runs):
        rng = np.random.default_rng([run, n, len(shape)])
        monitor = monitor_of({name: draw(rng, n) for name in (*MEASURES, SCORE)})
        values, scores = draw(rng, parts * len(MEASURES)).reshape(parts, -1), draw(rng, parts)
        rejected = rng.random(parts) < REJECTED
        was_watched = was_alarmed = False
        for part in range(parts):
            measures = dict(zip(MEASURES, values[part].tolist(), strict=True))
            was_alarmed |= bool(monitor.update(measures, float(scores[part]), bool(rejected[part])))
            was_watched |= part % 10 == 0 and any(lamp.lamp != "ok" for lamp in monitor.lamps())
        alarmed, watched = alarmed + was_alarmed, watched + was_watched
    report(
        f"false_alarms_{shape}_n{n}",
        runs=runs,
        parts=parts,
        share=alarmed / runs,
        bar=parts / settings.parts_per_false_alarm,
        watch_share=watched / runs,
        watch_bar=min(1.0, parts / settings.parts_per_false_watch),
    )


def monitor_of(calibration: dict[str, Values]) -> DriftMonitor:
    """A monitor of a bundle with these values of its normal scans."""
    measures = {name: MeasureBaseline.of(values.tolist()) for name, values in calibration.items()}
    return DriftMonitor("0" * 64, HealthBaseline(measures=measures))


def slow_shift(noise: float, runs: int) -> None:
    """One line: when the alarm came, and when twice as many parts were rejected, with good parts' scores normal."""
    seen: dict[str, list[float]] = {name: [] for name in _SEEN}
    for run in range(runs):
        rng = np.random.default_rng([run, round(1000 * noise)])
        threshold, calibration = threshold_of_one(rng, noise)
        scores = rng.normal(calibration[1], noise, STEADY + RISING)
        defective = rng.random(len(scores)) < DEFECTIVE
        scores[defective] += 0.5
        rise = SLOPE * np.maximum(0, np.arange(len(scores)) - STEADY + 1)
        scores += rise
        watch, alarm = first_lamps(monitor_of({SCORE: calibration[0]}), scores, scores > threshold)
        seen["watch"].append(watch)
        seen["alarm"].append(alarm)
        seen["counted_doubled"].append(counted_doubled(scores > threshold))
        gap = (threshold - calibration[1]) / noise
        seen["true_doubled"].append(doubled_after(gap, DEFECTIVE) * noise / SLOPE)
        seen["false_doubled"].append(doubled_after(gap, 0.0) * noise / SLOPE)
    report(
        f"slow_shift_of_the_score_sd{noise:g}",
        score_sd=noise,
        runs=runs,
        **{f"{name}_part": round(statistics.median(parts)) for name, parts in seen.items()},
        alarm_shift_sigmas=round(statistics.median(seen["alarm"]) * SLOPE / noise, 2),
        before_counted=share_before(seen["alarm"], seen["counted_doubled"]),
        before_true=share_before(seen["alarm"], seen["true_doubled"]),
        watch_before_true=share_before(seen["watch"], seen["true_doubled"]),
    )


def doubled_after(gap: float, defective: float) -> float:
    """The shift, in sigmas, that doubles the share of rejected parts: good ones beyond `gap`, and defective ones."""
    good = 2 * stats.norm.sf(gap) + defective / (1 - defective)
    return float(gap - stats.norm.isf(good))


def threshold_of_one(rng: Rng, noise: float) -> tuple[float, tuple[Values, float]]:
    """A threshold for 1 % of good parts, calibrated on 100 of them, near 1; their scores, and the mean of all."""
    mean = 1 - stats.norm.isf(0.01) * noise
    scores = rng.normal(mean, noise, 100)
    return threshold_from_good(scores, 0.01).value, (scores, mean)


def first_lamps(monitor: DriftMonitor, scores: Values, rejected: npt.NDArray[np.bool_]) -> tuple[float, float]:
    """After how many parts of the rise the first watch lamp and the first alarm came; never is infinite."""
    watch = float("inf")
    for part, (score, is_rejected) in enumerate(zip(scores.tolist(), rejected.tolist(), strict=True)):
        alarms = monitor.update({}, score, is_rejected)
        number = part + 1 - STEADY
        if alarms and number > 0:
            return min(watch, number), number
        for alarm in alarms:  # by chance, before the rise
            monitor.acknowledge(alarm.measure)
        if number > 0 and watch == float("inf") and any(lamp.lamp == "watch" for lamp in monitor.lamps()):
            watch = number
    return watch, float("inf")


def counted_doubled(rejected: npt.NDArray[np.bool_]) -> float:
    """After how many parts of the rise a window of the last parts has twice the share of rejected ones before it."""
    before = max(rejected[:STEADY].mean(), 1 / STEADY)
    counts = np.convolve(rejected, np.ones(WINDOW))[: len(rejected)]
    doubled = np.flatnonzero(counts[STEADY:] >= 2 * before * WINDOW)
    return float(doubled[0] + 1) if len(doubled) else float("inf")


def share_before(first: list[float], second: list[float]) -> float:
    """Of the runs, those in which one came no later than the other."""
    return round(statistics.fmean(one <= other for one, other in zip(first, second, strict=True)), 2)


def sensor_shift(runs: int) -> None:
    """One line: when a rise of the plane's residual is told."""
    alarms: list[float] = []
    for run in range(runs):
        rng = np.random.default_rng([run, 99])
        noise = SENSOR_NOISE * SENSOR_MEAN
        monitor = monitor_of({"plane_rms_m": rng.normal(SENSOR_MEAN, noise, 30), SCORE: rng.normal(0.8, 0.08, 30)})
        values = rng.normal(SENSOR_MEAN, noise, STEADY + RISING)
        values += SENSOR_MEAN * SLOPE * np.maximum(0, np.arange(len(values)) - STEADY + 1)
        alarms.append(first_alarm_of(monitor, "plane_rms_m", values, rng))
    part = statistics.median(alarms)
    shift = part * SLOPE / SENSOR_NOISE
    report("slow_shift_of_a_sensor_measure", runs=runs, alarm_part=round(part), alarm_shift_sigmas=round(shift, 2))


def first_alarm_of(monitor: DriftMonitor, name: str, values: Values, rng: Rng) -> float:
    """After how many parts of the rise a measure's alarm came; never is infinite."""
    for part, value in enumerate(values.tolist()):
        for alarm in monitor.update({name: value}, float(rng.normal(0.8, 0.08)), False):
            if alarm.measure == name and part >= STEADY:
                return part + 1 - STEADY
            monitor.acknowledge(alarm.measure)
    return float("inf")


if __name__ == "__main__":
    main()
