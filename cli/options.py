"""Options that several commands of `cmdiad` share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from ..runtime.bundle.parameters import PRESETS, Metric, Modality, Preprocessing, Route, Sensor

DataArgument = Annotated[
    Path, typer.Argument(metavar="DATA", help="Dataset root: MVTec 3D-AD's layout, or Eyecandies'.")
]
RunOption = Annotated[Path, typer.Option("--run", help="Run folder of `cmdiad train`.")]
RouteOption = Annotated[Route, typer.Option(help="f2f, f2i or i2f, or a baseline: single bank, dual RGB + PC.")]
MainOption = Annotated[Modality, typer.Option(help="Main modality: what the line measures.")]
SensorOption = Annotated[Sensor, typer.Option(help="Preset of the preprocessing parameters.")]
ScaleOption = Annotated[
    float | None,
    typer.Option(
        min=1e-9, help="Metres in one unit of the scans.  [default: 1 for floating point, refused for integers]"
    ),
]
RateOption = Annotated[float, typer.Option(min=1e-6, max=0.5, help="Share of good parts that may be called defective.")]
CoresetOption = Annotated[float, typer.Option(min=1e-4, max=1.0, help="Share of the patches kept in a bank.")]
MetricOption = Annotated[Metric, typer.Option(help="Distance of bank, coreset and score alike.")]
NeighborsOption = Annotated[int, typer.Option(min=1, max=64, help="Neighbors in the score's re-weighting.")]
SettingsOption = Annotated[
    Path | None,
    typer.Option(
        "--settings",
        metavar="FILE",
        help="TOML with what is hardly ever changed: normalization, projection_eps, nu, svm_iterations.  "
        "[default: the paper's]",
    ),
]
SeedOption = Annotated[int, typer.Option(min=0, help="Seed of everything random.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]
ClassOption = Annotated[
    list[str] | None, typer.Option("--class", help="Class of the dataset; repeatable.  [default: all]")
]
PointExtractorOption = Annotated[str, typer.Option(help="embedded, point-mae or point-bert.")]
ImageExtractorOption = Annotated[str, typer.Option(help="embedded, or a ViT of timm: vit_base_patch8_224.dino.")]
CheckpointOption = Annotated[
    str | None, typer.Option(help="Weights file, or random:SEED.  [default: found by `cmdiad weights path`]")
]
EpochsOption = Annotated[int, typer.Option(min=1, help="Passes over the training scans.")]
BatchSizeOption = Annotated[int, typer.Option(min=1, help="Scans in a training step.")]
ProviderOption = Annotated[str, typer.Option(help="What runs the networks; `cmdiad doctor` lists them.")]
ForceOption = Annotated[bool, typer.Option("--force", help="Replace a bundle that is calibrated.")]
MarkdownOption = Annotated[Path | None, typer.Option(help="Write the tables as Markdown.")]
CsvOption = Annotated[Path | None, typer.Option(help="Write the metrics as CSV.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout, nothing else.")]


def one_of(words: Any) -> Callable[[str], str]:
    """The parser of an option that is given several times; typer knows no lists of literals.

    Args:
        words: a `Literal`.
    """
    choices = get_args(words)

    def parse(text: str) -> str:
        if text not in choices:
            raise typer.BadParameter(f"{text!r} is not one of {', '.join(map(repr, choices))}")
        return text

    return parse


def sensor_preprocessing(sensor: Sensor, metres_per_unit: float | None) -> Preprocessing:
    """The preset of a kind of sensor, in the given unit.

    Raises:
        UsageError: the unit is not a positive number.
    """
    import msgspec

    from ..runtime.sensor.units import checked_unit

    return msgspec.structs.replace(PRESETS[sensor], metres_per_unit=checked_unit(metres_per_unit))
