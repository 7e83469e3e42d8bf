"""The options of `cmdiad export` that write a Triton model repository."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from ..runtime.errors import UsageError
from . import console

Triton = Annotated[
    Path | None,
    typer.Option(
        "--triton",
        metavar="REPOSITORY",
        help="Add each calibrated --bundle to a model repository of Triton Inference Server, as its model's next "
        "version.",
    ),
]
Provider = Annotated[
    str | None,
    typer.Option(
        "--triton-provider", help="What runs the networks on the server.  [default: as config.pbtxt says, else cpu]"
    ),
]
Instances = Annotated[
    int | None,
    typer.Option("--triton-instances", min=1, help="Processes per product.  [default: as config.pbtxt says, else 1]"),
]
Batch = Annotated[
    int | None,
    typer.Option(
        "--triton-batch",
        min=1,
        help="Most requests that go through the line graph together.  [default: as config.pbtxt says, else 8]",
    ),
]
Site = Annotated[
    str | None,
    typer.Option(
        "--triton-site",
        metavar="FOLDERS",
        help="The server's site-packages with cmdiad; several as in $PATH.  [default: as config.pbtxt says, else "
        "$CMDIAD_TRITON_SITE there]",
    ),
]


def single_bundle(bundles: Sequence[Path] | None) -> Path | None:
    """The bundle to change, of which there is one at a time.

    Raises:
        UsageError: there are several.
    """
    if bundles and len(bundles) > 1:
        raise UsageError(f"--bundle {bundles[1]}: several are for --triton alone: give one, or run it again")
    return bundles[0] if bundles else None


def refuse_alone(provider: str | None, instances: int | None, batch: int | None, site: str | None) -> None:
    """Refuse options of --triton where it was not given: they would change nothing.

    Raises:
        UsageError: there is one.
    """
    given = {"provider": provider, "instances": instances, "batch": batch, "site": site}
    for name, value in given.items():
        if value is not None:
            raise UsageError(
                f"--triton-{name} {value} is an option of --triton: give --triton REPOSITORY too, or neither"
            )


def write_models(
    repository: Path,
    bundles: Sequence[Path] | None,
    provider: str | None,
    instances: int | None,
    batch: int | None,
    site: str | None,
    force: bool,
) -> None:
    """Write the repository, and say what became of each bundle."""
    from ..export.triton.pbtxt import TritonOptions
    from ..export.triton.repository import write_repository

    if not bundles:
        raise UsageError("--triton needs the bundles to serve: give --bundle BUNDLE, once for each product")
    options = TritonOptions(provider, instances, batch, site)
    for written in write_repository(repository, bundles, options, force):
        remark = "" if written.is_new else " (has this bundle already)"
        console.emit(f"model: {written.model} version {written.version}{remark}: {written.folder}")
        if written.config_kept:
            console.emit(
                f"config.pbtxt of {written.model} differs from these options and was kept: --force rewrites it"
            )
