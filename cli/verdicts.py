"""The table of verdicts on standard output: a row as soon as it is known, so that nothing is lost with what follows."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from . import console

if TYPE_CHECKING:
    from ..runtime.inspector import Inspector
    from ..runtime.stream import Outcome

_WIDEST_SCAN = 60
_NUMBER_WIDTH = 9
GOOD, DEFECT, NOT_INSPECTED = "good", "DEFECT", "NOT INSPECTED"


class VerdictTable:
    """Prints a row an outcome, and a summary; keeps numbers only, so that a long run does not hold its maps.

    Attributes:
        good, defective, failed: how many parts.
        exit_code: of the first error that is not the scan's own, else of the scans'; 0 without errors.
    """

    def __init__(self, scans: Sequence[Path], quiet: bool) -> None:
        """Prepare an empty table.

        Args:
            scans: all of them, for the width of the first column.
            quiet: whether rows of good parts are left out.
        """
        self.good = self.defective = self.failed = self.exit_code = 0
        self._quiet = quiet
        self._width = min(_WIDEST_SCAN, max((len(str(scan)) for scan in scans), default=4))
        self._ms: dict[str, list[float]] = defaultdict(list)
        self._files: list[Path] = []

    def count(self, outcome: Outcome) -> None:
        """Take an outcome into the sums."""
        if outcome.error is not None:
            self._take_code(outcome.error.exit_code)
        if outcome.inspection is None:
            self.failed += 1
            return
        self.defective += outcome.inspection.is_defect
        self.good += not outcome.inspection.is_defect
        self._files = [path for path in (outcome.heatmap, outcome.map) if path is not None] or self._files
        for stage, seconds in outcome.inspection.seconds.items():
            self._ms[stage].append(1e3 * seconds)

    def print_header(self, inspector: Inspector) -> None:
        """What is inspected with what, and the columns' names."""
        console.emit(f"product {inspector.bundle.manifest.product}, bundle {inspector.bundle.path}\n")
        console.emit(self._row("scan", "score", "threshold", "verdict", "ms"))
        console.emit(self._row("-" * self._width, "-" * _NUMBER_WIDTH, "-" * _NUMBER_WIDTH, "-" * 13, "-" * 5))

    def print_row(self, outcome: Outcome) -> None:
        """One outcome; what went wrong is said on standard error."""
        inspection, error = outcome.inspection, outcome.error
        if inspection is None:
            console.emit(self._row(str(outcome.scan), "-", "-", NOT_INSPECTED, "-"))
        elif inspection.is_defect or not self._quiet:
            total = f"{1e3 * sum(inspection.seconds.values()):.0f}"
            verdict = _defect() if inspection.is_defect else GOOD
            score, threshold = f"{inspection.score:.4f}", f"{inspection.threshold:.4f}"
            console.emit(self._row(str(outcome.scan), score, threshold, verdict, total))
        if error is not None:
            console.complain(str(error))

    def print_summary(self, out: Path) -> None:
        """How many parts, where their files are, and what took the time."""
        skipped = f", {self.failed} could not be inspected" if self.failed else ""
        inspected = self.good + self.defective
        console.emit(f"\n{inspected} inspected: {self.defective} defective, {self.good} good{skipped}.")
        if self._ms:
            stages = " ".join(f"{stage} {statistics.median(ms):.0f}" for stage, ms in self._ms.items())
            console.emit(f"median ms by stage: {stages}")
        if inspected == 1 and self._files:
            console.emit("\n".join(f"written: {path}" for path in self._files))
        elif inspected and self._files:
            console.emit(f"heat maps and raw maps: {out}")

    def _row(self, scan: str, score: str, threshold: str, verdict: str, ms: str) -> str:
        name = scan if len(scan) <= self._width else f"...{scan[3 - self._width :]}"
        numbers = f"{score:>{_NUMBER_WIDTH}}  {threshold:>{_NUMBER_WIDTH}}"
        # A colored verdict is longer than it looks, so the time comes before it.
        return f"{name:<{self._width}}  {numbers}  {ms:>5}  {verdict}"

    def _take_code(self, code: int) -> None:
        from ..runtime.errors import ScanError

        if self.exit_code in (0, ScanError.exit_code):
            self.exit_code = code


def _defect() -> str:
    return typer.style(DEFECT, fg="red") if console.on_terminal() else DEFECT
