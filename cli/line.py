"""`cmdiad-rt`: the line's command. It needs the lean runtime only."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import console
from .bench import bench
from .doctor import line_doctor
from .entry import new_app, run
from .options import GraphName
from .selftest import selftest

if TYPE_CHECKING:
    from ..runtime.batch import Result
    from ..runtime.profile import StageCost

app = new_app("Inspect parts on the line with a calibrated cmdiad bundle.")
DEFECT_FOUND = 1


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version and leave.", is_eager=True, callback=console.print_version),
    ] = False,
) -> None:
    pass


@app.command()
def infer(
    scans: Annotated[list[str], typer.Argument(metavar="SCAN...", help="Scan files, folders or quoted globs.")],
    bundle: Annotated[
        Path | None,
        typer.Option(help="Bundle folder or .cmdiad file.  [default: $CMDIAD_BUNDLE, else ./bundle]"),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for heat maps and raw maps.")] = Path("inspections"),
    threshold: Annotated[
        float | None, typer.Option(help="Score above which a part is defective.  [default: the bundle's]")
    ] = None,
    provider: Annotated[str, typer.Option(help="What runs the networks; `cmdiad-rt doctor` lists them.")] = "cpu",
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads of the networks.  [default: all]")] = None,
    cuda_graph: Annotated[bool, typer.Option("--cuda-graph", help="Capture networks as CUDA graphs.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object a scan on stdout, nothing else.")] = False,
    graph: Annotated[
        GraphName, typer.Option(help="networks, the fused line graph, or auto: line but on the CPU.")
    ] = GraphName.auto,
    batch: Annotated[int, typer.Option(min=1, help="Scans that go through the line graph together: for GPUs.")] = 1,
    fail_on_defect: Annotated[
        bool, typer.Option("--fail-on-defect", help="Exit with 1 if a defect was found.")
    ] = False,
    profile: Annotated[
        bool,
        typer.Option("--profile", help="Write time and memory by stage, and a trace for Perfetto, beside the maps."),
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:
    """Inspect scans: verdict, score, heat map and raw map of each.

    Exit codes: 0 done, 1 a defect (with --fail-on-defect), 2 wrong usage, 3 a scan could not be inspected,
    4 bad bundle, 5 execution provider not available.
    """
    from ..runtime.batch import inspect_files
    from ..runtime.errors import ScanError
    from ..runtime.inspector import Inspector, find_inputs
    from ..runtime.profile import Profiler

    inspector = Inspector.load(bundle, provider, threads, threshold, cuda_graph, graph.value, batch)
    files = find_inputs(scans, inspector.bundle.manifest)
    report = _Report()
    profiler = Profiler() if profile else None
    with console.progress_display(quiet or json) as progress, profiler or nullcontext():
        for number, result in enumerate(inspect_files(inspector, files, out), 1):
            report.add(result)
            if profiler is not None and result.inspection is not None:
                profiler.add(str(result.scan), result.inspection.spans)
            if json:
                console.emit_json(result.as_json())
            elif result.error is not None:
                console.complain(str(result.error))
            progress("inspect", number, len(files), "")
    if not json:
        report.print(out)
    if profiler is not None:
        costs = profiler.write(out)
        if not json:
            _print_costs(costs, out)
    if report.failed:
        sys.exit(ScanError.exit_code)
    if fail_on_defect and report.defects:
        sys.exit(DEFECT_FOUND)


app.command(short_help="Repeat the bundle's golden scans and compare every stage.")(selftest)
app.command("doctor", short_help="Say what this machine can run, and what to install.")(line_doctor)
app.command(short_help="Measure whether this machine keeps up with the line.")(bench)


def _print_costs(costs: list[StageCost], out: Path) -> None:
    rows = [
        [
            each.stage,
            str(each.runs),
            f"{each.median_ms:.1f}",
            f"{each.total_ms:.0f}",
            "-" if each.peak_mb is None else f"{each.peak_mb:.0f}",
        ]
        for each in costs
    ]
    console.print_titled_table("profile", ["stage", "runs", "median ms", "total ms", "resident MiB"], rows, 1)
    console.emit(f"profile: {out / 'profile.json'}; trace for Perfetto or chrome://tracing: {out / 'trace.json'}")


class _Report:
    """The verdict table; keeps text only, so that a long run does not hold its maps."""

    def __init__(self) -> None:
        self.rows: list[list[str]] = []
        self.files: list[tuple[Path | None, Path | None]] = []
        self.failed = 0
        self.defects = 0

    def add(self, result: Result) -> None:
        found = result.inspection
        if found is None:
            self.failed += 1
            self.rows.append([result.scan.name, "-", "-", "NOT INSPECTED", "-", "-"])
            return
        self.defects += found.is_defect
        self.files.append((result.heatmap, result.map))
        self.rows.append(
            [
                result.scan.name,
                f"{found.score:.4f}",
                f"{found.threshold:.4f}",
                "DEFECT" if found.is_defect else "good",
                f"{1e3 * sum(found.seconds.values()):.0f}",
                " ".join(f"{stage} {1e3 * seconds:.0f}" for stage, seconds in found.seconds.items()),
            ]
        )

    def print(self, out: Path) -> None:
        headers = ["scan", "score", "threshold", "verdict", "ms", "ms by stage"]
        console.print_table(headers, self.rows, numeric=(1, 2, 4))
        good = len(self.files) - self.defects
        skipped = f", {self.failed} could not be inspected" if self.failed else ""
        console.emit(f"\n{len(self.files)} inspected: {self.defects} defective, {good} good{skipped}.")
        if len(self.files) == 1:
            console.emit(f"heat map: {self.files[0][0]}\nraw map:  {self.files[0][1]}")
        elif self.files:
            console.emit(f"heat maps and raw maps: {out}")


def main() -> None:
    """The console script."""
    run(app, "cmdiad-rt")
