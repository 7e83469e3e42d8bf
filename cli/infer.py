"""`cmdiad-rt infer`: verdict, heat map and raw map of each scan."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterable
from contextlib import nullcontext
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import console, line_options
from .interruption import when_interrupted
from .verdicts import VerdictTable

if TYPE_CHECKING:
    from ..runtime.profile import Profiler, StageCost
    from ..runtime.stream import Outcome

DEFECT_FOUND = 1


@when_interrupted("what was printed and written stays: run it with the scans that are left")
def infer(
    scans: Annotated[list[str], typer.Argument(metavar="SCAN", help="Scan files, folders or quoted globs.")],
    bundle: line_options.Bundle = None,
    require_signature: line_options.RequireSignature = None,
    sensor: line_options.Sensor = None,
    roi: line_options.Roi = None,
    parts: line_options.Parts = None,
    out: Annotated[Path, typer.Option(help="Folder for heat maps, raw maps and clouds.")] = Path("inspections"),
    heatmaps: line_options.Heatmaps = "all",
    cloud: line_options.Cloud = "none",
    threshold: line_options.Threshold = None,
    allow_any_size: line_options.AllowAnySize = False,
    provider: line_options.Provider = "cpu",
    threads: line_options.Threads = None,
    cuda_graph: line_options.CudaGraph = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object per scan on stdout, nothing else.")
    ] = False,
    graph: line_options.GraphOption = "auto",
    batch: Annotated[int, typer.Option(min=1, help="Scans that go through the line graph together; for GPUs.")] = 1,
    fail_on_defect: Annotated[
        bool, typer.Option("--fail-on-defect", help="Exit with 1 if a defect was found.")
    ] = False,
    profile: Annotated[
        bool,
        typer.Option("--profile", help="Write time and memory by stage, and a trace for Perfetto, next to the maps."),
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No rows for good parts.")] = False,
) -> None:
    """Inspect scans: verdict, score, defect regions, heat map and raw map of each.

    Exit codes: 0 done, 1 a defect (with --fail-on-defect), 2 wrong usage, 3 a scan could not be inspected,
    4 bad bundle, 5 execution provider not available, 74 a result could not be written.
    """
    from ..runtime.bundle.reading import find_bundle, open_bundle
    from ..runtime.bundle.signature import find_trusted
    from ..runtime.errors import UsageError
    from ..runtime.inspector import Inspector
    from ..runtime.patches.routes import modalities
    from ..runtime.profile import Profiler
    from ..runtime.sensor.part import find_inputs
    from ..runtime.sensor.sensor_file import require_same_sensor
    from ..runtime.stream import Outcome, inspect_stream
    from ..runtime.threads import thread_count

    opened = open_bundle(find_bundle(bundle), find_trusted(require_signature))
    require_same_sensor(opened.manifest.description, sensor, line_options.as_assignments(roi=roi, parts=parts))
    if cloud != "none" and "pc" not in modalities(opened.manifest):
        raise UsageError("--cloud: this bundle inspects images, which have no points: leave it out")
    inputs = find_inputs(scans, modalities(opened.manifest))
    # Fewer parts than threads are done sooner one after the other, all threads on each.
    side_by_side = len(inputs.files) >= thread_count(threads)
    inspector = Inspector(opened, provider, threads, threshold, cuda_graph, graph, batch, allow_any_size, side_by_side)
    missed = [Outcome(problem.path, error=problem.error) for problem in inputs.problems]
    rows = [*inputs.files, *(problem.path for problem in inputs.problems)]
    table = VerdictTable(rows, quiet, opened.manifest.preprocessing.parts == "all")
    profiler = Profiler() if profile else None
    if not json:
        table.print_header(inspector)
    with profiler or nullcontext():
        outcomes = inspect_stream(inspector, inputs.files, out, heatmaps, cloud)
        _report(chain(missed, outcomes), len(missed) + len(inputs.files), table, profiler, json)
    if not json:
        table.print_summary(out)
    if profiler is not None:
        _print_costs(profiler.write(out), out, json)
    if table.exit_code:
        sys.exit(table.exit_code)
    if fail_on_defect and table.defective:
        sys.exit(DEFECT_FOUND)


def _report(
    outcomes: Iterable[Outcome], n_parts: int, table: VerdictTable, profiler: Profiler | None, json: bool
) -> None:
    """Say each outcome as it comes."""
    done: set[Path] = set()
    try:
        for outcome in outcomes:
            done.add(outcome.scan)
            table.count(outcome)
            if profiler is not None and outcome.inspection is not None:
                profiler.add(outcome.name, outcome.inspection.spans)
            if json:
                console.emit_json(outcome.as_json())
            else:
                table.print_row(outcome)
            _show_bug(outcome)
    except BaseException:
        # Whatever ends the run, what was said and written before it stands.
        console.complain(f"ended at part {len(done) + 1} of {n_parts}; the results before it stand")
        raise


def _show_bug(outcome: Outcome) -> None:
    """The traceback of a bug of ours, which ended one part and not the run."""
    from ..runtime.errors import InternalError

    if isinstance(outcome.error, InternalError) and outcome.error.__cause__ is not None:
        traceback.print_exception(outcome.error.__cause__)


def _print_costs(costs: list[StageCost], out: Path, json: bool) -> None:
    if json:
        return
    from ..runtime.reports.table import MISSING, Table

    rows = [
        [
            cost.stage,
            str(cost.runs),
            f"{cost.median_ms:.1f}",
            f"{cost.total_ms:.0f}",
            MISSING if cost.peak_mb is None else f"{cost.peak_mb:.0f}",
        ]
        for cost in costs
    ]
    console.print_titled_table(Table("profile", ["stage", "runs", "median ms", "total ms", "resident MiB"], rows))
    console.emit(f"profile: {out / 'profile.json'}; trace for Perfetto or chrome://tracing: {out / 'trace.json'}")
