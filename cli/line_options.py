"""Options that several commands of `cmdiad-rt` share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..runtime.choices import Graph, Written
from ..runtime.choices import Parts as PartsOfScan

Bundle = Annotated[
    Path | None,
    typer.Option("--bundle", help="Bundle folder or .cmdiad file.  [default: $CMDIAD_BUNDLE, else ./bundle]"),
]
RequireSignature = Annotated[
    list[Path] | None,
    typer.Option(
        "--require-signature",
        metavar="PUB",
        help="Refuse a bundle that none of these keys signed; repeatable.  [default: $CMDIAD_REQUIRE_SIGNATURE]",
    ),
]
Provider = Annotated[str, typer.Option(help="What runs the networks; `cmdiad-rt doctor` lists the choices.")]
Threads = Annotated[
    int | None, typer.Option(min=1, help="CPU threads, for everything that can use several.  [default: all]")
]
CudaGraph = Annotated[
    bool | None,
    typer.Option(
        "--cuda-graph/--no-cuda-graph",
        help="Whether to capture networks as CUDA graphs.  [default: if the provider can]",
        show_default=False,
    ),
]
Heatmaps = Annotated[Written, typer.Option(help="Which parts get heat maps and raw maps.")]
Cloud = Annotated[Written, typer.Option(help="Which parts get a PLY cloud in the heat map's colors.")]
Threshold = Annotated[
    float | None, typer.Option(help="Score above which a part is defective.  [default: the bundle's]")
]
AllowAnySize = Annotated[
    bool, typer.Option("--allow-any-size", help="Also inspect parts unlike those that calibration saw.")
]
GraphOption = Annotated[Graph, typer.Option(help="networks, the fused line graph, or auto: line except on the CPU.")]
Sensor = Annotated[
    str | None,
    typer.Option(
        "--sensor",
        metavar="FILE|PRESET",
        help="Refuse to inspect if this is not the sensor that the bundle was calibrated for.  [default: no check]",
    ),
]
Roi = Annotated[
    str | None,
    typer.Option(
        metavar="ROW,COLUMN,HEIGHT,WIDTH|MASK",
        help="Refuse to inspect if this is not the region of interest that the bundle was calibrated with.  "
        "[default: no check]",
    ),
]
Parts = Annotated[
    PartsOfScan | None,
    typer.Option(
        help="Refuse to inspect if these are not the parts of a scan that the bundle takes.  [default: no check]"
    ),
]
Scans = Annotated[
    list[str] | None,
    typer.Option("--scans", help="Scan files, folders or globs; repeatable.  [default: the bundle's golden scans]"),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout, nothing else.")]


def as_assignments(**values: object) -> list[str]:
    """Options that are one value of the preprocessing each, as `--set` would give it; None is not given.

    Example:
        >>> as_assignments(plane=None, window="part")
        ['preprocessing.window=part']
    """
    return [f"preprocessing.{name}={value}" for name, value in values.items() if value is not None]
