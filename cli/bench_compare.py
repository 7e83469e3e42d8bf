"""`cmdiad-rt bench compare`: is the second of two reports slower than the first?"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from . import console, line_options

_NOTE = """
before, after: medians as measured. ratio: after over before, by the faster quarter of each block and with the machine's
own speed divided out, so it is not the quotient of the two medians. machine: how much longer a yardstick, timed between
the parts, took itself. A change counts where p is below 0.01 and the ratio at least 5 % away from 1."""


def compare(
    before: Annotated[Path, typer.Argument(metavar="BEFORE", help="The earlier report.json, or its folder.")],
    after: Annotated[Path, typer.Argument(metavar="AFTER", help="The later one.")],
    json: line_options.Json = False,
) -> None:
    """Compare two reports with a test that corrects for the machine's own speed.

    Exit codes: 0 nothing is slower, 2 no report, or one that is too short, 7 something is slower.
    """
    from ..runtime.bench.measuring.report import read_report
    from ..runtime.bench.reporting.compare import compare_reports, comparison_table, differences
    from ..runtime.errors import LineRateError

    old, new = read_report(before), read_report(after)
    comparisons = compare_reports(old, new)
    if json:
        console.emit_json({"comparisons": comparisons, "differences": differences(old, new)})
    else:
        console.print_titled_table(replace(comparison_table(comparisons), note=_NOTE))
        for line in differences(old, new):
            console.emit(line)
    slower = [comparison for comparison in comparisons if comparison.verdict == "slower"]
    if slower:
        names = ", ".join(f"{comparison.name} by {comparison.ratio - 1:.0%}" for comparison in slower)
        raise LineRateError(f"{after}: slower than {before}: {names}")
