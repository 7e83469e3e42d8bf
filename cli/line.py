"""`cmdiad-rt`: the line's command. It needs the lean runtime only."""

from __future__ import annotations

from typing import Annotated

import typer

from . import console
from .bench import bench
from .doctor import line_doctor
from .infer import infer
from .selftest import selftest

app = typer.Typer(
    help="Inspect parts on the line with a calibrated cmdiad bundle.",
    epilog="--debug anywhere shows the traceback of an error.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version and leave.", is_eager=True, callback=console.print_version),
    ] = False,
) -> None:
    pass


app.command()(infer)
app.command()(selftest)
app.command(name="doctor")(line_doctor)
app.command()(bench)


def main() -> None:
    """The console script."""
    console.run(app, "cmdiad-rt")
