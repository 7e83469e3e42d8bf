"""The report's plots, as inline SVG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..measuring.report import Report, Result
from .svg import COLORS, HEIGHT, Plot, legend
from .tables import outcome_labels, scenario_text, stage_names
from .takt_verdict import pareto_front

WINDOWS = 40


@dataclass(frozen=True)
class Figure:
    """A picture with its title and legend, all HTML."""

    title: str
    svg: str
    legend: str = ""


def report_figures(report: Report) -> list[Figure]:
    """Every plot that the report has data for."""
    names = outcome_labels(report)
    figures = [
        latency_distribution(_named(report, names, ("single-stream", "server", "takt", "multi-stream"))),
        stage_bars(_named(report, names, ("single-stream",))),
        throughput_over_time(_named(report, names, ("single-stream", "offline"))),
        roofline(report, names),
        pareto(report, names),
    ]
    return [figure for figure in figures if figure is not None]


Named = Sequence[tuple[str, Result]]


def latency_distribution(results: Named) -> Figure | None:
    """Share of latencies up to each value: every sample is in it."""
    if not results:
        return None
    worst = max(result.summary.max_s for _, result in results)
    plot = Plot((0, 1e3 * worst), (0, 100), "latency, ms", "% of parts done")
    keys = []
    for (name, result), color in zip(results, _cycled(len(results)), strict=True):
        ordered = sorted(result.recording.latencies)
        steps = [(0.0, 0.0)]
        for place, latency in enumerate(ordered):
            steps += [(1e3 * latency, 100 * place / len(ordered)), (1e3 * latency, 100 * (place + 1) / len(ordered))]
        plot.line(steps, color, name)
        keys.append((name, color))
    return Figure("Latency distribution", plot.svg(), legend(keys))


def stage_bars(results: Named) -> Figure | None:
    """Mean time of a part by stage, one bar a configuration."""
    if not results:
        return None
    longest = max(sum(result.stage_s.values()) for _, result in results)
    plot = Plot((0, 1e3 * longest), (0, 1), "mean ms of a part", "")
    stages = stage_names([result for _, result in results])
    colors = dict(zip(stages, _cycled(len(stages)), strict=True))
    height = min(40.0, (HEIGHT - 80) / len(results))
    for place, (name, result) in enumerate(results):
        at, top = 0.0, 20 + (place + 0.4) * height
        for stage, seconds in result.stage_s.items():
            plot.bar(
                1e3 * at,
                1e3 * (at + seconds),
                top,
                0.5 * height,
                colors[stage],
                f"{name}: {stage} {1e3 * seconds:.1f} ms",
            )
            at += seconds
        plot.text(72, top - 3, name)
    return Figure("Stages", plot.svg(), legend(list(colors.items())))


def throughput_over_time(results: Named) -> Figure | None:
    """Parts a second in windows of the run: drift and disturbances show."""
    lines = {name: windows(result) for name, result in results}
    lines = {name: points for name, points in lines.items() if len(points) > 1}
    if not lines:
        return None
    end = max(points[-1][0] for points in lines.values())
    top = max(rate for points in lines.values() for _, rate in points)
    plot = Plot((0, end), (0, 1.05 * top), "seconds from the start", "parts/s")
    keys = list(zip(lines, _cycled(len(lines)), strict=True))
    for name, color in keys:
        plot.line(lines[name], color, name)
    return Figure("Throughput over time", plot.svg(), legend(keys))


def windows(result: Result) -> list[tuple[float, float]]:
    """(middle in seconds, parts a second) of up to 40 runs of consecutive calls."""
    calls = result.recording.calls
    size = max(1, -(-len(calls) // WINDOWS))
    points = []
    for start in range(0, len(calls), size):
        chunk = calls[start : start + size]
        begin, end = chunk[0].begin_s, chunk[-1].end_s
        points.append(((begin + end) / 2, sum(call.parts for call in chunk) / (end - begin)))
    return points


def roofline(report: Report, names: Sequence[str]) -> Figure | None:
    """Operations a second against operations a byte, under the device's roof."""
    shown = [
        (name, outcome) for name, outcome in zip(names, report.outcomes, strict=True) if outcome.work and outcome.roof
    ]
    dots = [
        (work.flop / work.bytes, work.flop / work.seconds) for _, each in shown for work in each.work if work.seconds
    ]
    if not dots:
        return None
    roofs = [outcome.roof for _, outcome in shown if outcome.roof is not None]
    peak, ridge = max(roof.flop_hz for roof in roofs), max(roof.flop_hz / roof.bytes_hz for roof in roofs)
    x = (min(0.5, *(d[0] for d in dots)), 2 * max(2 * ridge, *(d[0] for d in dots)))
    y = (min(d[1] for d in dots) / 4e9, 2 * max(peak, *(d[1] for d in dots)) / 1e9)
    plot = Plot(x, y, "operations a byte moved at least", "GFLOP/s", logarithmic=True)
    keys = []
    for (name, outcome), color in zip(shown, _cycled(len(shown)), strict=True):
        roof = outcome.roof
        assert roof is not None
        corner = roof.flop_hz / roof.bytes_hz
        slope_from = max(x[0], 1e9 * y[0] / roof.bytes_hz)
        line = [
            (slope_from, roof.bytes_hz * slope_from / 1e9),
            (corner, roof.flop_hz / 1e9),
            (x[1], roof.flop_hz / 1e9),
        ]
        plot.line(line, color, f"{name}: {roof.source}", dashed=True)
        for work in outcome.work:
            if work.seconds:
                plot.dot(
                    work.flop / work.bytes, work.flop / work.seconds / 1e9, color, work.name, work.name == "search"
                )
        keys.append((f"{name}, roof {roof.source.partition(':')[0]}", color))
    title = "Roofline (the search counted as if it were exhaustive)"
    return Figure(title, plot.svg(), legend(keys))


def pareto(report: Report, names: Sequence[str]) -> Figure | None:
    """Median latency against detection quality; filled points are on the front."""
    front = pareto_front(report.outcomes)
    points = [
        (1e3 * result.summary.p50_s, outcome.quality.i_auroc, index)
        for index, outcome in enumerate(report.outcomes)
        if outcome.quality is not None and (result := outcome.result("single-stream")) is not None
    ]
    if not points:
        return None
    lowest = min(quality for _, quality, _ in points)
    plot = Plot((0, 1.25 * max(p[0] for p in points)), (max(0.0, lowest - 0.05), 1.0), "p50 latency, ms", "I-AUROC")
    for latency, quality, index in points:
        plot.dot(latency, quality, COLORS[index % len(COLORS)], names[index], index not in front)
    return Figure("Latency against detection quality (filled: no other is better in both)", plot.svg())


def _named(report: Report, names: Sequence[str], scenarios: Sequence[str]) -> Named:
    return [
        (f"{name} {scenario_text(result)}", result)
        for name, outcome in zip(names, report.outcomes, strict=True)
        for result in outcome.results
        if result.scenario.name in scenarios
    ]


def _cycled(count: int) -> list[str]:
    return [COLORS[index % len(COLORS)] for index in range(count)]
