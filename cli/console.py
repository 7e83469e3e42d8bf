"""What the commands print: results on standard output, messages and progress on standard error, tables."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

from ..runtime.errors import one_line
from ..runtime.files.json_encoding import encode_json, escape_name
from ..runtime.progress import Progress
from .streams import Output

if TYPE_CHECKING:
    from ..runtime.reports.table import Table

# Where `entry.run` has not claimed standard output, as in a test, it is whatever `sys.stdout` is.
_claimed: list[Output] = []


def write_to(output: Output) -> None:
    """From now on results go to this output."""
    _claimed[:] = [output]


def emit(text: object = "") -> None:
    """A line of text on standard output, at once; several, where it holds line breaks."""
    if _claimed:
        _write(_claimed[0].encode(f"{text}\n"))
    else:
        print(text, flush=True)


def emit_json(value: Any) -> None:
    """One JSON object on a line of standard output, at once, in UTF-8 whatever the locale: see `encode_json`."""
    emit_bytes(encode_json(value))


def emit_bytes(line: bytes) -> None:
    """A line that is encoded already."""
    if _claimed:
        _write(line.rstrip(b"\n") + b"\n")
    else:
        print(line.decode().rstrip("\n"), flush=True)


def _write(data: bytes) -> None:
    output = _claimed[0]
    if not output.write(data):
        assert output.failure is not None
        complain(f"standard output: {output.failure.strerror}: the rest is not printed")


def complain(message: str) -> None:
    """One line on standard error."""
    line = "error: " + " ".join(escape_name(message).split())
    print(line if plain(sys.stderr) else typer.style(line, fg="red"), file=sys.stderr, flush=True)


def warn(message: str) -> None:
    """One line on standard error that ends nothing."""
    print(f"warning: {escape_name(message)}", file=sys.stderr, flush=True)


@contextmanager
def said_warnings() -> Iterator[list[str]]:
    """Warnings that the block's work gives, each said at once when it ends, and kept for a result in JSON."""
    kept: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            yield kept
        finally:
            kept += dict.fromkeys(str(warning.message) for warning in caught)
            for message in kept:
                warn(message)


def on_terminal() -> bool:
    """Whether results go to a terminal that shows colors."""
    at_terminal = os.isatty(_claimed[0].descriptor) if _claimed else sys.stdout.isatty()
    return at_terminal and not os.environ.get("NO_COLOR")


def print_version(asked: bool) -> None:
    """Answer --version and leave."""
    if asked:
        from ..version import __version__

        emit(__version__)
        raise typer.Exit


def plain(stream: Any) -> bool:
    """Whether a stream wants no color and no moving bars."""
    return bool(os.environ.get("NO_COLOR")) or not stream.isatty()


def print_table(headers: Sequence[str], rows: Sequence[Sequence[str]], numeric: Sequence[int] = ()) -> None:
    """A table on standard output, as plain aligned text: the same on a terminal, in a file and in a log."""
    headers, *rows = [[one_line(escape_name(cell)) for cell in row] for row in (headers, *rows)]
    widths = [max(len(row[i]) for row in (headers, *rows)) for i in range(len(headers))]

    def line(row: Sequence[str]) -> str:
        cells = [
            cell.rjust(width) if i in numeric else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        return "  ".join(cells).rstrip()

    emit(line(headers))
    emit("  ".join("-" * width for width in widths))
    for row in rows:
        emit(line(row))


def print_titled_table(table: Table) -> None:
    """A table under its title, numbers to the right, a note below it."""
    if table.title:
        emit(f"\n{table.title}:")
    print_table(table.headers, table.rows, table.numeric)
    if table.note:
        emit(table.note)


@contextmanager
def progress_display(quiet: bool) -> Iterator[Progress]:
    """Progress on stderr: a bar on a terminal, a plain line at every tenth elsewhere, nothing if quiet."""
    if quiet:
        yield lambda *_: None
    elif plain(sys.stderr):
        yield _PlainProgress()
    else:
        with _bars() as progress:
            yield progress


class StageReport:
    """Progress of work whose steps are named and not counted: a new one begins when the one before is done."""

    def __init__(self, progress: Progress, work: str) -> None:
        self._progress, self._work = progress, work
        self._stage: str | None = None

    def __call__(self, stage: str) -> None:
        """A step begins."""
        self.end()
        self._stage = f"{self._work} {stage}"
        self._progress(self._stage, 0, 1, "")

    def end(self) -> None:
        """The last step is done."""
        if self._stage is not None:
            self._progress(self._stage, 1, 1, "")
        self._stage = None


class _PlainProgress:
    """A line when a stage begins, at every tenth of it, and at its end."""

    def __init__(self) -> None:
        self._last: tuple[str, int] = ("", -1)

    def __call__(self, stage: str, done: int, total: int, remark: str) -> None:
        if not total and remark:
            print(f"{stage}: {remark}", file=sys.stderr, flush=True)
            return
        tenth = 10 * done // max(total, 1)
        if (stage, tenth) == self._last:
            return
        self._last = (stage, tenth)
        # Of one thing that is done there is nothing to count.
        count = f"{done} of {total}" if total > 1 else "done" * done or "..."
        print(f"{stage}: {count}{' ' if remark else ''}{remark}", file=sys.stderr, flush=True)


@contextmanager
def _bars() -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = [
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[remark]}"),
    ]
    with Bars(*columns, console=Console(stderr=True)) as bars:
        tasks: dict[str, Any] = {}

        def progress(stage: str, done: int, total: int, remark: str) -> None:
            if not total and remark:
                bars.console.print(f"{stage}: {remark}", markup=False, highlight=False, soft_wrap=True)
                return
            if stage not in tasks or bars.tasks[tasks[stage]].finished:
                tasks[stage] = bars.add_task(stage, total=total, remark=remark)
            bars.update(tasks[stage], completed=done, total=total, remark=remark)

        yield progress
