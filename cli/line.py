"""`cmdiad-rt`: the line's command. It needs the lean runtime only."""

from __future__ import annotations

from . import bench, users
from .doctor import line_doctor
from .entry import new_app, run
from .history import history
from .infer import infer
from .selftest import selftest
from .serve import serve
from .watch import watch

app = new_app("Inspect parts on the line with a calibrated cmdiad bundle.")
app.command(short_help="Inspect scans: verdict, score, heat map and raw map of each.")(infer)
app.command(short_help="Inspect every scan that is written to a folder, once.")(watch)
app.command(short_help="Serve inspections by HTTP, with a live page, metrics and history.")(serve)
app.command(short_help="Query the results of a line: a table, CSV or JSON.")(history)
app.command(short_help="Repeat the bundle's golden scans and compare every stage.")(selftest)
app.command("doctor", short_help="Show what this machine can run, and what to install.")(line_doctor)
app.add_typer(users.app, short_help="Manage who may log in to the line's OPC UA server.")
app.add_typer(bench.app, short_help="Measure whether this machine keeps up with the line.")


def main() -> None:
    """The console script."""
    run(app, "cmdiad-rt")
