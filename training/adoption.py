"""A published route checkpoint becomes a run, as if it had been trained here: export and evaluate take it as any."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..runtime.bundle.sensor_description import UNDESCRIBED, SensorDescription
from ..runtime.errors import UsageError, WeightsError
from ..runtime.files.atomic_folder import holds_something
from .feature_dump import CheckpointChoice
from .published_runs import run_from_checkpoint
from .runs.record import mark_latest
from .train import TrainingSettings


@dataclass(frozen=True)
class Adoption:
    """What is adopted.

    Attributes:
        choice: the route checkpoint, its main modality, and the extractors it was trained with.
        sensor: of the scans it will see.
    """

    choice: CheckpointChoice
    sensor: SensorDescription = UNDESCRIBED


def adopt_checkpoint(adoption: Adoption, out: Path) -> Path:
    """Write a run folder around a published route checkpoint.

    Returns:
        The run folder, to which `latest` beside it then leads.

    Raises:
        UsageError: `out` is not empty, or there is no extractor of a name.
        WeightsError: weights are missing, or do not fit their network or the extractor before it.
    """
    if holds_something(out):
        raise UsageError(f"{out}: is not empty: choose another --out")
    choice = adoption.choice
    if choice.route_checkpoint is None:
        raise WeightsError("there is no route checkpoint to adopt: give MTFI_*.pth")
    settings = TrainingSettings(
        point_extractor=choice.point_extractor,
        image_extractor=choice.image_extractor,
        point_checkpoint=choice.point_checkpoint,
        image_checkpoint=choice.image_checkpoint,
        sensor=adoption.sensor.identity,
        preprocessing=adoption.sensor.preprocessing,
    )
    run_from_checkpoint(choice.route_checkpoint, choice.main, settings, out)
    mark_latest(out)
    return out
