"""What both commands share: errors as one line and an exit code, tables, progress."""

from __future__ import annotations

import errno
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import typer

from ..runtime.errors import CmdiadError, UsageError

Progress = Callable[[str, int, int, str], None]
INTERRUPTED = 130
# Not 1, which says that a part is defective (sysexits.h: an internal software error).
BUG = 70
# The system's refusals that are nobody's bug, and what to do.
REFUSALS = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "free some space, or choose another place"),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), "give this user the right, or choose another place"),
}


def run(app: typer.Typer, name: str) -> None:
    """Run an app: a user's error becomes one line on stderr and its exit code; --debug shows the traceback.

    What is neither a user's error nor the machine's is a bug: its traceback and exit code 70.
    """
    # NumPy's products here are many and small: on two cores its threads wait for each other longer than they work.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    arguments = sys.argv[1:]
    debug = "--debug" in arguments
    warnings.formatwarning = lambda message, *_, **__: f"warning: {message}\n"
    arguments = [argument for argument in arguments if argument != "--debug"]
    try:
        app(arguments, prog_name=name)
    except KeyboardInterrupt:
        complain("interrupted")
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        code, message = _in_words(error)
        if debug or code == BUG:
            traceback.print_exc()
        complain(message)
        sys.exit(code)


def _in_words(error: Exception) -> tuple[int, str]:
    """The exit code and the one line for an error."""
    if isinstance(error, CmdiadError):
        return error.exit_code, str(error)
    if isinstance(error, OSError) and error.errno in REFUSALS:
        where = "" if error.filename is None else f"{error.filename}: "
        return UsageError.exit_code, f"{where}{error.strerror}: {REFUSALS[error.errno]}"
    if isinstance(error, MemoryError):
        return UsageError.exit_code, f"this machine has too little memory for that: {error}"
    return BUG, f"this is a bug of the program ({type(error).__name__}): report it with the lines above"


def print_version(asked: bool) -> None:
    """Answer --version and leave."""
    if asked:
        from ..version import __version__

        print(__version__)
        raise typer.Exit


def complain(message: str) -> None:
    """One line on stderr."""
    typer.secho("error: " + " ".join(message.split()), err=True, fg=None if plain(sys.stderr) else "red")


def plain(stream: Any) -> bool:
    """Whether a stream wants no color and no moving bars."""
    return bool(os.environ.get("NO_COLOR")) or not stream.isatty()


def print_table(headers: Sequence[str], rows: Sequence[Sequence[str]], numeric: Sequence[int] = ()) -> None:
    """A table on stdout, as plain aligned text: the same on a terminal, in a file and in a log."""
    widths = [max(len(row[i]) for row in (headers, *rows)) for i in range(len(headers))]

    def line(row: Sequence[str]) -> str:
        cells = [
            cell.rjust(width) if i in numeric else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        return "  ".join(cells).rstrip()

    print(line(headers))
    print("  ".join("-" * width for width in widths))
    for row in rows:
        print(line(row))


def print_titled_table(
    title: str, headers: Sequence[str], rows: Sequence[Sequence[str]], n_labels: int, note: str = ""
) -> None:
    """A table under its title, numbers to the right, a note below it."""
    if title:
        print(f"\n{title}:")
    print_table(headers, rows, numeric=range(n_labels, len(headers)))
    if note:
        print(note)


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


class _PlainProgress:
    """A line when a stage begins, at every tenth of it, and at its end."""

    def __init__(self) -> None:
        self._last: tuple[str, int] = ("", -1)

    def __call__(self, stage: str, done: int, total: int, remark: str) -> None:
        tenth = 10 * done // max(total, 1)
        if (stage, tenth) == self._last:
            return
        self._last = (stage, tenth)
        print(f"{stage}: {done} of {total}{' ' if remark else ''}{remark}", file=sys.stderr, flush=True)


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
            if stage not in tasks or bars.tasks[tasks[stage]].finished:
                tasks[stage] = bars.add_task(stage, total=total, remark=remark)
            bars.update(tasks[stage], completed=done, total=total, remark=remark)

        yield progress
