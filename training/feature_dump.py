"""The intermediate arrays of scans, by networks in torch: published checkpoints without export or calibration."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import nn

from ..runtime.engine import Engine
from ..runtime.errors import WeightsError
from ..runtime.features import EXTRACTOR, HALLUCINATOR, SECOND_EXTRACTOR, FeaturePath
from ..runtime.grouping import Grouping
from ..runtime.intermediates import FeatureSource
from ..runtime.manifest import Modality, Route
from ..runtime.preparation.part import prepare_file
from ..runtime.preprocessing import Preprocessing
from .extractors.opening import Extractor, open_extractor
from .route_checkpoints import open_route_checkpoint
from .routes import one_direction
from .torch_engine import TorchEngine


@dataclass(frozen=True)
class CheckpointChoice:
    """Which networks; see `open_extractor` for names and checkpoints.

    Attributes:
        main: the main modality.
        point_extractor, point_checkpoint: the point extractor.
        image_extractor, image_checkpoint: the image extractor, opened only where the route runs it.
        route_checkpoint: a trained route's weights; None: features without hallucination.
    """

    main: Modality
    point_extractor: str
    image_extractor: str
    point_checkpoint: str | None = None
    image_checkpoint: str | None = None
    route_checkpoint: Path | None = None

    def extractor(self, modality: Modality) -> Extractor:
        """Open one of the two.

        Raises:
            UsageError, WeightsError: as `open_extractor`.
        """
        if modality == "pc":
            return open_extractor(self.point_extractor, "pc", self.point_checkpoint)
        return open_extractor(self.image_extractor, "rgb", self.image_checkpoint)


def torch_source(choice: CheckpointChoice, preprocessing: Preprocessing) -> FeatureSource:
    """Open the networks that a route needs.

    Args:
        choice: which.
        preprocessing: how files are read and prepared.

    Raises:
        UsageError: there is no extractor of a name.
        WeightsError: weights are missing, or do not fit their network or the extractor before it.
    """
    extractor = choice.extractor(choice.main)
    engines: dict[str, Engine] = {EXTRACTOR: TorchEngine(extractor.network, "tokens")}
    grouping = extractor.grouping
    route: Route = "single"
    if choice.route_checkpoint is not None:
        route, network = open_route_checkpoint(choice.route_checkpoint)
        check_width(choice, extractor, network)
        engines[HALLUCINATOR] = TorchEngine(
            one_direction(network, choice.main), "hallucinated_input" if route == "f2i" else "hallucination"
        )
    if route == "f2i":
        second = choice.extractor("rgb" if choice.main == "pc" else "pc")
        engines[SECOND_EXTRACTOR] = TorchEngine(second.network, "tokens")
        grouping = grouping or second.grouping
    grouping = grouping or Grouping()
    path = FeaturePath(route, choice.main, grouping, engines)
    return FeatureSource(
        route, choice.main, grouping, path, lambda file: prepare_file(file, {choice.main}, preprocessing)
    )


def check_width(choice: CheckpointChoice, extractor: Extractor, network: nn.Module) -> None:
    """What a route takes must be what the main modality's extractor makes; I2F takes the input itself.

    Raises:
        WeightsError: it is not.
    """
    weights = one_direction(network, choice.main).state_dict()
    for layer, taken in (("norm.weight", 0), ("conv1.weight", 1)):
        if layer in weights and weights[layer].shape[taken] != extractor.dim:
            raise WeightsError(
                f"{choice.route_checkpoint}: takes features of {weights[layer].shape[taken]}, {extractor.name} makes "
                f"{extractor.dim}: give the extractor that the route was trained with"
            )
