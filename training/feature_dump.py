"""The intermediate arrays of scans, by networks in torch: published checkpoints without export or calibration."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import nn

from ..runtime.bundle.parameters import Grouping, Modality, Preprocessing, RouteName
from ..runtime.engines.session import Engine
from ..runtime.errors import WeightsError
from ..runtime.patches.features import FeaturePath
from ..runtime.patches.intermediates import FeatureSource
from ..runtime.patches.routes import EXTRACTOR, HALLUCINATOR, SECOND_EXTRACTOR, Single, other, route_of
from .extractors.by_name import Extractor, open_extractor
from .features.torch_session import TorchSession
from .routes.distillation import DistilledRoute
from .routes.route_checkpoints import open_route_checkpoint


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
    sessions: dict[str, Engine] = {EXTRACTOR: TorchSession(extractor.network, "tokens")}
    grouping = extractor.grouping
    route: RouteName = Single.name
    if choice.route_checkpoint is not None:
        trained, network = open_route_checkpoint(choice.route_checkpoint)
        check_width(choice, extractor, trained, network)
        route = trained.name
        sessions[HALLUCINATOR] = TorchSession(trained.one_direction(network, choice.main), trained.output)
    if SECOND_EXTRACTOR in route_of(route, choice.main).networks:
        second = choice.extractor(other(choice.main))
        sessions[SECOND_EXTRACTOR] = TorchSession(second.network, "tokens")
        grouping = grouping or second.grouping
    grouping = grouping or Grouping()
    return FeatureSource(FeaturePath(route, choice.main, grouping, sessions), preprocessing)


def check_width(choice: CheckpointChoice, extractor: Extractor, route: DistilledRoute, network: nn.Module) -> None:
    """What a route takes of the main modality's extractor must be what that makes; I2F takes the input itself.

    Raises:
        WeightsError: it is not.
    """
    weights = network.state_dict()
    for name, axis, modality in route.widths(choice.main):
        if modality == choice.main and weights[name].shape[axis] != extractor.dim:
            raise WeightsError(
                f"{choice.route_checkpoint}: takes features of {weights[name].shape[axis]}, {extractor.name} makes "
                f"{extractor.dim}: give the extractor that the route was trained with"
            )
