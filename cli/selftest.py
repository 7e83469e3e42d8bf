"""`cmdiad-rt selftest`: does this machine give what was validated?"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from ..runtime.choices import Graph
from . import console, line_options

if TYPE_CHECKING:
    from ..runtime.acceptance.selftest import SelftestReport


def selftest(
    bundle: line_options.Bundle = None,
    require_signature: line_options.RequireSignature = None,
    provider: line_options.Provider = "cpu",
    threads: line_options.Threads = None,
    cuda_graph: line_options.CudaGraph = None,
    graph: Annotated[
        Graph, typer.Option(help="networks one by one, the fused line graph, or auto: what inspections run.")
    ] = "auto",
    json: line_options.Json = False,
) -> None:
    """Repeat the bundle's golden scans on this machine and compare every stage with the record.

    Exit codes: 0 every stage is within its tolerance, 4 bad bundle, 5 provider not available, 6 a stage is not.
    """
    from ..runtime.acceptance.selftest import run_selftest
    from ..runtime.bundle.reading import find_bundle, open_bundle
    from ..runtime.bundle.signature import find_trusted
    from ..runtime.errors import ParityError

    opened = open_bundle(find_bundle(bundle), find_trusted(require_signature))
    report = run_selftest(opened, provider, threads, cuda_graph, graph)
    if json:
        console.emit_json(report.as_json())
    else:
        _print(report)
    if not report.passed:
        sys.exit(ParityError.exit_code)


def _print(report: SelftestReport) -> None:
    rows = [
        [
            comparison.case,
            comparison.stage,
            "-" if comparison.difference is None else f"{comparison.difference:.1e}",
            f"{comparison.tolerance:.1e}",
            "pass" if comparison.passed else "FAIL",
            comparison.remark,
        ]
        for comparison in report.comparisons
    ]
    console.print_table(["scan", "stage", "difference", "allowed", "", "remark"], rows, numeric=(2, 3))
    failed = [comparison for comparison in report.comparisons if not comparison.passed]
    where = f"; first at {failed[0].stage} of the {failed[0].case} scan" if failed else ""
    console.emit(
        f"\n{'FAILED' if failed else 'PASSED'}: {report.product} ({report.precision}) on {report.provider}, "
        f"recorded on {report.recorded_on}{where}."
    )
    if report.unseen:
        console.emit(report.unseen)
    console.emit(f"signature: {report.signature}")
