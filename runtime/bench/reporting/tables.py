"""The report as tables: the same in the terminal, in Markdown and in HTML."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ...reports.table import MISSING, Table
from ..measuring.configuration import labels
from ..measuring.durations import in_ms
from ..measuring.monitor import GpuReadings, Range
from ..measuring.report import MeasuredConfiguration, Report, Result
from ..measuring.statistics import TaktSummary, samples_needed
from .takt_verdict import best_index, margin, pareto_front

BEST = "*"
_OFFLINE = (
    "offline: all parts are there at the start and overlap, so these milliseconds are the time from one result to the "
    "next, not the time that a part takes: for that see single-stream, and for a line takt"
)


def report_tables(report: Report) -> list[Table]:
    """All tables that have something in them."""
    names = outcome_labels(report)
    tables = [
        _latencies(report, names),
        _deadlines(report, names),
        _stages(report, names),
        _resources(report, names),
        _loadgen(report, names),
        _missing(report, names),
    ]
    return [table for table in tables if table.rows]


def outcome_labels(report: Report) -> list[str]:
    """A short name for each configuration that was measured, unlike those of the skipped ones too."""
    return _all_labels(report)[: len(report.outcomes)]


def _all_labels(report: Report) -> list[str]:
    measured = [outcome.configuration for outcome in report.outcomes]
    return labels([*measured, *(skipped.configuration for skipped in report.skipped)])


def headline(report: Report) -> list[str]:
    """What was measured, on what, in a few lines of text."""
    machine = report.machine
    versions = ", ".join(f"{name} {version}" for name, version in machine.versions.items())
    lines = [
        f"{machine.cpu}, {machine.cores} cores, {machine.system}, Python {machine.python}",
        versions,
    ]
    if machine.load_1min is not None and machine.load_1min > 0.5 * machine.cores:
        lines.append(
            f"The machine was busy: {machine.load_1min:.1f} processes were competing for its {machine.cores} cores."
        )
    for outcome in report.outcomes[:1]:
        lines.append(
            f"bundle {outcome.product} ({outcome.bundle_digest[:12]}), {outcome.n_scans} scans in turn, "
            f"{outcome.warmup_parts} warm-up parts excluded"
        )
        if outcome.gpu is not None:
            gpu = outcome.gpu
            lines.append(f"{gpu.name}, driver {gpu.driver}, CUDA {gpu.cuda}, {gpu.memory_mb:.0f} MB")
        if outcome.gpu_missing is not None:
            lines.append(f"no GPU figures: {outcome.gpu_missing}")
    if report.partial:
        lines.append("PARTIAL: the run was interrupted; these are the figures measured until then.")
    return lines


def _latencies(report: Report, names: Sequence[str]) -> Table:
    several = len(report.outcomes) > 1
    best, front = best_index(report.outcomes) if several else None, pareto_front(report.outcomes)
    rows = []
    for index, outcome, result in _results(report):
        summary, interval = result.summary, result.summary.p50_interval_s
        is_best = index == best and result.scenario.name == "single-stream"
        rows.append(
            [
                f"{names[index]} {BEST}" if is_best else names[index],
                scenario_text(result),
                str(summary.n),
                in_ms(summary.p50_s),
                MISSING if interval is None else f"{in_ms(interval[0])} to {in_ms(interval[1])}",
                _percentile(summary.p90_s, 90),
                _percentile(summary.p99_s, 99),
                in_ms(summary.max_s),
                f"{result.throughput_hz:.2f}",
                _quality(outcome, result, index in front),
            ]
        )
    headers = ["configuration", "scenario", "n", "p50 ms", "95 % interval", "p90 ms", "p99 ms", "max ms", "parts/s"]
    if all(row[-1] == MISSING for row in rows):
        rows = [row[:-1] for row in rows]
    else:
        headers.append("I-AUROC")
    title = "Latency and throughput" + (f" ({BEST} lowest median)" if several else "")
    overlapping = any(result.scenario.name == "offline" for _, _, result in _results(report))
    return Table(title, headers, rows, n_labels=2, note=_OFFLINE if overlapping else "")


def _quality(outcome: MeasuredConfiguration, result: Result, is_on_front: bool) -> str:
    if outcome.quality is None or result.scenario.name != "single-stream":
        return MISSING
    return f"{outcome.quality.i_auroc:.3f}" + (" (front)" if is_on_front else "")


def scenario_text(result: Result) -> str:
    """A scenario with its parameter."""
    scenario = result.scenario
    if scenario.name == "takt" and scenario.takt_s is not None:
        return f"takt {in_ms(scenario.takt_s)} ms"
    if scenario.name == "server" and scenario.rate_hz is not None:
        bound = (
            "" if scenario.bound_s is None else f" in {in_ms(scenario.bound_s)} ms: {'yes' if result.holds else 'NO'}"
        )
        return f"server {scenario.rate_hz:.3g}/s{bound}"
    if scenario.name == "multi-stream":
        return f"multi-stream {scenario.parts_a_query}"
    return scenario.name


def _deadlines(report: Report, names: Sequence[str]) -> Table:
    rows = []
    for index, _, result in _results(report):
        takt, bound = result.takt, result.scenario.bound_s
        if takt is None or bound is None:
            continue
        rows.append(
            [
                names[index],
                in_ms(bound),
                f"{takt.missed} of {takt.n}",
                f"{takt.missed_rate_bound:.1%}",
                in_ms(takt.worst_s),
                str(takt.longest_streak),
                _recovery(takt),
                f"{margin(result):.0%}",
                "yes" if result.holds else "NO",
            ]
        )
    headers = ["configuration", "deadline ms", "missed", "rate below", "worst ms", "in a row", "recovery ms"]
    return Table("Deadlines", [*headers, "margin", "holds"], rows)


def _recovery(takt: TaktSummary) -> str:
    if not takt.recovered:
        return "not recovered"
    return MISSING if takt.recovery_s is None else in_ms(takt.recovery_s)


def _stages(report: Report, names: Sequence[str]) -> Table:
    rows = []
    stages = _stage_names([result for _, _, result in _results(report)])
    for index, _, result in _results(report):
        if result.scenario.name == "single-stream":
            cells = [in_ms(result.stage_s[stage]) if stage in result.stage_s else MISSING for stage in stages]
            rows.append([names[index], *cells, f"{result.stage_share:.1%}"])
    return Table(
        "Stages, mean ms per part, and their sum's share of the end-to-end time",
        ["configuration", *stages, "sum"],
        rows,
    )


def _stage_names(results: Sequence[Result]) -> list[str]:
    """All stages of the results, in the order in which a part goes through them."""
    return list(dict.fromkeys(stage for result in results for stage in result.stage_s))


def _resources(report: Report, names: Sequence[str]) -> Table:
    rows = []
    for index, outcome, result in _first_results(report):
        readings = result.readings
        peak_mb = readings.host_memory_peak_mb
        rows.append(
            [
                names[index],
                f"{outcome.opened_s:.2f}",
                f"{outcome.first_result_s:.2f}",
                MISSING if peak_mb is None else f"{peak_mb:.0f}",
                _range(readings.cpu_clock_mhz),
                *([] if readings.gpu is None else _gpu_cells(readings.gpu)),
            ]
        )
    headers = ["configuration", "open s", "first result s", "host MB, peak", "CPU MHz"]
    gpu_headers = ["GPU MB", "GPU %", "SM MHz", "W", "J per part", "deg C", "throttled by"]
    width = max((len(row) for row in rows), default=0)
    full_rows = [[*row, *[MISSING] * (width - len(row))] for row in rows]
    return Table("Start and resources", [*headers, *gpu_headers][:width], full_rows)


def _gpu_cells(gpu: GpuReadings) -> list[str]:
    return [
        _range(gpu.memory_mb),
        _range(gpu.utilization_percent),
        _range(gpu.sm_clock_mhz),
        _range(gpu.power_w),
        MISSING if gpu.energy_j_a_part is None else f"{gpu.energy_j_a_part:.2f}",
        _range(gpu.temperature_c),
        ", ".join(gpu.throttle_reasons) or "none",
    ]


def _loadgen(report: Report, names: Sequence[str]) -> Table:
    rows = []
    for index, _, result in _results(report):
        theirs = result.loadgen
        if theirs is None:
            continue
        pairs = {"p50 ms": (result.summary.p50_s, theirs.p50_s), "p90 ms": (result.summary.p90_s, theirs.p90_s)}
        if result.scenario.name in ("offline", "server"):
            pairs = {"parts/s": (result.throughput_hz, theirs.throughput_hz)}
        for measure, (our_value, their_value) in pairs.items():
            if our_value is None or their_value is None:
                continue
            cells = [f"{value:.2f}" if measure == "parts/s" else in_ms(value) for value in (our_value, their_value)]
            difference = f"{their_value / our_value - 1:+.1%}"
            rows.append([f"{names[index]} {scenario_text(result)}", measure, *cells, difference])
    headers = ["run", "measure", "ours", "LoadGen", "difference"]
    return Table("LoadGen on the same system (not an MLPerf result)", headers, rows)


def _missing(report: Report, names: Sequence[str]) -> Table:
    skipped_names = _all_labels(report)[len(report.outcomes) :]
    rows = [[name, skipped.reason] for name, skipped in zip(skipped_names, report.skipped, strict=True)]
    for name, outcome in zip(names, report.outcomes, strict=True):
        rows += [[f"{name} {scenario}", reason] for scenario, reason in outcome.not_run.items()]
    return Table("Not measured", ["configuration", "reason"], rows, n_labels=2)


def _results(report: Report) -> Iterator[tuple[int, MeasuredConfiguration, Result]]:
    for index, outcome in enumerate(report.outcomes):
        for result in outcome.results:
            yield index, outcome, result


def _first_results(report: Report) -> Iterator[tuple[int, MeasuredConfiguration, Result]]:
    for index, outcome in enumerate(report.outcomes):
        if outcome.results:
            yield index, outcome, outcome.results[0]


def _percentile(seconds: float | None, q: int) -> str:
    return f"needs {samples_needed(q)}" if seconds is None else in_ms(seconds)


def _range(values: Range | None) -> str:
    if values is None:
        return MISSING
    return f"{values.mean:.0f}" if values.max - values.min < 1 else f"{values.min:.0f} to {values.max:.0f}"
