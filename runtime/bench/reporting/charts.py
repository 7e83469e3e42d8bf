"""The charts of the report."""

from __future__ import annotations

from collections.abc import Sequence

from ...reports.chart import Axis, Chart, color, stage_bars
from ..measuring.durations import in_ms
from ..measuring.report import MeasuredConfiguration, Report, Result, Roof
from .tables import outcome_labels, scenario_text
from .takt_verdict import pareto_front

WINDOWS = 40

Named = Sequence[tuple[str, Result]]


def report_charts(report: Report) -> list[Chart]:
    """Every chart that the report has data for."""
    names = outcome_labels(report)
    charts = [
        latency_distribution(_named(report, names, ("single-stream", "server", "takt", "multi-stream"))),
        stages(_named(report, names, ("single-stream",))),
        throughput_over_time(_named(report, names, ("single-stream", "offline"))),
        roofline(report, names),
        pareto(report, names),
    ]
    return [chart for chart in charts if chart is not None]


def latency_distribution(results: Named) -> Chart | None:
    """The share of latencies up to each value; no sample is left out."""
    if not results:
        return None
    worst = max(result.summary.max_s for _, result in results)
    chart = Chart("Latency distribution", Axis("latency, ms", 0, 1e3 * worst), Axis("% of parts done", 0, 100))
    for index, (name, result) in enumerate(results):
        ordered = sorted(result.recording.latencies)
        steps = [(0.0, 0.0)]
        for place, latency in enumerate(ordered):
            steps += [(1e3 * latency, 100 * place / len(ordered)), (1e3 * latency, 100 * (place + 1) / len(ordered))]
        chart.line(steps, color(index), name)
    return chart


def stages(results: Named) -> Chart | None:
    """Mean time per part by stage, one bar per configuration."""
    if not results:
        return None
    bars = [
        (
            name,
            {stage: 1e3 * seconds for stage, seconds in result.stage_s.items()},
            f"{in_ms(sum(result.stage_s.values()))} ms",
        )
        for name, result in results
    ]
    return stage_bars("Stages", "mean ms per part", bars)


def throughput_over_time(results: Named) -> Chart | None:
    """Parts per second over windows of the run, which shows drift and disturbances."""
    lines = {name: points for name, result in results if len(points := windows(result)) > 1}
    if not lines:
        return None
    last = max(points[-1][0] for points in lines.values())
    highest = max(rate for points in lines.values() for _, rate in points)
    chart = Chart("Throughput over time", Axis("seconds from the start", 0, last), Axis("parts/s", 0, 1.05 * highest))
    for index, (name, points) in enumerate(lines.items()):
        chart.line(points, color(index), name)
    return chart


def windows(result: Result) -> list[tuple[float, float]]:
    """(middle in seconds, parts per second) of up to 40 runs of consecutive calls."""
    calls = result.recording.calls
    size = max(1, -(-len(calls) // WINDOWS))
    points = []
    for start in range(0, len(calls), size):
        chunk = calls[start : start + size]
        begin, end = chunk[0].begin_s, chunk[-1].end_s
        points.append(((begin + end) / 2, sum(call.parts for call in chunk) / (end - begin)))
    return points


def roofline(report: Report, names: Sequence[str]) -> Chart | None:
    """Operations per second against operations per byte, under the device's roof."""
    under_roofs = [
        (name, outcome, outcome.roof)
        for name, outcome in zip(names, report.outcomes, strict=True)
        if outcome.roof is not None and any(work.seconds for work in outcome.work)
    ]
    if not under_roofs:
        return None
    x, y = _roofline_axes([outcome for _, outcome, _ in under_roofs], [roof for _, _, roof in under_roofs])
    chart = Chart("Roofline (the search counted as if it were exhaustive)", x, y)
    for index, (name, outcome, roof) in enumerate(under_roofs):
        slope_from = max(x.low, 1e9 * y.low / roof.bytes_hz)
        corners = [
            (slope_from, roof.bytes_hz * slope_from / 1e9),
            (roof.flop_hz / roof.bytes_hz, roof.flop_hz / 1e9),
            (x.high, roof.flop_hz / 1e9),
        ]
        legend = f"{name}, roof {roof.source.partition(':')[0]}"
        chart.line(corners, color(index), legend, f"{name}: {roof.source}")
        for work in outcome.work:
            if work.seconds:
                place = work.flop / work.bytes, work.flop / work.seconds / 1e9
                chart.dot(place, color(index), work.name, is_hollow=work.name == "search")
    return chart


def _roofline_axes(outcomes: Sequence[MeasuredConfiguration], roofs: Sequence[Roof]) -> tuple[Axis, Axis]:
    """Axes with room for the work of all outcomes and for the roofs' corners."""
    timed = [work for outcome in outcomes for work in outcome.work if work.seconds]
    intensities, speeds = [work.flop / work.bytes for work in timed], [work.flop / work.seconds for work in timed]
    peak, ridge = max(roof.flop_hz for roof in roofs), max(roof.flop_hz / roof.bytes_hz for roof in roofs)
    x = Axis("operations per byte, at most", min(0.5, *intensities), 2 * max(2 * ridge, *intensities), is_log=True)
    return x, Axis("GFLOP/s", min(speeds) / 4e9, 2 * max(peak, *speeds) / 1e9, is_log=True)


def pareto(report: Report, names: Sequence[str]) -> Chart | None:
    """Median latency against detection quality; filled points are on the front."""
    front = pareto_front(report.outcomes)
    points = {
        index: (1e3 * result.summary.p50_s, outcome.quality.i_auroc)
        for index, outcome in enumerate(report.outcomes)
        if outcome.quality is not None and (result := outcome.result("single-stream")) is not None
    }
    if not points:
        return None
    slowest, lowest = max(x for x, _ in points.values()), min(y for _, y in points.values())
    chart = Chart(
        "Latency against detection quality (filled: no other is better in both)",
        Axis("p50 latency, ms", 0, 1.25 * slowest),
        Axis("I-AUROC", max(0.0, lowest - 0.05), 1.0),
    )
    for index, point in points.items():
        chart.dot(point, color(index), names[index], is_hollow=index not in front)
    return chart


def _named(report: Report, names: Sequence[str], scenarios: Sequence[str]) -> Named:
    return [
        (f"{name} {scenario_text(result)}", result)
        for name, outcome in zip(names, report.outcomes, strict=True)
        for result in outcome.results
        if result.scenario.name in scenarios
    ]
