"""`cmdiad-rt bench`: can this device keep up with the line, and which configuration is best?"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..runtime.choices import Written
from . import console, line_options
from .bench_compare import compare
from .bench_estimate import estimate
from .entry import new_app
from .interruption import exit_code

if TYPE_CHECKING:
    from ..runtime.bench.measuring.report import Report

_BundlesOption = Annotated[
    list[Path] | None,
    typer.Option("--bundle", help="Bundle; repeatable, one per precision.  [default: $CMDIAD_BUNDLE, else ./bundle]"),
]
_ScenarioOption = Annotated[
    str | None,
    typer.Option(
        metavar="A,B",
        help="single-stream (one part at a time: how long it takes), multi-stream, server, offline (all parts at once: "
        "parts per second), takt, or all.  [default: single-stream,offline]",
    ),
]
_TaktOption = Annotated[
    str | None, typer.Option(metavar="TIME", help="Time between two parts, such as 800ms; exit 7 if it cannot be met.")
]
_LatencyOption = Annotated[
    str | None, typer.Option(metavar="TIME", help="A part's deadline (takt) or bound (server).  [default: the takt]")
]
_RateOption = Annotated[
    float | None,
    typer.Option(min=1e-6, help="server: parts per second.  [default: the highest that holds --latency]"),
]
_StreamsOption = Annotated[int, typer.Option(min=1, help="multi-stream: parts that arrive together.")]
_ProvidersOption = Annotated[str | None, typer.Option(metavar="A,B", help="Execution providers.  [default: cpu]")]
_EnginesOption = Annotated[
    str | None,
    typer.Option(metavar="A,B", help="onnxruntime, or the bundle's tensorrt, tensorrt-rtx.  [default: onnxruntime]"),
]
_PrecisionsOption = Annotated[str | None, typer.Option(metavar="A,B", help="Precisions.  [default: the bundles']")]
_GraphsOption = Annotated[
    str | None, typer.Option(metavar="A,B", help="networks, or line: the fused line graph.  [default: auto]")
]
_BatchesOption = Annotated[
    str | None, typer.Option(metavar="A,B", help="Parts per call of the networks.  [default: 1]")
]
_ThreadsOption = Annotated[str | None, typer.Option(metavar="A,B", help="CPU threads.  [default: all]")]
_CoresetsOption = Annotated[
    str | None, typer.Option(metavar="A,B", help="Shares of the patches in the banks.  [default: as calibrated]")
]
_HeatmapsOption = Annotated[
    Written, typer.Option(help="Which parts get heat maps and raw maps, which count in their times.")
]
_TestOption = Annotated[
    Path | None, typer.Option("--test", help="Class folder with a labeled test split; adds I-AUROC.")
]
_SecondsOption = Annotated[float, typer.Option(min=0.0, help="Measure each scenario at least this long.")]
_SamplesOption = Annotated[
    int, typer.Option(min=1, help="Also measure at least this many latencies (p90 needs 64, p99 662).")
]
_LoadgenOption = Annotated[bool, typer.Option("--loadgen", help="Also run MLCommons' LoadGen, and keep its logs.")]
_OutOption = Annotated[Path, typer.Option(help="Folder for report.json, report.md and report.html.")]
_ReportOption = Annotated[
    bool, typer.Option("--json", help="Print the report as one JSON object on stdout, nothing else.")
]
_MarkdownOption = Annotated[bool, typer.Option("--markdown", help="Print the report as Markdown on stdout.")]
_SeedOption = Annotated[int, typer.Option(min=0, help="Random seed of the arrivals.")]


def bench(
    context: typer.Context,
    bundles: _BundlesOption = None,
    require_signature: line_options.RequireSignature = None,
    scans: line_options.Scans = None,
    scenario: _ScenarioOption = None,
    takt: _TaktOption = None,
    latency: _LatencyOption = None,
    rate: _RateOption = None,
    streams: _StreamsOption = 8,
    provider: _ProvidersOption = None,
    engine: _EnginesOption = None,
    precision: _PrecisionsOption = None,
    graph: _GraphsOption = None,
    batch: _BatchesOption = None,
    threads: _ThreadsOption = None,
    coreset: _CoresetsOption = None,
    cuda_graph: line_options.CudaGraph = None,
    heatmaps: _HeatmapsOption = "all",
    test: _TestOption = None,
    seconds: _SecondsOption = 10.0,
    samples: _SamplesOption = 64,
    loadgen: _LoadgenOption = False,
    out: _OutOption = Path("bench"),
    json: _ReportOption = False,
    markdown: _MarkdownOption = False,
    seed: _SeedOption = 0,
    quiet: line_options.Quiet = False,
) -> None:
    """Measure the whole inspection on this device, from the scan's file to the files that `infer` writes.

    Exit codes: 0 done (and the takt is held), 2 wrong usage, 3 a scan could not be inspected, 4 bad bundle,
    5 nothing of what was asked is available, 7 the takt cannot be held, 130 interrupted: the report holds what was
    measured.
    """
    if context.invoked_subcommand is not None:
        _refuse_options_before(context)
        return
    from ..runtime.bench.measuring.configuration import Choices, parse_list
    from ..runtime.bench.measuring.durations import parse_duration
    from ..runtime.bench.measuring.scenarios import Plan, chosen
    from ..runtime.bench.run import BenchRequest, run_bench
    from ..runtime.bundle.signature import find_trusted

    names = parse_list(scenario, "--scenario", str)
    takt_s = None if takt is None else parse_duration(takt, "--takt")
    latency_s = None if latency is None else parse_duration(latency, "--latency")
    request = BenchRequest(
        bundles=bundles or [],
        scenarios=chosen(names, takt_s, latency_s, rate, streams, seed),
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
            heatmaps=heatmaps,
        ),
        scans=scans or [],
        out=out,
        loadgen=loadgen,
        test=test,
        trusted=find_trusted(require_signature),
    )
    with console.progress_display(quiet or json) as progress:
        report, interrupted = run_bench(request, progress)
    _print_report(report, out, json, markdown)
    _leave(report, out, interrupted)


app = new_app(bench.__doc__ or "", name="bench", runs_alone=True)
app.callback()(bench)
app.command(short_help="Test whether the second of two reports is slower than the first.")(compare)
app.command(short_help="A lower bound for a device that you do not have.")(estimate)


def _refuse_options_before(context: typer.Context) -> None:
    """Refuse options of the measurement where a command follows: they would have no effect.

    Raises:
        UsageError: names them.
    """
    from ..runtime.errors import UsageError

    sources = {option.opts[0]: context.get_parameter_source(option.name or "") for option in context.command.params}
    given = [name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"]
    if given:
        command = f"bench {context.invoked_subcommand}"
        raise UsageError(f"{', '.join(given)}: has no effect before `{command}`: leave it out, or put it behind")


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


def _leave(report: Report, out: Path, interrupted: bool) -> None:
    """End with the code of an interruption, or of a takt that cannot be held.

    Raises:
        LineRateError: it cannot be held.
    """
    from ..runtime.errors import LineRateError

    if interrupted:
        console.complain(f"interrupted: {out / 'report.json'} is partial, it holds what was measured until then")
        sys.exit(exit_code())
    if report.verdict is not None and not report.verdict.holds:
        raise LineRateError(report.verdict.text)
