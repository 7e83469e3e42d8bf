"""`cmdiad-rt watch`: a hot folder, each scan of which is inspected once."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..runtime.choices import After, Existing
from ..runtime.errors import one_line
from . import console, line_options
from .verdicts import WORDS

if TYPE_CHECKING:
    from ..runtime.inspection import Inspection
    from ..runtime.service.arrival import PartRecord
    from ..runtime.service.production_line import ProductionLine


def watch(
    folder: Annotated[Path, typer.Argument(metavar="IN", help="The folder that scans are written to.")],
    out: Annotated[Path, typer.Option(help="Folder for results, heat maps and the journal.")] = Path("inspections"),
    bundle: line_options.Bundle = None,
    require_signature: line_options.RequireSignature = None,
    sensor: line_options.Sensor = None,
    roi: line_options.Roi = None,
    parts: line_options.Parts = None,
    after: Annotated[After, typer.Option(help="What happens to a scan once it has its result.")] = "leave",
    done: Annotated[Path | None, typer.Option(help="Where --after move puts scans.  [default: IN-done]")] = None,
    existing: Annotated[
        Existing, typer.Option(help="Whether to inspect scans that are there at the very first start.")
    ] = "inspect",
    recursive: Annotated[bool, typer.Option("--recursive", help="Look into subfolders of IN too.")] = False,
    settle: Annotated[
        float,
        typer.Option(
            min=0, help="Seconds without a change until a scan counts as written; 0 if scans are renamed into IN."
        ),
    ] = 0.5,
    poll: Annotated[float, typer.Option(min=0.01, help="Seconds between two listings of the folder.")] = 1.0,
    tries: Annotated[int, typer.Option(min=1, help="How often a scan is tried before it is rejected.")] = 3,
    heatmaps: line_options.Heatmaps = "all",
    cloud: line_options.Cloud = "none",
    threshold: line_options.Threshold = None,
    allow_any_size: line_options.AllowAnySize = False,
    provider: line_options.Provider = "cpu",
    threads: line_options.Threads = None,
    graph: line_options.GraphOption = "auto",
    json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object per part on stdout, nothing else.")
    ] = False,
) -> None:
    """Inspect every scan that is written to a folder exactly once, even after a kill; stop with Ctrl-C or SIGTERM.

    OUT holds a folder a day with result, heat map and map of each part, `rejected/` with what could not be inspected
    and why, and the journal.

    Exit codes: 0 stopped, 2 wrong usage, 4 bad bundle, 5 device not available or gone, 6 the bundle fails its
    self-test, 74 a result could not be written. Started again, it continues where it stopped.
    """
    from ..runtime.bundle.reading import find_bundle, open_bundle
    from ..runtime.freed_memory import keep_few_heaps
    from ..runtime.sensor.sensor_file import require_same_sensor
    from ..runtime.service.line_file import FolderTable, LineFile, LineTable, ProductTable
    from ..runtime.service.production_line import ProductionLine

    told = line_options.as_assignments(roi=roi, parts=parts)
    if sensor is not None or told:
        require_same_sensor(open_bundle(find_bundle(bundle)).manifest.description, sensor, told)
    file = LineFile(
        line=LineTable(
            out=str(out),
            provider=provider,
            threads=threads,
            graph=graph,
            heatmaps=heatmaps,
            clouds=cloud,
            require_signature=[str(path) for path in require_signature or ()],
            allow_any_size=allow_any_size,
            tries=tries,
        ),
        product=[ProductTable(name="", bundle=str(find_bundle(bundle)), threshold=threshold)],
        folder=[
            FolderTable(
                path=str(folder),
                recursive=recursive,
                after=after,
                done=None if done is None else str(done),
                settle_seconds=settle,
                poll_seconds=poll,
                existing=existing,
            )
        ],
    )
    keep_few_heaps()
    run_line(ProductionLine(file, Path()), f"watching {folder}, results in {out}; Ctrl-C ends it", json)


def run_line(line: ProductionLine, ready: str, json: bool) -> None:
    """Run a line in this terminal until a signal ends it, and print every result."""

    def heard(record: PartRecord, inspection: Inspection | None) -> None:
        if json:
            console.emit_json(record)
        else:
            console.emit(_row(record))

    line.station.listen(heard)
    stop_on_signals(line)
    line.run(lambda: None if json else console.emit(ready))


def stop_on_signals(line: ProductionLine) -> None:
    """Ctrl-C and SIGTERM end a line in good order; a second one ends the process as it ends any command."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def stop(number: int, frame: Any) -> None:
        for known, handler in handlers.items():
            signal.signal(known, handler)
        line.end()

    for number in handlers:
        signal.signal(number, stop)


def _row(record: PartRecord) -> str:
    verdict = WORDS[record.verdict]
    score = "-" if record.score is None else f"{record.score:.4f}"
    why = f"  {record.result['error']['message']}" if record.verdict == "error" else ""
    return one_line(f"{record.number:>7}  {score:>9}  {verdict:<13}  {record.scan}{why}")
