"""How benchmarks time and report: one JSON object a measure, then the machine. Not a benchmark itself."""

from __future__ import annotations

import json
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from cmdiad.runtime.acceptance.doctor import installed_version
from cmdiad.runtime.proc import cpu_name, proc_field
from cmdiad.runtime.threads import usable_processors

FLAGS = ("avx2", "avx512f", "avx512_vnni", "amx_int8")
LIBRARIES = ("numpy", "scipy", "onnxruntime", "torch", "faiss-cpu", "open3d")


def alternated(
    runs: Mapping[str, Callable[[], Any]], repeats: int, warm_up: bool = True
) -> tuple[dict[str, Any], dict[str, float]]:
    """Results and median milliseconds; the runs take turns, so that a busy machine slows all of them.

    Args:
        runs: what to time, by name.
        repeats: how often each is timed.
        warm_up: have an untimed run of the same before every timed one, as parts on a line come one after the other:
            else each would find the caches as the others left them.
    """
    times: dict[str, list[float]] = {name: [] for name in runs}
    results: dict[str, Any] = {}
    for _ in range(repeats):
        for name, run in runs.items():
            if warm_up:
                run()
            begin = time.perf_counter()
            results[name] = run()
            times[name].append((time.perf_counter() - begin) * 1e3)
    return results, {name: statistics.median(measured) for name, measured in times.items()}


def report(
    measure: str,
    ours_ms: float,
    baseline: str,
    baseline_ms: float,
    bar: float,
    seconds: Mapping[str, float] | None = None,
) -> None:
    """One line of the benchmark contract; `bar` is the least ratio that is wanted; `seconds` of our stages."""
    line: dict[str, Any] = {
        "measure": measure,
        "ours_ms": round(ours_ms, 1),
        "baseline": baseline,
        "baseline_ms": round(baseline_ms, 1),
        "ratio": round(baseline_ms / ours_ms, 2),
        "bar": bar,
    }
    if seconds:
        line["stages_ms"] = {stage: round(1e3 * spent, 1) for stage, spent in seconds.items()}
    print(json.dumps(line), flush=True)


def report_error(measure: str, largest: float, baseline: str, bar: float) -> None:
    """One line of an exactness measure; `bar` is the largest error that is allowed."""
    line = {"measure": measure, "error": float(f"{largest:.3g}"), "baseline": baseline, "bar": bar}
    print(json.dumps({**line, "met": largest <= bar}), flush=True)


def relative_difference(actual: npt.ArrayLike, expected: npt.ArrayLike) -> float:
    """The largest difference, relative to the largest expected value.

    Example:
        >>> relative_difference([1.0, 3.0], [1.0, 4.0])
        0.25
    """
    return float(np.abs(np.asarray(actual) - np.asarray(expected)).max() / np.abs(expected).max())


def machine() -> dict[str, str | int | None]:
    """What the times were measured on, and with what."""
    return {
        "machine": platform.machine(),
        "processor": processor(),
        "system": platform.system(),
        "cpus": usable_processors(),
        "python": platform.python_version(),
        **{name: installed_version(name) for name in LIBRARIES},
    }


def processor() -> str:
    """The processor's name and what it can that matters here."""
    flags = (proc_field("cpuinfo", "flags") or "").split()
    return f"{cpu_name()} ({', '.join(flag for flag in FLAGS if flag in flags)})"
