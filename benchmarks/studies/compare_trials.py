"""Does `cmdiad-rt bench compare` find a slowdown of 10 %, and does it stay calm on two equal runs?

    python benchmarks/studies/compare_trials.py BUNDLE SCAN... [--trials 10] [--seconds 20]

Measures in turn: a run, an equal run, and a run in which every inspection is followed by idle work for 10 % of its
time. Each trial compares the first with the second, and the second with the third. One JSON line a trial, then the
counts.
"""

from __future__ import annotations

import argparse
import json
import threading
import time
from collections.abc import Iterable, Iterator, Sequence

from cmdiad.runtime.bench.measuring.configuration import Configuration
from cmdiad.runtime.bench.measuring.driver import SystemUnderTest, WallClock, drive
from cmdiad.runtime.bench.measuring.monitor import Readings
from cmdiad.runtime.bench.measuring.report import MeasuredConfiguration, make_result
from cmdiad.runtime.bench.measuring.scenarios import Plan, Scenario
from cmdiad.runtime.bench.measuring.system import BundleUnderTest
from cmdiad.runtime.bench.measuring.yardstick import make_yardstick
from cmdiad.runtime.bench.reporting.compare import Comparison, compare_outcomes
from cmdiad.runtime.inspector import Inspector
from cmdiad.runtime.patches.routes import modalities
from cmdiad.runtime.sensor.part import find_inputs

SLOWDOWN = 0.10
NO_READINGS = Readings(samples=0, host_memory_mb=None, host_memory_peak_mb=None, cpu_clock_mhz=None, gpu=None)


class Slowed:
    """A system under test that takes 10 % longer."""

    batch = 1

    def __init__(self, system: SystemUnderTest) -> None:
        self._system = system
        self.n_scans = system.n_scans

    def process(self, numbers: Sequence[int]) -> dict[str, float]:
        """Work, then keep the processor busy: a process that slept would be scheduled first afterwards."""
        begin = time.perf_counter()
        stages = self._system.process(numbers)
        until = begin + (1 + SLOWDOWN) * (time.perf_counter() - begin)
        while time.perf_counter() < until:
            pass
        return stages

    def stream(self, numbers: Iterable[int]) -> Iterator[dict[str, float]]:
        """One part after the other."""
        return (self.process([number]) for number in numbers)


def measured(system: SystemUnderTest, plan: Plan) -> MeasuredConfiguration:
    """One single-stream run, as `cmdiad-rt bench` makes it."""
    scenario, stop = Scenario(name="single-stream"), threading.Event()
    recording = drive(system, scenario, plan, WallClock(stop), stop, between=make_yardstick())
    return MeasuredConfiguration(
        configuration=Configuration(bundle="", precision=""),
        product="",
        bundle_digest="",
        n_scans=system.n_scans,
        scans_digest="",
        opened_s=0.0,
        first_result_s=0.0,
        warmup_parts=system.n_scans,
        warmup_s=0.0,
        conditions={},
        results=[make_result(scenario, recording, NO_READINGS)],
    )


def show(trial: int, truth: str, comparison: Comparison) -> None:
    """One JSON line."""
    line = {
        "trial": trial,
        "truth": truth,
        "verdict": comparison.verdict,
        "ratio": round(comparison.ratio, 3),
        "p": round(comparison.p, 5),
        "raw_ratio": round(comparison.after_s / comparison.before_s, 3),
        "blocks": comparison.blocks,
        "machine": round(comparison.machine, 3),
    }
    print(json.dumps(line), flush=True)


def main() -> None:
    """Run all trials and count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle")
    parser.add_argument("scans", nargs="+")
    parser.add_argument("--trials", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=20.0)
    options = parser.parse_args()
    inspector = Inspector.load(options.bundle)
    scans = find_inputs(options.scans, modalities(inspector.bundle.manifest)).require()
    system = BundleUnderTest(inspector, scans)
    plan = Plan(seconds=options.seconds, samples=1)
    system.process(list(range(system.n_scans)))
    false_alarms = slowdowns = 0
    for trial in range(options.trials):
        first, second, third = (measured(tested, plan) for tested in (system, system, Slowed(system)))
        equal, slower = compare_outcomes("equal", first, second), compare_outcomes("slowed", second, third)
        show(trial, "equal", equal)
        show(trial, "10 % slower", slower)
        false_alarms += equal.verdict != "same"
        slowdowns += slower.verdict == "slower"
    counts = {"slowdowns_found": slowdowns, "false_alarms": false_alarms}
    print(json.dumps({"measure": "compare", "trials": options.trials, **counts}))


if __name__ == "__main__":
    main()
