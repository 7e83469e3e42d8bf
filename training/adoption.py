"""A published route checkpoint becomes a run, as if it had been trained here: export and evaluate take it as any."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from ..runtime.errors import UsageError, WeightsError
from ..runtime.preprocessing import STRUCTURED_LIGHT, Preprocessing
from .feature_dump import CheckpointChoice, check_width
from .route_checkpoints import open_route_checkpoint
from .run import Run, Selection, mark_latest, weights_file, write_run
from .state import save_weights

UNKNOWN = "unknown"


@dataclass(frozen=True)
class Adoption:
    """What is adopted.

    Attributes:
        choice: the route checkpoint, its main modality, and the extractors it was trained with.
        preprocessing: of the scans it will see.
    """

    choice: CheckpointChoice
    preprocessing: Preprocessing = STRUCTURED_LIGHT


def adopt_checkpoint(adoption: Adoption, out: Path) -> Path:
    """Write a run folder around a published route checkpoint.

    What only its training could tell (data, epochs, loss, feature statistics) is unknown and stays so.

    Returns:
        The run folder, to which `latest` beside it then leads.

    Raises:
        UsageError: `out` is not empty, or there is no extractor of a name.
        WeightsError: weights are missing, or do not fit their network or the extractor before it.
    """
    if out.exists() and any(out.iterdir()):
        raise UsageError(f"{out}: is not empty: choose another --out")
    choice = adoption.choice
    if choice.route_checkpoint is None:
        raise WeightsError("there is no route checkpoint to adopt: give MTFI_*.pth")
    route, network = open_route_checkpoint(choice.route_checkpoint)
    point, image = choice.extractor("pc"), choice.extractor("rgb")
    check_width(choice, point if choice.main == "pc" else image, network)
    assert point.grouping is not None
    save_weights(out / weights_file(route), network.state_dict())
    write_run(
        out,
        Run(
            route=route,
            main=choice.main,
            point_extractor=point.name,
            image_extractor=image.name,
            point_checkpoint=point.checkpoint,
            image_checkpoint=image.checkpoint,
            point_digest=point.digest,
            image_digest=image.digest,
            grouping=point.grouping,
            preprocessing=adoption.preprocessing,
            classes=[],
            n_scans=0,
            data_digest=UNKNOWN,
            seed=0,
            epochs=0,
            batch_size=0,
            learning_rate=0.0,
            loss=UNKNOWN,
            final_loss=0.0,
            selection=Selection(criterion="as published"),
            adopted=f"{choice.route_checkpoint.name}, SHA-256 {_digest(choice.route_checkpoint)}",
            versions={name: version(name) for name in ("torch", "timm", "numpy")},
        ),
    )
    mark_latest(out)
    return out


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
