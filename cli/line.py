"""`cmdiad-rt`: the line's command. It needs the lean runtime only."""

from __future__ import annotations

from . import bench, users
from .doctor import line_doctor
from .entry import new_app, run
from .infer import infer
from .selftest import selftest

app = new_app("Inspect parts on the line with a calibrated cmdiad bundle.")
app.command(short_help="Inspect scans: verdict, score, heat map and raw map of each.")(infer)
app.command(short_help="Repeat the bundle's golden scans and compare every stage.")(selftest)
app.command("doctor", short_help="Say what this machine can run, and what to install.")(line_doctor)
app.add_typer(users.app, short_help="Say who may log in to the line's OPC UA server.")
app.add_typer(bench.app, short_help="Measure whether this machine keeps up with the line.")


def main() -> None:
    """The console script."""
    run(app, "cmdiad-rt")
