"""Does MLCommons' LoadGen measure what our own driver measures? Single-stream and offline, in turn.

    python benchmarks/studies/loadgen_agreement.py BUNDLE SCAN... [--rounds 5] [--samples 64]

Runs our driver and LoadGen (extra `bench`) alternately on one system, so that both see the same machine, and prints
one JSON line a scenario: the medians over the rounds of LoadGen's summary and of ours, and their ratio. The bar is 5
%. No figure here is an MLPerf result.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import threading
from pathlib import Path

from cmdiad.runtime.bench.measuring.driver import WallClock, drive
from cmdiad.runtime.bench.measuring.loadgen import import_loadgen, run_loadgen
from cmdiad.runtime.bench.measuring.monitor import Monitor
from cmdiad.runtime.bench.measuring.report import make_result
from cmdiad.runtime.bench.measuring.scenarios import Name, Plan, Scenario
from cmdiad.runtime.bench.measuring.system import BundleUnderTest
from cmdiad.runtime.errors import EngineError
from cmdiad.runtime.inspector import Inspector
from cmdiad.runtime.patches.routes import modalities
from cmdiad.runtime.sensor.part import find_inputs

BAR = 0.05
SCENARIOS: tuple[tuple[Name, str], ...] = (("single-stream", "latency_p50_ms"), ("offline", "parts_a_second"))


def one_round(system: BundleUnderTest, name: Name, plan: Plan, folder: Path) -> tuple[float, float]:
    """(ours, LoadGen's) of one round."""
    scenario, stop = Scenario(name=name), threading.Event()
    with Monitor(None) as monitor:
        recording = drive(system, scenario, plan, WallClock(stop), stop)
    ours = make_result(scenario, recording, monitor.readings(len(recording.calls)))
    theirs = run_loadgen(system, scenario, plan, ours.summary.p50_s, folder)
    if name == "offline":
        return ours.throughput_hz, theirs.throughput_hz or 0.0
    return 1e3 * ours.summary.p50_s, 1e3 * (theirs.p50_s or 0.0)


def main() -> None:
    """Run all rounds and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle")
    parser.add_argument("scans", nargs="+")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--samples", type=int, default=64)
    options = parser.parse_args()
    try:
        import_loadgen()
    except EngineError as error:
        sys.exit(f"error: {error}")
    inspector = Inspector.load(options.bundle)
    scans = find_inputs(options.scans, modalities(inspector.bundle.manifest)).require()
    system = BundleUnderTest(inspector, scans)
    system.process(list(range(system.n_scans)))
    plan = Plan(seconds=0.0, samples=options.samples)
    for name, measure in SCENARIOS:
        with tempfile.TemporaryDirectory() as scratch:
            pairs = [one_round(system, name, plan, Path(scratch) / str(number)) for number in range(options.rounds)]
        ours, theirs = (statistics.median(side) for side in zip(*pairs, strict=True))
        rounds = [round(loadgen / own, 3) for own, loadgen in pairs]
        medians = {"measure": f"{name}: {measure}", "ours": round(ours, 3), "loadgen": round(theirs, 3)}
        agree = abs(theirs / ours - 1) <= BAR
        print(
            json.dumps({**medians, "ratio": round(theirs / ours, 4), "rounds": rounds, "within_5_percent": agree}),
            flush=True,
        )


if __name__ == "__main__":
    main()
