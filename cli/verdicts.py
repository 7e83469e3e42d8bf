"""The table of verdicts on standard output: a row as soon as it is known, so that nothing is lost with what follows."""

from __future__ import annotations

import re
import statistics
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ..runtime.choices import Verdict
from . import console

if TYPE_CHECKING:
    from ..runtime.inspection import Inspection
    from ..runtime.inspector import Inspector
    from ..runtime.stream import Outcome
    from ..runtime.verdict.regions import DefectRegion

_WIDEST_SCAN = 60
_NUMBER_WIDTH = 9
_BETWEEN_FOLDERS = re.compile(r"[/\\]")
_NUMBER_OF_PART = len("#64")
GOOD, DEFECT, NOT_INSPECTED = "good", "DEFECT", "NOT INSPECTED"
WORDS: dict[Verdict, str] = {"good": GOOD, "defect": DEFECT, "error": NOT_INSPECTED}


class VerdictTable:
    """Prints a row an outcome, and a summary; keeps numbers only, so that a long run does not hold its maps.

    Attributes:
        good, defective, failed: how many parts.
        exit_code: of the first error that is not the scan's own, else of the scans'; 0 without errors.
    """

    def __init__(self, scans: Sequence[Path], quiet: bool, several_parts: bool = False) -> None:
        """Prepare an empty table.

        Args:
            scans: all that get a row, for the width of the first column.
            quiet: whether rows of good parts are left out.
            several_parts: whether a row's name has the part's number behind the scan's.
        """
        self.good = self.defective = self.failed = self.exit_code = 0
        self._quiet = quiet
        longest = max((len(str(scan)) for scan in scans), default=4)
        self._width = min(_WIDEST_SCAN, longest + (_NUMBER_OF_PART if several_parts else 0))
        self._ms: dict[str, list[float]] = defaultdict(list)
        self._files: dict[str, Path] = {}

    def count(self, outcome: Outcome) -> None:
        """Take an outcome into the sums."""
        if outcome.error is not None:
            self._take_code(outcome.error.exit_code)
        if outcome.inspection is None:
            self.failed += 1
            return
        self.defective += outcome.inspection.is_defect
        self.good += not outcome.inspection.is_defect
        files = {"heat maps": outcome.heatmap, "raw maps": outcome.map, "clouds": outcome.cloud}
        self._files |= {kind: path for kind, path in files.items() if path is not None}
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
            console.emit(self._row(outcome.name, "-", "-", NOT_INSPECTED, "-"))
        elif inspection.is_defect or not self._quiet:
            total = f"{1e3 * sum(inspection.seconds.values()):.0f}"
            verdict = _defect() if inspection.is_defect else GOOD
            score, threshold = f"{inspection.score:.4f}", f"{inspection.threshold:.4f}"
            console.emit(self._row(outcome.name, score, threshold, verdict, total))
            if inspection.is_defect:
                console.emit(f"  {_where(inspection)}")
        for note in inspection.notes if inspection is not None else ():
            console.warn(f"{outcome.name}: {note}")
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
            console.emit("\n".join(f"written: {path}" for path in self._files.values()))
        elif inspected and self._files:
            *first, last = self._files
            console.emit(f"{', '.join(first)}{' and ' * bool(first)}{last}: {out}")

    def _row(self, scan: str, score: str, threshold: str, verdict: str, ms: str) -> str:
        name = _shortened(scan, self._width)
        numbers = f"{score:>{_NUMBER_WIDTH}}  {threshold:>{_NUMBER_WIDTH}}"
        # A colored verdict is longer than it looks, so the time comes before it.
        return f"{name:<{self._width}}  {numbers}  {ms:>5}  {verdict}"

    def _take_code(self, code: int) -> None:
        from ..runtime.errors import ScanError

        if self.exit_code in (0, ScanError.exit_code):
            self.exit_code = code


def _shortened(name: str, width: int) -> str:
    """The end of a path, from a folder's name on; the file's own name is whole, however long it is.

    Example:
        >>> _shortened("line/monday/part_17.ply", 20)
        '.../part_17.ply'
    """
    if len(name) <= width:
        return name
    parts = _BETWEEN_FOLDERS.split(name)
    if len(parts) == 1:
        return name
    ends = ["/".join(["...", *parts[first:]]) for first in range(1, len(parts))]
    return next((end for end in ends if len(end) <= width), ends[-1])


def _defect() -> str:
    return typer.style(DEFECT, fg="red") if console.on_terminal() else DEFECT


def _where(inspection: Inspection) -> str:
    """Where a defect is and how large, in a few words: of several regions the one of the highest peak."""
    if not inspection.regions:
        return f"no region: no pixel of the map is above its threshold of {inspection.pixel_threshold:.4f}"
    highest, count = inspection.regions[0], inspection.regions_found
    others = f", the highest of {count} regions" if count > 1 else ""
    return f"{_placed(highest)}{others}"


def _placed(region: DefectRegion) -> str:
    if region.center_m is None:
        return f"{region.pixels} pixels at row {region.peak_row}, column {region.peak_column}"
    place = ", ".join(f"{1e3 * value:.1f}" for value in region.center_m)
    if region.length_m is None or region.width_m is None:
        return f"{region.pixels} pixels at ({place}) mm"
    return f"{1e3 * region.length_m:.1f} x {1e3 * region.width_m:.1f} mm at ({place}) mm"
