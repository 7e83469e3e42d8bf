"""The same system under test, driven by MLCommons' LoadGen (extra `bench`), whose log files are kept.

LoadGen is an instrument here. What it reports of our system is not an MLPerf result: MLCommons reviews those.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import math
import queue
import threading
from pathlib import Path
from typing import Any

import msgspec

from ...errors import EngineError
from .driver import SystemUnderTest
from .scenarios import Plan, Scenario

MODULE = "mlperf_loadgen"
DETAIL = "mlperf_log_detail.txt"
_MARK = ":::MLLOG "
SCENARIOS = {
    "single-stream": "SingleStream",
    "multi-stream": "MultiStream",
    "server": "Server",
    "offline": "Offline",
}


class LoadgenResult(msgspec.Struct, frozen=True, kw_only=True):
    """What LoadGen's own summary says.

    Attributes:
        valid: whether its rules for a run (duration, queries, early stopping) were met.
        queries: how many it issued.
        p50_s, p90_s: latency percentiles of its queries; None for offline.
        throughput_hz: parts a second; None for single- and multi-stream.
        logs: the folder of its log files, relative to the report.
    """

    valid: bool
    queries: int
    p50_s: float | None
    p90_s: float | None
    throughput_hz: float | None
    logs: str


def run_loadgen(
    system: SystemUnderTest, scenario: Scenario, plan: Plan, expected_s: float, folder: Path
) -> LoadgenResult:
    """Run one scenario under LoadGen.

    Args:
        system: what is measured; it is warm.
        scenario: one of LoadGen's; `server` with its rate.
        plan: at least how long.
        expected_s: what one part takes, about.
        folder: where its log files go.

    Raises:
        EngineError: LoadGen is not installed.
    """
    lg = import_loadgen()
    folder.mkdir(parents=True, exist_ok=True)
    issuer = _Queued(lg, system) if scenario.name == "server" else _Issuer(lg, system)
    sut = lg.ConstructSUT(issuer.issue, lambda: None)
    qsl = lg.ConstructQSL(system.n_scans, system.n_scans, lambda samples: None, lambda samples: None)
    try:
        lg.StartTestWithLogSettings(sut, qsl, _settings(lg, scenario, plan, expected_s), _log_settings(lg, folder))
    finally:
        issuer.close()
        lg.DestroyQSL(qsl)
        lg.DestroySUT(sut)
    return read_result(folder, scenario.name, folder.name)


def import_loadgen() -> Any:
    """LoadGen's module.

    Raises:
        EngineError: it is not installed.
    """
    if importlib.util.find_spec(MODULE) is None:
        raise EngineError("--loadgen: LoadGen is not installed: pip install 'cmdiad[bench]'")
    return importlib.import_module(MODULE)


def read_result(folder: Path, scenario: str, logs: str) -> LoadgenResult:
    """What the detail log in a folder says of a run."""
    lines = (folder / DETAIL).read_text().splitlines()
    entries = (json.loads(line.partition(_MARK)[2]) for line in lines if _MARK in line)
    values: dict[str, Any] = {entry["key"]: entry["value"] for entry in entries}
    query = "_per_query" if scenario == "multi-stream" else ""
    latencies: list[float | None] = [None, None]
    if scenario != "offline":
        latencies = [1e-9 * float(values[f"result_{q}.00_percentile{query}_latency_ns"]) for q in (50, 90)]
    rate = values.get(
        {"offline": "result_samples_per_second", "server": "result_completed_samples_per_sec"}.get(scenario, "")
    )
    return LoadgenResult(
        valid=values["result_validity"] == "VALID",
        queries=int(values["result_query_count"]),
        p50_s=latencies[0],
        p90_s=latencies[1],
        throughput_hz=None if rate is None else float(rate),
        logs=logs,
    )


def _settings(lg: Any, scenario: Scenario, plan: Plan, expected_s: float) -> Any:
    settings = lg.TestSettings()
    settings.scenario = getattr(lg.TestScenario, SCENARIOS[scenario.name])
    settings.mode = lg.TestMode.PerformanceOnly
    settings.min_duration_ms = math.ceil(1e3 * plan.seconds)
    settings.min_query_count = plan.samples
    settings.single_stream_expected_latency_ns = math.ceil(1e9 * expected_s)
    settings.multi_stream_expected_latency_ns = math.ceil(1e9 * expected_s * scenario.parts_a_query)
    settings.multi_stream_samples_per_query = scenario.parts_a_query
    settings.offline_expected_qps = 1 / expected_s
    if scenario.name == "server":
        settings.server_target_qps = scenario.rate_hz
        bound_s = plan.seconds if scenario.bound_s is None else scenario.bound_s
        settings.server_target_latency_ns = math.ceil(1e9 * bound_s)
    return settings


def _log_settings(lg: Any, folder: Path) -> Any:
    output = lg.LogOutputSettings()
    output.outdir = str(folder)
    output.copy_summary_to_stdout = False
    settings = lg.LogSettings()
    settings.log_output = output
    settings.enable_trace = False
    return settings


class _Issuer:
    """Works on the issuing thread: for scenarios that wait for an answer before they ask again."""

    def __init__(self, lg: Any, system: SystemUnderTest) -> None:
        self._lg, self._system = lg, system

    def issue(self, samples: list[Any]) -> None:
        """Inspect the samples of one query, and report each as soon as it is done."""
        done = self._system.stream(sample.index for sample in samples)
        for sample, _ in zip(samples, done, strict=True):
            self._lg.QuerySamplesComplete([self._lg.QuerySampleResponse(sample.id, 0, 0)])

    def close(self) -> None:
        """Nothing is left to do."""


class _Queued(_Issuer):
    """Works on a thread of its own, so that arrivals are issued on time while the system is busy."""

    def __init__(self, lg: Any, system: SystemUnderTest) -> None:
        super().__init__(lg, system)
        self._waiting: queue.Queue[Any] = queue.Queue()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def issue(self, samples: list[Any]) -> None:
        """Take the samples, and return."""
        for sample in samples:
            self._waiting.put(sample)

    def close(self) -> None:
        """End the thread."""
        self._waiting.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (sample := self._waiting.get()) is not None:
            super().issue([sample])
