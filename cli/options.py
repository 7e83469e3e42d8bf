"""Options that several commands of `cmdiad` share."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ..runtime.bundle.parameters import Preprocessing


class RouteName(StrEnum):
    """What is compared with memory banks at inspection."""

    f2f = "f2f"
    f2i = "f2i"
    i2f = "i2f"
    single = "single"
    dual = "dual"


class MainModality(StrEnum):
    """The sensor that the line has."""

    pc = "pc"
    rgb = "rgb"


class Sensor(StrEnum):
    """Preprocessing parameters of a kind of sensor."""

    structured_light = "structured-light"
    kinect = "kinect"
    eyecandies = "eyecandies"


class MetricName(StrEnum):
    """A distance between features."""

    l2 = "l2"
    l1 = "l1"
    cosine = "cosine"


class BankPrecisionName(StrEnum):
    """The type that a memory bank holds its rows in."""

    fp32 = "fp32"
    fp16 = "fp16"


class NormalizationName(StrEnum):
    """Whose statistics normalize features."""

    paper = "paper"
    reference = "reference"


class GraphName(StrEnum):
    """What runs: see `Inspector.load`."""

    auto = "auto"
    networks = "networks"
    line = "line"


class WrittenName(StrEnum):
    """Whose heat maps and raw maps are written: see `inspect_stream`."""

    all = "all"
    defects = "defects"
    none = "none"


class PrecisionName(StrEnum):
    """The type that networks compute in."""

    fp32 = "fp32"
    fp16 = "fp16"
    bf16 = "bf16"
    int8 = "int8"


class PlaneName(StrEnum):
    """Whether scans are raw: with the plane that the parts stand on."""

    auto = "auto"
    always = "always"
    never = "never"


class CalibratorName(StrEnum):
    """How the ranges of int8 are chosen."""

    minmax = "minmax"
    percentile = "percentile"
    mse = "mse"


PrecisionOption = Annotated[
    PrecisionName,
    typer.Option(help="fp16 in place of fp32; beside fp32: bf16 for engines, int8 for engines and the CPU."),
]
GateScansOption = Annotated[
    list[str] | None,
    typer.Option("--scans", help="Real scans for the parity gate; repeatable.  [default: of the run's own data]"),
]
CalibratorOption = Annotated[CalibratorName, typer.Option(help="How the ranges of int8 are chosen.")]
AcceptOption = Annotated[
    str, typer.Option(metavar="REASON", help="Write what the parity gate refuses; the reason is recorded.")
]
RunOption = Annotated[Path, typer.Option("--run", help="Run folder of `cmdiad train`.")]
RouteOption = Annotated[RouteName, typer.Option(help="f2f, f2i or i2f, or a baseline: single bank, dual RGB + PC.")]
MainOption = Annotated[MainModality, typer.Option(help="Main modality: what the line measures.")]
SensorOption = Annotated[Sensor, typer.Option(help="Preset of the preprocessing parameters.")]
ScaleOption = Annotated[
    float | None,
    typer.Option(
        min=1e-9, help="Metres in one unit of the scans.  [default: 1 for floating point, refused for integers]"
    ),
]
RateOption = Annotated[float, typer.Option(min=1e-6, max=0.5, help="Share of good parts that may be called defective.")]
CoresetOption = Annotated[float, typer.Option(min=1e-4, max=1.0, help="Share of the patches kept in a bank.")]
MetricOption = Annotated[MetricName, typer.Option(help="Distance of bank, coreset and score alike.")]
NormalizationOption = Annotated[
    NormalizationName,
    typer.Option(help="paper: each bank's own statistics; reference: as the published code mixes them."),
]
EpsOption = Annotated[float, typer.Option(min=0.05, max=0.99, help="Distortion of the coreset's random projection.")]
NeighborsOption = Annotated[int, typer.Option(min=1, max=64, help="Neighbors in the score's re-weighting.")]
NuOption = Annotated[float, typer.Option(min=0.01, max=1.0, help="nu of the one-class SVMs of the fusion.")]
IterationsOption = Annotated[int, typer.Option(min=1, help="Passes of the one-class SVMs over their data.")]
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
ProviderOption = Annotated[str, typer.Option(help="What runs the networks; `cmdiad doctor` lists them.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout, nothing else.")]


ForceOption = Annotated[bool, typer.Option("--force", help="Replace a bundle that is calibrated.")]


def sensor_preprocessing(sensor: Sensor, metres_per_unit: float | None) -> Preprocessing:
    """The preset of a kind of sensor, in the given unit.

    Raises:
        UsageError: the unit is not a positive number.
    """
    import msgspec

    from ..runtime.bundle.parameters import EYECANDIES, KINECT, STRUCTURED_LIGHT
    from ..runtime.sensor.units import checked_unit

    presets = {Sensor.structured_light: STRUCTURED_LIGHT, Sensor.kinect: KINECT, Sensor.eyecandies: EYECANDIES}
    return msgspec.structs.replace(presets[sensor], metres_per_unit=checked_unit(metres_per_unit))
