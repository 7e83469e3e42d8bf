"""`cmdiad-rt selftest`: does this machine give what was validated?"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import console
from .options import GraphName

if TYPE_CHECKING:
    from ..runtime.acceptance.selftest import SelftestReport


def selftest(
    bundle: Annotated[
        Path | None,
        typer.Option(help="Bundle folder or .cmdiad file.  [default: $CMDIAD_BUNDLE, else ./bundle]"),
    ] = None,
    provider: Annotated[str, typer.Option(help="What runs the networks; `cmdiad-rt doctor` lists them.")] = "cpu",
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads of the networks.  [default: all]")] = None,
    cuda_graph: Annotated[bool, typer.Option("--cuda-graph", help="Capture networks as CUDA graphs.")] = False,
    graph: Annotated[
        GraphName, typer.Option(help="networks one by one, the fused line graph, or auto: what inspections run.")
    ] = GraphName.auto,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout, nothing else.")] = False,
) -> None:
    """Repeat the bundle's golden scans on this machine and compare every stage with what was recorded.

    Exit codes: 0 every stage is within its tolerance, 4 bad bundle, 5 provider not available, 6 a stage is not.
    """
    from ..runtime.acceptance.selftest import run_selftest
    from ..runtime.bundle.reading import find_bundle, open_bundle
    from ..runtime.errors import ParityError

    report = run_selftest(open_bundle(find_bundle(bundle)), provider, threads, cuda_graph, graph.value)
    if json:
        console.emit_json(report.as_json())
    else:
        _print(report)
    if not report.passed:
        sys.exit(ParityError.exit_code)


def _print(report: SelftestReport) -> None:
    rows = [
        [
            each.case,
            each.stage,
            "-" if each.difference is None else f"{each.difference:.1e}",
            f"{each.tolerance:.1e}",
            "pass" if each.passed else "FAIL",
            each.remark,
        ]
        for each in report.comparisons
    ]
    console.print_table(["scan", "stage", "difference", "allowed", "", "remark"], rows, numeric=(2, 3))
    failed = [each for each in report.comparisons if not each.passed]
    where = f"; first at {failed[0].stage} of the {failed[0].case} scan" if failed else ""
    console.emit(
        f"\n{'FAILED' if failed else 'PASSED'}: {report.product} ({report.precision}) on {report.provider}, "
        f"recorded on {report.recorded_on}{where}."
    )
