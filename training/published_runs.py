"""A published checkpoint of a route becomes a run, to be exported and evaluated as if it had been trained here."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

from safetensors.torch import save as encode_safetensors
from torch import nn

from ..runtime.bundle.parameters import Modality, TrainedRouteName
from ..runtime.errors import WeightsError
from ..runtime.files.atomic import atomic_write_bytes
from .extractors.by_name import Extractor, open_extractor
from .routes.route_checkpoints import open_route_checkpoint
from .runs.record import Run, Selection, weights_file, write_run
from .train import TrainingSettings

UNKNOWN = "unknown"


def run_from_checkpoint(checkpoint: Path, main: Modality, settings: TrainingSettings, folder: Path) -> Run:
    """Write a run folder with a checkpoint's weights.

    What only its training could tell (data, epochs, loss, feature statistics) is unknown and stays so.

    Args:
        checkpoint: CMDIAD's `MTFI_*.pth`, or weights of a run of ours.
        main: the modality it hallucinates from; the file does not tell.
        settings: the extractors it was trained with, and the preprocessing.
        folder: where the run goes.

    Returns:
        The run as written.

    Raises:
        WeightsError: the file is not a route's, an extractor's weights are missing, or the two do not fit.
    """
    route, network = open_route_checkpoint(checkpoint)
    point = open_extractor(settings.point_extractor, "pc", settings.point_checkpoint)
    image = open_extractor(settings.image_extractor, "rgb", settings.image_checkpoint)
    _check_widths(checkpoint, network, route.widths(main), {"pc": point, "rgb": image})
    weights = {name: value.contiguous() for name, value in network.state_dict().items()}
    atomic_write_bytes(folder / weights_file(route.name), encode_safetensors(weights))
    run = _adopted_run(checkpoint, route.name, main, settings, point, image)
    write_run(folder, run)
    return run


def _adopted_run(
    checkpoint: Path,
    route: TrainedRouteName,
    main: Modality,
    settings: TrainingSettings,
    point: Extractor,
    image: Extractor,
) -> Run:
    assert point.grouping is not None
    return Run(
        route=route,
        main=main,
        point_extractor=point.name,
        image_extractor=image.name,
        point_checkpoint=point.checkpoint,
        image_checkpoint=image.checkpoint,
        point_digest=point.digest,
        image_digest=image.digest,
        grouping=point.grouping,
        sensor=settings.sensor,
        preprocessing=settings.preprocessing,
        classes=[],
        n_scans=0,
        data_digest=UNKNOWN,
        seed=settings.seed,
        epochs=0,
        batch_size=0,
        learning_rate=0.0,
        loss=UNKNOWN,
        final_loss=0.0,
        selection=Selection(criterion="as published"),
        adopted=f"{checkpoint.name}, SHA-256 {_digest(checkpoint)}",
        versions={name: version(name) for name in ("torch", "timm", "numpy")},
    )


def _check_widths(
    checkpoint: Path,
    network: nn.Module,
    widths: Sequence[tuple[str, int, Modality]],
    extractors: Mapping[Modality, Extractor],
) -> None:
    """The network must take what the main extractor makes, and give what the other one does."""
    weights = network.state_dict()
    for name, axis, modality in widths:
        extractor = extractors[modality]
        if weights[name].shape[axis] != extractor.dim:
            raise WeightsError(
                f"{checkpoint}: {name} is {weights[name].shape[axis]} wide, the features of {extractor.name} are "
                f"{extractor.dim}: give the extractors that the route was trained with"
            )


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
