"""Options that several commands of `cmdiad` share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, get_args

import typer
from typer.models import OptionInfo

from ..runtime.bundle import parameters
from ..runtime.bundle.parameters import PRESETS
from ..runtime.choices import Parts as PartsOfScan

Data = Annotated[Path, typer.Argument(metavar="DATA", help="Dataset root: MVTec 3D-AD's layout, or Eyecandies'.")]
Run = Annotated[Path, typer.Option("--run", help="Run folder of `cmdiad train`.")]
Route = Annotated[
    parameters.RouteName, typer.Option(help="A distillation route, or a baseline: single bank, dual RGB + PC.")
]
Main = Annotated[parameters.Modality, typer.Option(help="Main modality: what the line measures.")]
Window = Annotated[
    parameters.Window | None,
    typer.Option(
        help="What the networks see of a scan: all of it, or a square around the part.  [default: scan; calibrate: "
        "as trained]"
    ),
]
Roi = Annotated[
    str | None,
    typer.Option(
        metavar="ROW,COLUMN,HEIGHT,WIDTH|MASK",
        help="Region of interest: a rectangle in pixels, or a mask image of the scans' size.  "
        "[default: all; calibrate: as before]",
    ),
]
Parts = Annotated[
    PartsOfScan | None,
    typer.Option(
        help="One part per scan, or every object that resembles the product.  [default: largest; calibrate: as before]"
    ),
]
Sensor = Annotated[
    str,
    typer.Option(metavar="FILE|PRESET", help=f"File of `cmdiad sensor new`, or a preset: {', '.join(PRESETS)}."),
]
OtherSensor = Annotated[
    str | None,
    typer.Option(
        "--sensor",
        metavar="FILE|PRESET",
        help=f"File of `cmdiad sensor new`, or a preset: {', '.join(PRESETS)}.  [default: as trained]",
    ),
]
Assignments = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="One value of the sensor's description, such as preprocessing.plane=never or geometry.grid=640x480; "
        "repeatable; docs/sensors.md lists them.",
    ),
]
Scale = Annotated[
    float | None,
    typer.Option(
        min=1e-9, help="Meters in one unit of the scans.  [default: 1 for floating point, refused for integers]"
    ),
]
Rate = Annotated[float, typer.Option(min=1e-6, max=0.5, help="Share of good parts that may be called defective.")]
Coreset = Annotated[float, typer.Option(min=1e-4, max=1.0, help="Share of the patches that a bank keeps.")]
Metric = Annotated[parameters.Metric, typer.Option(help="Distance used for banks, coreset and score.")]
Neighbors = Annotated[int, typer.Option(min=1, max=64, help="Neighbors in the score's re-weighting.")]
SCORE_HELP = (
    "A part's score. paper: each bank's largest patch distance, re-weighted, and fused. map: the largest value of the "
    "map. top5: the mean of the five largest fused patch distances; docs/method.md."
)
Neighborhood = Annotated[
    int,
    typer.Option(
        metavar="1|3",
        help="Side, in patches, of the square over which features are averaged before comparison; docs/method.md.",
    ),
]
Score = Annotated[parameters.ScoreName, typer.Option(help=SCORE_HELP)]
Settings = Annotated[
    Path | None,
    typer.Option(
        "--settings",
        metavar="FILE",
        help="TOML file with rarely changed settings: normalization, projection_eps, nu, svm_iterations.  "
        "[default: the paper's]",
    ),
]
Seed = Annotated[int, typer.Option(min=0, help="Random seed.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]
Class = Annotated[list[str] | None, typer.Option("--class", help="Class of the dataset; repeatable.  [default: all]")]
PointExtractor = Annotated[str, typer.Option(help="embedded, point-mae or point-bert.")]
ImageExtractor = Annotated[
    str,
    typer.Option(
        help="embedded, a timm ViT (vit_base_patch8_224.dino), or a CNN with the strides of its stages (resnet50@8,16)."
    ),
]
Checkpoint = Annotated[
    str | None, typer.Option(help="Weights file, or random:SEED.  [default: found by `cmdiad weights path`]")
]
Epochs = Annotated[int, typer.Option(min=1, help="Passes over the training scans.")]
BatchSize = Annotated[int, typer.Option(min=1, help="Scans per training step.")]
Provider = Annotated[str, typer.Option(help="What runs the networks; `cmdiad doctor` lists the choices.")]
Force = Annotated[bool, typer.Option("--force", help="Replace a calibrated bundle.")]
Markdown = Annotated[Path | None, typer.Option(help="Write the tables as Markdown.")]
Csv = Annotated[Path | None, typer.Option(help="Write the metrics as CSV.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout, nothing else.")]


def several(name: str, words: Any, help: str) -> OptionInfo:
    """An option of type `list[str]` that takes words, and may be repeated; typer knows no lists of literals.

    Args:
        name: the option.
        words: a `Literal`.
        help: what it is for.
    """
    choices = get_args(words)

    def parse(text: str) -> str:
        if text not in choices:
            raise typer.BadParameter(f"{text!r} is not one of {', '.join(map(repr, choices))}")
        return text

    option: OptionInfo = typer.Option(name, parser=parse, metavar="|".join(choices), help=help)
    return option
