"""`cmdiad-rt bench estimate`: a lower bound for a device that is not here."""

from __future__ import annotations

from typing import Annotated

import typer

from . import console, line_options


def estimate(
    target: Annotated[str, typer.Argument(metavar="TARGET", help="The device, such as sm86 or 'RTX A6000'.")],
    bundle: line_options.Bundle = None,
    scans: line_options.Scans = None,
    json: line_options.Json = False,
) -> None:
    """Estimate the time of networks and bank search on a device that you do not have, from its published peaks.

    Exit codes: 0 done, 2 no peaks of the device are known, 4 bad bundle.
    """
    from ..runtime.bench.estimate import estimate_bundle, estimate_lines

    work, estimates = estimate_bundle(bundle, scans or [], target)
    if json:
        console.emit_json({"work": work, "estimates": estimates})
    else:
        console.emit("\n".join(estimate_lines(estimates, work)))
