"""`cmdiad fleet`: export, calibrate, evaluate and measure hundreds of products."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import console, options
from .extras import CALIBRATE, needs
from .interruption import when_interrupted

if TYPE_CHECKING:
    from ..fleet.fleet_run import FleetReport
    from ..fleet.product_task import Step

_FileArgument = Annotated[
    Path, typer.Argument(metavar="PRODUCTS", help="products.toml: the products, see docs/fleet.md.")
]
_ExportOption = Annotated[bool, typer.Option("--export", help="Export each product's run.")]
_CalibrateOption = Annotated[
    bool,
    typer.Option("--calibrate", help="Calibrate each product; say what has drifted since its last bundle."),
]
_EvaluateOption = Annotated[bool, typer.Option("--evaluate", help="Score each product's labeled test parts.")]
_BenchOption = Annotated[
    bool, typer.Option("--bench", help="Time each product's inspection on this machine, one after the other.")
]
_ProductOption = Annotated[
    list[str] | None, typer.Option("--product", help="Only this product of the file; repeatable.  [default: all]")
]
_WorkersOption = Annotated[
    int | None,
    typer.Option(
        help="Products at a time, each in a process of Ray's on one thread; 1: in this process.  [default: all "
        "processors if Ray is installed, else 1]"
    ),
]
_AddressOption = Annotated[
    str | None, typer.Option(metavar="HOST:PORT", help="Head of a Ray cluster.  [default: this machine alone]")
]


@needs(CALIBRATE)
@when_interrupted("finished products are kept: the same command continues with the others")
def fleet(
    file: _FileArgument,
    export: _ExportOption = False,
    calibrate: _CalibrateOption = False,
    evaluate: _EvaluateOption = False,
    bench: _BenchOption = False,
    products: _ProductOption = None,
    workers: _WorkersOption = None,
    address: _AddressOption = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Export, calibrate, evaluate and time every product of a file; unchanged steps are not repeated.

    A product that fails is reported and does not stop the others.

    Exit codes: 0 done, 2 wrong usage, else that of the first failed product: 3 a scan, 4 a bundle, 5 a device,
    6 parity, 71 the machine, 74 output.
    """
    from ..fleet.fleet_page import require_report_place, write_report
    from ..fleet.fleet_run import FleetRequest, run_fleet
    from ..fleet.product_task import ProductOutcome
    from ..fleet.products_file import read_products

    wanted: dict[Step, bool] = {"export": export, "calibrate": calibrate, "evaluate": evaluate, "bench": bench}
    asked = [step for step, is_asked in wanted.items() if is_asked]
    require_report_place(Path(read_products(file)[0].out))
    request = FleetRequest(file, asked, products or [], workers, address)
    with console.progress_display(quiet or json) as progress:

        def told(outcome: ProductOutcome, count: int, total: int) -> None:
            if outcome.error is not None:
                console.complain(outcome.error.message)
            progress("fleet", count, total, outcome.product)

        report, out = run_fleet(request, told)
    written = write_report(report, out)
    if json:
        console.emit_json(report)
    else:
        _print(report, written)
    if report.exit_code:
        sys.exit(report.exit_code)


def _print(report: FleetReport, written: list[Path]) -> None:
    from ..fleet.fleet_tables import counted_products, counted_states, products_table, warnings_of

    console.print_titled_table(products_table(report))
    of_products = [warning for outcome in report.products for warning in warnings_of(outcome)]
    for warning in (*of_products, *report.warnings):
        console.warn(warning)
    states = counted_states(report)
    console.emit(
        f"\n{counted_products(report)}: {states['done']} done, {states['kept']} kept because nothing had "
        f"changed, {states['FAILED']} failed; {report.seconds:.0f} s on {report.runner}"
    )
    for path in written:
        console.emit(f"written: {path}")
