"""Measures with the bars that they must reach: how they are made one after the other, and how they are printed.

A measure that raises is a row that says what failed, and the others go on. What comes after the time limit is skipped,
and said too.
"""

from __future__ import annotations

import json
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from cmdiad.benchmarks.shared.tables import markdown_table

Unit = Literal["ms", "s", "parts/s", "MB", ""]
_SUFFIX: Mapping[Unit, str] = {"ms": "_ms", "s": "_s", "parts/s": "_parts_s", "MB": "_mb", "": ""}
HEADERS = ("measure", "ours", "baseline", "ratio", "bar", "met")


@dataclass(frozen=True)
class Rival:
    """What a measure is compared with.

    Attributes:
        name: of the baseline.
        value: its own, in the measure's unit.
    """

    name: str
    value: float


@dataclass(frozen=True)
class BoundMeasure:
    """One figure.

    Attributes:
        measure: what it is.
        ours: the figure; None where there is none.
        unit: its unit; empty for a count.
        bar: with a rival the least ratio; of parts a second the least; else the most. None: there is none.
        rival: the baseline, if any.
        stages_ms: what the figure is made of.
        remark: what else to know.
        failure: why there is no figure, where it was tried.
        skipped: why it was not tried.
    """

    measure: str
    ours: float | None = None
    unit: Unit = "ms"
    bar: float | None = None
    rival: Rival | None = None
    stages_ms: Mapping[str, float] = field(default_factory=dict)
    remark: str = ""
    failure: str = ""
    skipped: str = ""

    @property
    def ratio(self) -> float | None:
        """How many times as long the rival takes."""
        return None if self.rival is None or self.ours is None else self.rival.value / self.ours

    @property
    def met(self) -> bool | None:
        """Whether the bar is reached; None where there is no bar."""
        if self.bar is None or self.ours is None:
            return None
        if self.ratio is not None:
            return self.ratio >= self.bar
        return self.ours >= self.bar if self.unit == "parts/s" else self.ours <= self.bar

    def as_json(self) -> dict[str, Any]:
        """The object that is printed."""
        if self.failure or self.skipped:
            return {
                "measure": self.measure,
                **({"failure": self.failure} if self.failure else {"skipped": self.skipped}),
            }
        assert self.ours is not None
        suffix = _SUFFIX[self.unit]
        line: dict[str, Any] = {"measure": self.measure, f"ours{suffix}": _rounded(self.ours)}
        if self.rival is not None and self.ratio is not None:
            line |= {"baseline": self.rival.name, f"baseline{suffix}": _rounded(self.rival.value)}
            line["ratio"] = _rounded(self.ratio)
        if self.bar is not None:
            line |= {"bar" if self.rival else f"bar{suffix}": self.bar, "met": self.met}
        if self.stages_ms:
            line["stages_ms"] = {stage: round(spent, 3) for stage, spent in self.stages_ms.items()}
        return {**line, "remark": self.remark} if self.remark else line

    def as_row(self) -> list[str]:
        """Its cells of the table, as `HEADERS` calls them."""
        if self.failure:
            return [self.measure, f"failed: {self.failure}".replace("|", "/"), "", "", "", "**no**"]
        if self.skipped:
            return [self.measure, f"skipped: {self.skipped}", "", "", "", "not measured"]
        assert self.ours is not None
        stages = ", ".join(f"{stage} {spent:.2f}" for stage, spent in self.stages_ms.items())
        notes = "; ".join(note.replace("|", "/") for note in (stages, self.remark) if note)
        ours = " ".join(word for word in (f"{_rounded(self.ours)}", self.unit, f"({notes})" if notes else "") if word)
        rival = "" if self.rival is None else f"{self.rival.name}: {_rounded(self.rival.value):g} {self.unit}"
        ratio = "" if self.ratio is None else f"{self.ratio:.1f}x"
        return [self.measure, ours, rival, ratio, self._bar_in_words(), _met(self.met)]

    def _bar_in_words(self) -> str:
        if self.bar is None:
            return ""
        if self.rival is not None:
            return f"at least {self.bar:g}x"
        return f"at {'least' if self.unit == 'parts/s' else 'most'} {self.bar:g} {self.unit}".rstrip()


def _rounded(value: float) -> float:
    """Four digits; a count stays as it is."""
    return value if isinstance(value, int) else float(f"{value:.4g}")


def _met(reached: bool | None) -> str:
    if reached is None:
        return ""
    return "yes" if reached else "**no**"


class RunningClock:
    """Seconds since the start, said on standard error, and a limit."""

    def __init__(self, limit_s: float, now: Callable[[], float] = time.monotonic) -> None:
        """Start.

        Args:
            limit_s: after how many seconds nothing more is begun.
            now: seconds of a clock that only goes on.
        """
        self.limit_s, self._now, self._begin = limit_s, now, now()

    @property
    def seconds(self) -> float:
        """Since the start."""
        return self._now() - self._begin

    @property
    def is_over(self) -> bool:
        """Whether the limit is reached."""
        return self.seconds >= self.limit_s

    def say(self, text: str) -> None:
        """One line with the time before it."""
        print(f"[{self.seconds:6.1f} s] {text}", file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Step:
    """Some measures that are made together.

    Attributes:
        name: what is said of it, and the measure's name where it fails or is skipped.
        measures: makes them.
        obstacle: why it cannot be made here; empty where it can.
    """

    name: str
    measures: Callable[[], Iterable[BoundMeasure]]
    obstacle: str = ""


def run_steps(steps: Sequence[Step], clock: RunningClock, made: list[BoundMeasure]) -> None:
    """Make measures one after the other; each is printed as an object, and added to `made`, as soon as it is there."""
    for step in steps:
        for measure in _of_step(step, clock):
            print(json.dumps(measure.as_json()), flush=True)
            made.append(measure)


def _of_step(step: Step, clock: RunningClock) -> Iterator[BoundMeasure]:
    if step.obstacle or clock.is_over:
        reason = step.obstacle or f"{clock.limit_s:.0f} s were over"
        clock.say(f"{step.name}: skipped: {reason}")
        yield BoundMeasure(step.name, skipped=reason)
        return
    clock.say(step.name)
    try:
        yield from step.measures()
    except Exception as cause:
        traceback.print_exc()
        yield BoundMeasure(step.name, failure=f"{type(cause).__name__}: {' '.join(str(cause).split())}")


def measures_table(measures: Sequence[BoundMeasure]) -> str:
    """All of them as one Markdown table."""
    return markdown_table(HEADERS, [measure.as_row() for measure in measures])


def exit_code(measures: Sequence[BoundMeasure]) -> int:
    """1 where a measure failed; a bar that was missed, or a measure that was skipped, is in the table."""
    return int(any(measure.failure for measure in measures))
