"""The answer: whether this device can keep up with the line, and which configuration to choose."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ..measuring.durations import in_ms
from ..measuring.report import MeasuredConfiguration, Result, TaktVerdict


class Standing(NamedTuple):
    """One configuration under the takt; larger is better, the first field first."""

    holds: bool
    quality: float
    unchanged: bool
    margin: float


def judge(outcomes: Sequence[MeasuredConfiguration], labels: Sequence[str]) -> TaktVerdict | None:
    """Whether the takt is held, and which configuration holds it best; None if takt was not measured.

    Among configurations that hold it, the best detector is chosen if a test set was given; else one that leaves the
    banks as calibrated; else the one with the largest margin.
    """
    runs = [(index, outcome, result) for index, outcome in enumerate(outcomes) if (result := outcome.result("takt"))]
    if not runs:
        return None
    index, _, result = max(runs, key=lambda run: standing(run[1], run[2]))
    assert result.takt is not None and result.scenario.takt_s and result.scenario.bound_s
    return TaktVerdict(
        takt_s=result.scenario.takt_s,
        deadline_s=result.scenario.bound_s,
        holds=bool(result.holds),
        chosen=index if result.holds else None,
        margin=margin(result),
        utilization=utilization(result),
        text=_sentence(labels[index], result, len(runs)),
    )


def standing(outcome: MeasuredConfiguration, result: Result) -> Standing:
    """How good a configuration is for the line."""
    quality = outcome.quality.i_auroc if outcome.quality else 0.0
    return Standing(bool(result.holds), quality, outcome.configuration.coreset is None, margin(result))


def margin(result: Result) -> float:
    """1 - worst latency / deadline."""
    assert result.scenario.bound_s
    return 1.0 - result.summary.max_s / result.scenario.bound_s


def utilization(result: Result) -> float:
    """Mean time that a part keeps the system busy, over the takt."""
    assert result.scenario.takt_s
    busy = sum(call.end_s - call.begin_s for call in result.recording.calls)
    return busy / result.parts / result.scenario.takt_s


def pareto_front(outcomes: Sequence[MeasuredConfiguration]) -> list[int]:
    """Configurations that no other beats in both median latency and detection quality, fastest first."""
    points = [
        (result.summary.p50_s, -outcome.quality.i_auroc, index)
        for index, outcome in enumerate(outcomes)
        if outcome.quality is not None and (result := outcome.result("single-stream")) is not None
    ]
    front: list[int] = []
    best = float("inf")
    for _, loss, index in sorted(points):
        if loss < best:
            front.append(index)
            best = loss
    return front


def best_index(outcomes: Sequence[MeasuredConfiguration]) -> int | None:
    """The configuration with the lowest median latency of a single part."""
    timed = [
        (result.summary.p50_s, index)
        for index, outcome in enumerate(outcomes)
        if (result := outcome.result("single-stream")) is not None
    ]
    return min(timed)[1] if timed else None


def _sentence(label: str, result: Result, compared: int) -> str:
    takt = result.takt
    assert takt is not None and result.scenario.takt_s and result.scenario.bound_s
    asked = f"a part every {in_ms(result.scenario.takt_s)} ms, done within {in_ms(result.scenario.bound_s)} ms"
    worst = f"worst {in_ms(takt.worst_s)} ms, busy {utilization(result):.0%} of the takt"
    if result.holds:
        bound = f"missed deadlines below {takt.missed_rate_bound:.1%} with 95 % confidence"
        choice = f"choose {label}" if compared > 1 else label
        return f"YES: {asked}: {choice}, margin {margin(result):.0%} ({worst}, {takt.n} parts, {bound})"
    missed = f"missed {takt.missed} of {takt.n} deadlines"
    return f"NO: {asked}: the best is {label}, margin {margin(result):.0%}: it {missed} ({worst})"
