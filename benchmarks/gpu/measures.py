"""What the script says: a measure a row, with its bar, as JSON while it runs and as one table at its end."""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field

from cmdiad.benchmarks.gpu.full_size import elapsed, say
from cmdiad.benchmarks.shared.markdown import markdown_table


@dataclass(frozen=True)
class Measure:
    """One figure.

    Attributes:
        measure: what was measured.
        ours: the figure; None where it could not be measured.
        unit: ms, parts/s, wrong and the like.
        bar: what it must reach; None: none is set.
        larger_is_better: whether the bar is a least figure.
        baseline: what it is compared with; empty: nothing.
        baseline_figure: that one's figure, in the same unit.
        remark: what else to know.
    """

    measure: str
    ours: float | None
    unit: str
    bar: float | None = None
    larger_is_better: bool = False
    baseline: str = ""
    baseline_figure: float | None = None
    remark: str = ""

    @property
    def ratio(self) -> float | None:
        """How many times better than the baseline."""
        if not self.ours or not self.baseline_figure:
            return None
        better = self.ours / self.baseline_figure if self.larger_is_better else self.baseline_figure / self.ours
        return round(better, 2)

    @property
    def met(self) -> bool | None:
        """Whether the bar is reached; None without one."""
        if self.bar is None:
            return None
        if self.ours is None:
            return False
        return self.ours >= self.bar if self.larger_is_better else self.ours <= self.bar


@dataclass
class Report:
    """All measures, each said when it is there."""

    limit_s: float
    measures: list[Measure] = field(default_factory=list)

    def add(self, measure: Measure) -> None:
        """Keep a measure and print it."""
        self.measures.append(measure)
        print(json.dumps({**asdict(measure), "ratio": measure.ratio, "met": measure.met}), flush=True)

    def section(self, name: str, measure: Callable[[], Iterator[Measure]], needs_s: float = 0.0) -> None:
        """Measure something; what fails, or would come after the time is up, is a measure that says so."""
        if elapsed() + needs_s > self.limit_s:
            self.add(Measure(name, None, "skipped", bar=0.0, remark=f"no time left after {elapsed():.0f} s"))
            return
        say(name)
        try:
            for row in measure():
                self.add(row)
        except Exception as error:
            traceback.print_exc()
            self.add(Measure(name, None, "failed", bar=0.0, remark=f"{type(error).__name__}: {error}"[:300]))

    @property
    def passed(self) -> bool:
        """Whether every bar is reached."""
        return all(measure.met is not False for measure in self.measures)

    def table(self) -> str:
        """All of it in Markdown."""
        headers = ["measure", "ours", "unit", "baseline", "ratio", "bar", "met", "remark"]
        return markdown_table(headers, [_row(measure) for measure in self.measures])


def _row(measure: Measure) -> list[object]:
    baseline = measure.baseline and f"{measure.baseline}: {_figure(measure.baseline_figure)}"
    bar = "" if measure.bar is None else f"{'at least' if measure.larger_is_better else 'at most'} {measure.bar:g}"
    met = {None: "", True: "yes", False: "**no**"}[measure.met]
    ratio = "" if measure.ratio is None else f"{measure.ratio}x"
    return [measure.measure, _figure(measure.ours), measure.unit, baseline, ratio, bar, met, measure.remark]


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
