"""The report: everything that was measured, with its raw samples, as typed JSON."""

from __future__ import annotations

from pathlib import Path

import msgspec

from ...errors import UsageError
from ...files.json_encoding import decode_json, encode_json
from .configuration import Configuration, Skipped
from .driver import Recording
from .host import Host, HostGpu
from .loadgen import LoadgenResult
from .monitor import Readings
from .scenarios import Plan, Scenario
from .statistics import Summary, TaktSummary, summarize, summarize_takt, tail

KIND = "cmdiad bench report"
FORMAT_VERSION = 1
NAME = "report.json"
DISCLAIMER = "Scenarios follow the terms of MLPerf Inference; no figure here is an MLPerf result."


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One scenario of one configuration.

    Attributes:
        recording: every call, nothing left out.
        summary: of its latencies.
        throughput_hz: parts per second: of the busy time if nothing waits (closed scenarios), else from the first
            arrival to the last result.
        stage_s: mean seconds per part of each stage.
        stage_share: the stages' sum over the end-to-end time of all calls; above 1 if those of several parts
            overlap.
        takt: deadlines; None for other scenarios.
        holds: whether the bound was held; None without a bound.
        loadgen: what LoadGen measured of the same system; None if it was not run.
    """

    scenario: Scenario
    recording: Recording
    summary: Summary
    throughput_hz: float
    stage_s: dict[str, float]
    stage_share: float
    readings: Readings
    takt: TaktSummary | None = None
    holds: bool | None = None
    loadgen: LoadgenResult | None = None

    @property
    def parts(self) -> int:
        """How many parts were inspected."""
        return sum(call.parts for call in self.recording.calls)


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """What one network or the bank search does for one part; see `costs`.

    Attributes:
        name: the network's role, or `search`.
        flop: floating-point operations of its matrix products and convolutions.
        bytes: the least it must move: weights or bank, inputs and outputs once.
        seconds: mean measured time.
    """

    name: str
    flop: float
    bytes: float
    seconds: float


class Roof(msgspec.Struct, frozen=True, kw_only=True):
    """What bounds a device.

    Attributes:
        flop_hz: operations a second.
        bytes_hz: bytes a second.
        source: how these are known.
    """

    flop_hz: float
    bytes_hz: float
    source: str


class Quality(msgspec.Struct, frozen=True, kw_only=True):
    """How well a configuration finds defects on a labeled test set."""

    i_auroc: float
    n_good: int
    n_defective: int


class MeasuredConfiguration(msgspec.Struct, frozen=True, kw_only=True):
    """Everything of one configuration, measured in a process of its own.

    Attributes:
        bundle_digest: SHA-256 of its manifest, which covers every file.
        n_scans, scans_digest: what was inspected over and over, in order.
        opened_s: importing the runtime and opening the bundle, every byte verified.
        first_result_s: from the start of the process to its first result.
        warmup_parts, warmup_s: inspected before any measurement, in no figure.
        conditions: what is in the figures and what is not, in words.
        results: one per scenario.
        not_run: scenario -> why it is missing.
        work, roof: for the roofline; None where not known.
        gpu: the device that was used, if any.
        gpu_missing: why its figures are missing.
    """

    configuration: Configuration
    product: str
    bundle_digest: str
    n_scans: int
    scans_digest: str
    opened_s: float
    first_result_s: float
    warmup_parts: int
    warmup_s: float
    conditions: dict[str, str]
    results: list[Result] = []
    not_run: dict[str, str] = {}
    quality: Quality | None = None
    work: list[Work] = []
    roof: Roof | None = None
    gpu: HostGpu | None = None
    gpu_missing: str | None = None

    def result(self, scenario: str) -> Result | None:
        """The result of a scenario by its name."""
        return next((result for result in self.results if result.scenario.name == scenario), None)


class TaktVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the line's takt is held.

    Attributes:
        takt_s, deadline_s: what was asked.
        holds: whether a configuration held it.
        chosen: index of the configuration to choose among the outcomes; None where none holds it.
        margin: 1 - worst / deadline of the chosen one, or of the best where none holds it (then mostly negative).
        utilization: its mean busy time over the takt.
        text: the answer in one line.
    """

    takt_s: float
    deadline_s: float
    holds: bool
    chosen: int | None
    margin: float
    utilization: float
    text: str


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """One run of `cmdiad-rt bench`."""

    kind: str = KIND
    format_version: int = FORMAT_VERSION
    disclaimer: str = DISCLAIMER
    created: str
    partial: bool
    machine: Host
    plan: Plan
    outcomes: list[MeasuredConfiguration]
    skipped: list[Skipped]
    verdict: TaktVerdict | None = None


def make_result(
    scenario: Scenario, recording: Recording, readings: Readings, loadgen: LoadgenResult | None = None
) -> Result:
    """Everything that follows from a recording of at least one call."""
    calls = recording.calls
    parts = sum(call.parts for call in calls)
    busy = sum(call.end_s - call.begin_s for call in calls)
    spent: dict[str, float] = {}
    for call in calls:
        for stage, seconds in call.stages_s.items():
            spent[stage] = spent.get(stage, 0.0) + seconds
    takt = holds = None
    if scenario.name == "takt":
        assert scenario.bound_s is not None
        due = [moment for call in calls for moment in call.due_s]
        takt = summarize_takt(due, [call.end_s for call in calls for _ in call.due_s], scenario.bound_s)
        holds = takt.missed == 0
    elif scenario.bound_s is not None:
        holds = tail(recording.latencies)[1] <= scenario.bound_s
    elapsed = calls[-1].end_s - calls[0].due_s[0] if scenario.is_open else busy
    return Result(
        scenario=scenario,
        recording=recording,
        summary=summarize(recording.latencies),
        throughput_hz=parts / elapsed,
        stage_s={stage: seconds / parts for stage, seconds in spent.items()},
        stage_share=sum(spent.values()) / busy,
        readings=readings,
        takt=takt,
        holds=holds,
        loadgen=loadgen,
    )


def encode_report(report: Report) -> bytes:
    """The bytes of report.json."""
    return encode_json(report) + b"\n"


def read_report(path: Path) -> Report:
    """A report from its file, or from the folder that holds it.

    Raises:
        UsageError: there is no report, or it is not of this version.
    """
    file = path / NAME if path.is_dir() else path
    try:
        report = decode_json(file.read_bytes(), Report)
    except OSError as cause:
        raise UsageError(f"{path}: there is no bench report here: {cause.strerror or cause}") from cause
    except msgspec.MsgspecError as cause:
        raise UsageError(f"{file}: is not a bench report ({cause}): make one with `cmdiad-rt bench`") from cause
    if report.kind != KIND or report.format_version != FORMAT_VERSION:
        raise UsageError(f"{file}: is not a {KIND} of version {FORMAT_VERSION}: make it again with `cmdiad-rt bench`")
    return report
