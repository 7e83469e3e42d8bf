"""`cmdiad-rt bench`: can this device keep up with the line, and which configuration is best?"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import console
from .interruption import exit_code

if TYPE_CHECKING:
    from ..runtime.bench.measuring.report import Report

_COMPARISON_NOTE = """
before, after: medians as measured. ratio: after over before, by the faster quarter of each block and with the machine's
own speed divided out, so it is not the quotient of the two medians. machine: how much longer a yardstick, timed between
the parts, took itself. A change counts where p is below 0.01 and the ratio at least 5 % away from 1."""


def bench(
    bundles: Annotated[
        list[Path] | None,
        typer.Option("--bundle", help="Bundle; repeatable, one a precision.  [default: $CMDIAD_BUNDLE, else ./bundle]"),
    ] = None,
    scans: Annotated[
        list[str] | None,
        typer.Option("--scans", help="Scan files, folders or globs; repeatable.  [default: the bundle's golden scans]"),
    ] = None,
    scenario: Annotated[
        str | None,
        typer.Option(
            metavar="A,B",
            help="single-stream, multi-stream, server, offline, takt, or all.  [default: single-stream,offline]",
        ),
    ] = None,
    takt: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="A part every so often, such as 800ms: exit 7 if it cannot be held."),
    ] = None,
    latency: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="A part's deadline (takt) or bound (server).  [default: the takt]"),
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option(min=1e-6, help="server: parts a second.  [default: the highest that holds --latency]"),
    ] = None,
    streams: Annotated[int, typer.Option(min=1, help="multi-stream: parts that come at once.")] = 8,
    provider: Annotated[str | None, typer.Option(metavar="A,B", help="Execution providers.  [default: cpu]")] = None,
    engine: Annotated[
        str | None,
        typer.Option(
            metavar="A,B", help="onnxruntime, or the bundle's tensorrt, tensorrt-rtx.  [default: onnxruntime]"
        ),
    ] = None,
    precision: Annotated[str | None, typer.Option(metavar="A,B", help="Precisions.  [default: the bundles']")] = None,
    graph: Annotated[
        str | None, typer.Option(metavar="A,B", help="networks, or line: the fused line graph.  [default: auto]")
    ] = None,
    batch: Annotated[
        str | None, typer.Option(metavar="A,B", help="Parts in a call of the networks.  [default: 1]")
    ] = None,
    threads: Annotated[
        str | None, typer.Option(metavar="A,B", help="CPU threads of the networks.  [default: all]")
    ] = None,
    coreset: Annotated[
        str | None, typer.Option(metavar="A,B", help="Shares of the patches in the banks.  [default: as calibrated]")
    ] = None,
    cuda_graph: Annotated[bool, typer.Option("--cuda-graph", help="Capture networks as CUDA graphs.")] = False,
    test: Annotated[
        Path | None, typer.Option("--test", help="Class folder with a labeled test split: detection quality too.")
    ] = None,
    seconds: Annotated[float, typer.Option(min=0.0, help="Measure each scenario at least this long.")] = 10.0,
    samples: Annotated[int, typer.Option(min=1, help="And at least this many latencies (p90 needs 64, p99 662).")] = 64,
    loadgen: Annotated[bool, typer.Option("--loadgen", help="Run MLCommons' LoadGen too and keep its logs.")] = False,
    compare: Annotated[
        tuple[Path, Path] | None,
        typer.Option(metavar="BEFORE AFTER", help="Compare two reports instead: exit 7 if the second is slower."),
    ] = None,
    estimate: Annotated[
        str | None,
        typer.Option(
            metavar="TARGET", help="Estimate for a device that is not here instead, such as sm86 or 'RTX A6000'."
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for report.json, report.md and report.html.")] = Path("bench"),
    json: Annotated[
        bool, typer.Option("--json", help="Print the report as one JSON object on stdout, nothing else.")
    ] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the report as Markdown on stdout.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the random arrivals.")] = 0,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:
    """Measure the whole inspection on this device, from the scan's file to score and map.

    Exit codes: 0 done (and the takt is held), 2 wrong usage, 3 a scan could not be inspected, 4 bad bundle,
    5 nothing of what was asked is available, 7 the takt cannot be held, or --compare found a slowdown,
    130 interrupted: the report holds what was measured.
    """
    if compare is not None:
        _compare(*compare, json)
        return
    if estimate is not None:
        _estimate(bundles, scans, estimate, json)
        return
    from ..runtime.bench.measuring.configuration import Choices, parse_list
    from ..runtime.bench.measuring.durations import parse_duration
    from ..runtime.bench.measuring.scenarios import Plan, chosen
    from ..runtime.bench.run import BenchRequest, run_bench

    request = BenchRequest(
        bundles=bundles or [],
        scenarios=chosen(
            parse_list(scenario, "--scenario", str),
            None if takt is None else parse_duration(takt, "--takt"),
            None if latency is None else parse_duration(latency, "--latency"),
            rate,
            streams,
            seed,
        ),
        plan=Plan(seconds=seconds, samples=samples),
        choices=Choices(
            provider=parse_list(provider, "--provider", str),
            engine=parse_list(engine, "--engine", str),
            precision=parse_list(precision, "--precision", str),
            graph=parse_list(graph, "--graph", str),
            batch=parse_list(batch, "--batch", int),
            threads=parse_list(threads, "--threads", int),
            coreset=parse_list(coreset, "--coreset", float),
            cuda_graph=cuda_graph,
        ),
        scans=scans or [],
        out=out,
        loadgen=loadgen,
        test=test,
    )
    with console.progress_display(quiet or json) as progress:
        report, interrupted = run_bench(request, progress)
    _print_report(report, out, json, markdown)
    if interrupted:
        console.complain(f"interrupted: {out / 'report.json'} is partial, it holds what was measured until then")
        sys.exit(exit_code())
    if report.verdict is not None and not report.verdict.holds:
        from ..runtime.errors import LineRateError

        raise LineRateError(report.verdict.text)


def _print_report(report: Report, out: Path, json: bool, markdown: bool) -> None:
    if json:
        from ..runtime.bench.measuring.report import encode_report

        console.emit_bytes(encode_report(report))
        return
    if markdown:
        from ..runtime.bench.reporting.markdown import markdown_report

        console.emit(markdown_report(report).rstrip("\n"))
        return
    from ..runtime.bench.reporting.tables import headline, report_tables

    console.emit("\n".join(headline(report)))
    for table in report_tables(report):
        console.print_titled_table(table)
    console.emit(f"\n{report.disclaimer}\nreport: {out}/report.json, report.md, report.html")
    if report.verdict is not None and report.verdict.holds:
        console.emit(report.verdict.text)


def _compare(before: Path, after: Path, json: bool) -> None:
    from ..runtime.bench.measuring.report import read_report
    from ..runtime.bench.reporting.compare import compare_reports, comparison_table, differences
    from ..runtime.errors import LineRateError

    old, new = read_report(before), read_report(after)
    found = compare_reports(old, new)
    if json:
        console.emit_json({"comparisons": found, "differences": differences(old, new)})
    else:
        console.print_titled_table(replace(comparison_table(found), note=_COMPARISON_NOTE))
        for line in differences(old, new):
            console.emit(line)
    slower = [each for each in found if each.verdict == "slower"]
    if slower:
        names = ", ".join(f"{each.name} by {each.ratio - 1:.0%}" for each in slower)
        raise LineRateError(f"{after}: slower than {before}: {names}")


def _estimate(bundles: list[Path] | None, scans: list[str] | None, target: str, json: bool) -> None:
    from ..runtime.bench.estimate import estimate_bundle, estimate_lines

    work, estimates = estimate_bundle(bundles[0] if bundles else None, scans or [], target)
    if json:
        console.emit_json({"work": work, "estimates": estimates})
    else:
        console.emit("\n".join(estimate_lines(estimates, work)))
