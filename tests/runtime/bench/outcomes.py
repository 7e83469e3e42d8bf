"""Reports made of given numbers, for tests of what follows from them."""

from cmdiad.runtime.bench.measuring.configuration import Configuration
from cmdiad.runtime.bench.measuring.driver import Call, Recording
from cmdiad.runtime.bench.measuring.host import Host
from cmdiad.runtime.bench.measuring.monitor import Readings
from cmdiad.runtime.bench.measuring.report import MeasuredConfiguration, Quality, Report, Roof, Work, make_result
from cmdiad.runtime.bench.measuring.scenarios import Plan, Scenario

SILENT = Readings(samples=0, host_memory_mb=None, host_memory_peak_mb=300.0, cpu_clock_mhz=None, gpu=None)
MACHINE = Host(
    cpu="test <cpu>", cores=2, cpu_governor=None, memory_mb=None, system="x", python="3", load_1min=0.0, versions={}
)


def recording(latencies, takt_s=None, yardstick=None):
    """Calls one after the other; with a takt, part i arrives at i times the takt and never waits."""
    calls, now = [], 0.0
    for number, latency in enumerate(latencies):
        begin = now if takt_s is None else number * takt_s
        stages = {"extract": 0.6 * latency, "search": 0.4 * latency}
        calls.append(Call(first=number, parts=1, due_s=[begin], begin_s=begin, end_s=begin + latency, stages_s=stages))
        now = begin + latency
    return Recording(calls=calls, yardstick_s=yardstick or [])


def outcome(latencies, takt_s=None, quality=None, **configuration):
    """An outcome of single-stream, and of takt where one is given."""
    results = [make_result(Scenario(name="single-stream"), recording(latencies), SILENT)]
    if takt_s is not None:
        takt = Scenario(name="takt", takt_s=takt_s, bound_s=takt_s)
        results.append(make_result(takt, recording(latencies, takt_s), SILENT))
    return MeasuredConfiguration(
        configuration=Configuration(bundle="b", precision="fp32", **configuration),
        product="gland",
        bundle_digest="d" * 64,
        n_scans=1,
        scans_digest="s" * 64,
        opened_s=0.1,
        first_result_s=0.5,
        warmup_parts=3,
        warmup_s=1.0,
        conditions={"transfers": "none"},
        results=results,
        quality=None if quality is None else Quality(i_auroc=quality, n_good=5, n_defective=5),
        work=[
            Work(name="extract", flop=2e9, bytes=1e8, seconds=0.1),
            Work(name="search", flop=1e9, bytes=5e7, seconds=0.05),
        ],
        roof=Roof(flop_hz=1e11, bytes_hz=1e10, source="measured here: x"),
    )


def report(outcomes, skipped=(), **fields):
    """A report of outcomes."""
    return Report(
        created="2026-01-01T00:00:00+00:00",
        partial=False,
        machine=MACHINE,
        plan=Plan(seconds=1, samples=1),
        outcomes=outcomes,
        skipped=list(skipped),
        **fields,
    )
