from __future__ import annotations

import json
import mmap
import sys
from pathlib import Path

import numpy as np
import pytest
from cmdiad.runtime.proc import peak_resident_bytes, resident_bytes
from cmdiad.runtime.profile import ProfiledScan, Profiler, stage_costs, trace_events, write_profile
from cmdiad.runtime.timing import Span, StageTimes

MIB = 1 << 20
SCANS = [
    ProfiledScan("a", (Span("read", 10.0, 0.5, "reader"), Span("extract", 11.0, 2.0, "main"))),
    ProfiledScan("b", (Span("read", 11.5, 0.1, "reader"), Span("extract", 13.0, 1.0, "main"))),
]
SAMPLES = [(10.2, 100 * MIB), (11.55, 300 * MIB), (12.5, 200 * MIB), (13.5, 250 * MIB)]


def test_costs_are_summed_by_stage_in_order_of_first_begin() -> None:
    read, extract = stage_costs(SCANS, SAMPLES)
    assert (read.stage, read.runs, extract.stage, extract.runs) == ("read", 2, "extract", 2)
    assert read.median_ms == pytest.approx(300)
    assert read.total_ms == pytest.approx(600)
    assert extract.total_ms == pytest.approx(3000)


def test_a_stages_memory_is_the_most_seen_while_it_ran() -> None:
    apart = [ProfiledScan("a", (Span("low", 0.0, 1.0, "t"), Span("high", 1.0, 1.0, "t")))]
    low, high = stage_costs(apart, [(0.5, 10 * MIB), (1.5, 30 * MIB), (1.7, 20 * MIB)])
    assert (low.peak_mb, high.peak_mb) == (10, 30)


def test_a_stage_between_two_samples_takes_the_next_one() -> None:
    brief = [ProfiledScan("a", (Span("brief", 1.0, 0.001, "t"),))]
    assert stage_costs(brief, [(0.9, 10 * MIB), (1.1, 20 * MIB)])[0].peak_mb == 20
    assert stage_costs(brief, [])[0].peak_mb is None


def test_trace_events_begin_at_zero_and_name_thread_and_scan() -> None:
    events = trace_events(SCANS, SAMPLES)
    complete = [event for event in events if event["ph"] == "X"]
    assert [(event["name"], event["ts"], event["dur"], event["args"]["scan"]) for event in complete] == [
        ("read", 0.0, 0.5e6, "a"),
        ("extract", 1e6, 2e6, "a"),
        ("read", 1.5e6, 0.1e6, "b"),
        ("extract", 3e6, 1e6, "b"),
    ]
    names = {event["tid"]: event["args"]["name"] for event in events if event["ph"] == "M"}
    assert [names[event["tid"]] for event in complete] == ["reader", "main", "reader", "main"]
    assert [event["args"]["MiB"] for event in events if event["ph"] == "C"] == [100, 300, 200, 250]


def test_both_files_are_json_that_says_the_same(tmp_path: Path) -> None:
    costs = write_profile(tmp_path, SCANS, SAMPLES)
    summary = json.loads((tmp_path / "profile.json").read_text())
    assert [each["stage"] for each in summary["stages"]] == [each.stage for each in costs]
    assert (summary["scans"], summary["peak_mb"]) == (2, 300)
    assert len(json.loads((tmp_path / "trace.json").read_text())["traceEvents"]) == 2 + 4 + 4


def test_nothing_inspected_is_an_empty_profile(tmp_path: Path) -> None:
    assert write_profile(tmp_path, [], []) == []
    assert json.loads((tmp_path / "trace.json").read_text()) == {"traceEvents": []}


@pytest.mark.skipif(sys.platform != "linux", reason="resident memory is read from /proc")
def test_the_sampler_sees_memory_that_is_allocated_meanwhile() -> None:
    before = resident_bytes()
    with Profiler() as profiler:
        # Fresh pages: NumPy's may be ones that an earlier test freed and the process kept.
        held = np.frombuffer(mmap.mmap(-1, 64 * MIB), np.uint8)
        held[:] = 1
        while len(profiler.samples) < 3:
            pass
    assert max(size for _, size in profiler.samples) >= before + held.nbytes // 2
    assert profiler.samples == sorted(profiler.samples)
    peak = peak_resident_bytes()
    assert before is not None and peak is not None and peak >= before


def test_stage_times_keep_every_run_of_a_stage() -> None:
    times = StageTimes()
    for name in ("a", "b", "a"):
        with times.stage(name):
            pass
    assert [span.stage for span in times.spans] == ["a", "b", "a"]
    assert times.seconds["a"] == pytest.approx(times.spans[0].seconds + times.spans[2].seconds)
    assert list(times.seconds) == ["a", "b"]
