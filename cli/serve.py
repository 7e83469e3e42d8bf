"""`cmdiad-rt serve`: the line as a service, by one file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import console
from .extras import SERVE, needs
from .watch import run_line


@needs(SERVE)
def serve(
    file: Annotated[Path, typer.Argument(metavar="LINE", help="The line's configuration, line.toml.")] = Path(
        "line.toml"
    ),
    check: Annotated[
        bool, typer.Option("--check", help="Read the file, open everything, leave nothing behind, and exit.")
    ] = False,
    json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object per part on stdout, nothing else.")
    ] = False,
) -> None:
    """Serve inspections by HTTP, hot folders and a controller's requests, with a live page, metrics and history.

    Exit codes: 0 stopped, 2 the file is invalid, 4 bad bundle, 5 device not available or gone, 6 a bundle
    fails its self-test, 71 a port cannot be listened on, 74 a result could not be written.
    """
    from ..runtime.freed_memory import keep_few_heaps
    from ..runtime.service.line_file import read_line_file
    from ..runtime.service.line_log import end_log, start_log
    from ..runtime.service.production_line import ProductionLine
    from ..runtime.service.web.http_server import HttpRequests
    from ..runtime.service.web.line_check import check_line

    settings, base = read_line_file(file), file.parent
    if check:
        checked = check_line(settings, base)
        for doubt in checked.doubts:
            console.warn(doubt)
        products, sinks = ", ".join(checked.products), ", ".join(checked.sinks) or "none"
        said = f"products {products}; sinks {sinks}; {checked.address}; results in {checked.out}"
        console.emit(f"{file}: everything opens: {said}")
        return
    keep_few_heaps()
    log = start_log(settings.log, base)
    try:
        line = ProductionLine(settings, base, file)
        server = HttpRequests(line)
        line.sources.append(server)
        run_line(line, f"serving {server.address}, results in {line.out}; Ctrl-C ends it", json)
    finally:
        end_log(log)
