"""One class a distillation route: its network, what it is trained on and how, and how its weights are told.

What a route computes at inspection stands in `runtime/patches/routes.py`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from ...runtime.bundle.parameters import Modality, RouteName, TrainedRouteName
from ...runtime.errors import UsageError
from ...runtime.patches.features import network_input
from ...runtime.patches.pooling import N_PATCHES, SIZE
from ...runtime.patches.routes import F2F, F2I, I2F, other, route_of
from ..choices import Loss
from ..features.paired_features import Pair
from ..runs.record import Run
from ..runs.state import load_weights
from .f2f import FeatureToFeature, Hallucinator
from .f2i import PAPER_DIM, FeatureToInput
from .i2f import WIDTHS, InputToFeature, branch_width
from .objectives import distillation_loss, patches_of, stacked

# (name of a parameter, axis, width where the file lacks it) -> how wide it is.
Width = Callable[[str, int, int], int]
# The route that is trained unasked; a baseline without a trained network takes its runs' extractors.
DEFAULT: TrainedRouteName = "f2f"


class DistilledRoute(ABC):
    """What training and export know of a route; F2I and I2F have a network for each main modality.

    Attributes:
        name: the route's.
        output: the network's output.
        learning_rate: the paper's, after the warm-up.
        marks: what a name begins with that only this route's weights have.
        directions: for each main modality what the names of its parameters begin with, where one network holds both
            directions, which are trained together and share nothing.
        free_axes: of the network's input, by name.
        refused_losses: those that cannot train it, with the reason.
    """

    name: ClassVar[TrainedRouteName]
    output: ClassVar[str]
    learning_rate: ClassVar[float] = 5e-4
    marks: ClassVar[tuple[str, ...]]
    directions: ClassVar[Mapping[Modality, str]] = {}
    free_axes: ClassVar[Mapping[int, str]] = {0: "batch"}
    refused_losses: ClassVar[Mapping[Loss, str]] = {}

    def mains(self, main: Modality) -> tuple[Modality, ...]:
        """The main modalities that a training for `main` serves."""
        return tuple(self.directions) or (main,)

    def check_loss(self, loss: Loss) -> None:
        """Refuse a loss that cannot train this route.

        Raises:
            UsageError: it cannot.
        """
        if reason := self.refused_losses.get(loss):
            raise UsageError(f"--loss {loss}: {reason}")

    @abstractmethod
    def new(self, main: Modality, dim_pc: int, dim_rgb: int) -> nn.Module:
        """The network with random weights.

        Args:
            main: the modality it hallucinates from; of no matter where it holds both directions.
            dim_pc: the point extractor's feature dimension.
            dim_rgb: the image extractor's.
        """

    @abstractmethod
    def with_widths(self, width: Width) -> nn.Module:
        """The network with random weights, as wide as a file's."""

    def one_direction(self, network: nn.Module, main: Modality) -> nn.Module:
        """What a line with the main modality's sensor runs of the network."""
        return network

    @abstractmethod
    def widths(self, main: Modality) -> list[tuple[str, int, Modality]]:
        """Parameters, an axis of each, and the modality whose features it must be as wide as."""

    @abstractmethod
    def example(self, direction: nn.Module) -> tuple[str, Tensor]:
        """The name of the input of one direction, and a batch of two to trace it with."""

    @abstractmethod
    def losses(
        self, network: nn.Module, main: Modality, pairs: Sequence[Pair], loss: Loss, device: torch.device
    ) -> Iterator[Tensor]:
        """The terms of the loss of some samples, summed over them; one at a time, so that memory holds one.

        Args:
            network: of the route.
            main: the modality it hallucinates from; of no matter where it holds both directions.
            pairs: the samples.
            loss: see `distillation_loss`.
            device: the network's.
        """


class DistilledF2F(DistilledRoute):
    """Features to features, patch by patch, in both directions."""

    name = "f2f"
    output = F2F.hallucination
    marks = ("xyz_mlp.", "rgb_mlp.")
    directions: ClassVar[Mapping[Modality, str]] = {"pc": "xyz_", "rgb": "rgb_"}
    free_axes: ClassVar[Mapping[int, str]] = {0: "batch", 1: "patches"}

    def new(self, main: Modality, dim_pc: int, dim_rgb: int) -> nn.Module:
        """Both directions."""
        return FeatureToFeature(dim_pc, dim_rgb)

    def with_widths(self, width: Width) -> nn.Module:
        """Both directions."""
        return FeatureToFeature(width("xyz_norm.weight", 0, PAPER_DIM), width("rgb_norm.weight", 0, PAPER_DIM))

    def one_direction(self, network: nn.Module, main: Modality) -> nn.Module:
        """The half that hallucinates from the main modality."""
        assert isinstance(network, FeatureToFeature)
        return Hallucinator(network, main)

    def widths(self, main: Modality) -> list[tuple[str, int, Modality]]:
        """The first layers of both directions."""
        return [(f"{self.directions[modality]}norm.weight", 0, modality) for modality in (main, other(main))]

    def example(self, direction: nn.Module) -> tuple[str, Tensor]:
        """Features of any number of patches."""
        return "features", _random(2, 100, direction.get_parameter("norm.weight").numel())

    def losses(
        self, network: nn.Module, main: Modality, pairs: Sequence[Pair], loss: Loss, device: torch.device
    ) -> Iterator[Tensor]:
        """Each direction on the patches that carry part."""
        assert isinstance(network, FeatureToFeature)
        pc, rgb = patches_of(pairs, "pc", device), patches_of(pairs, "rgb", device)
        yield distillation_loss(network.hallucinate_rgb(pc).float(), rgb, loss)
        yield distillation_loss(network.hallucinate_pc(rgb).float(), pc, loss)


class DistilledF2I(DistilledRoute):
    """Features to the other sensor's input."""

    name = "f2i"
    output = F2I.hallucination
    marks = ("conv1.",)
    refused_losses: ClassVar[Mapping[Loss, str]] = {
        "cosine": "leaves F2I's hallucinated input without a scale: choose l2 or l1"
    }

    def new(self, main: Modality, dim_pc: int, dim_rgb: int) -> nn.Module:
        """As wide as the main modality's features."""
        return FeatureToInput(dim_pc if main == "pc" else dim_rgb)

    def with_widths(self, width: Width) -> nn.Module:
        """As wide as its first layer takes."""
        return FeatureToInput(width("conv1.weight", 1, PAPER_DIM))

    def widths(self, main: Modality) -> list[tuple[str, int, Modality]]:
        """What the first layer takes."""
        return [("conv1.weight", 1, main)]

    def example(self, direction: nn.Module) -> tuple[str, Tensor]:
        """Features of all patches."""
        return "features", _random(2, N_PATCHES, direction.get_parameter("conv1.weight").shape[1])

    def losses(
        self, network: nn.Module, main: Modality, pairs: Sequence[Pair], loss: Loss, device: torch.device
    ) -> Iterator[Tensor]:
        """Every pixel of an image, since an extractor looks at all of it; of points those that carry part."""
        grid = stacked([pair.measured(main).grid() for pair in pairs], device)
        missing = stacked([network_input(pair.prepared(), other(main)) for pair in pairs], device)
        used = stacked([pair.valid if main == "rgb" else np.ones_like(pair.valid) for pair in pairs], device)
        hallucination = network(grid).float().permute(0, 2, 3, 1)
        yield distillation_loss(hallucination[used], missing.permute(0, 2, 3, 1)[used], loss)


class DistilledI2F(DistilledRoute):
    """The main sensor's input to the other modality's features."""

    name = "i2f"
    output = I2F.hallucination
    learning_rate = 3e-4
    marks = ("branch.",)

    def new(self, main: Modality, dim_pc: int, dim_rgb: int) -> nn.Module:
        """As wide as the other modality's features ask for."""
        dim_other = dim_rgb if main == "pc" else dim_pc
        return InputToFeature(branch_width(main, dim_other), dim_other)

    def with_widths(self, width: Width) -> nn.Module:
        """As wide as its head."""
        return InputToFeature(width("head.weight", 1, WIDTHS["pc"]), width("head.weight", 0, PAPER_DIM))

    def widths(self, main: Modality) -> list[tuple[str, int, Modality]]:
        """What the head gives."""
        return [("head.weight", 0, other(main))]

    def example(self, direction: nn.Module) -> tuple[str, Tensor]:
        """What the sensor saw."""
        return "input", _random(2, 3, SIZE, SIZE) * 0.1

    def losses(
        self, network: nn.Module, main: Modality, pairs: Sequence[Pair], loss: Loss, device: torch.device
    ) -> Iterator[Tensor]:
        """The patches that carry part."""
        sensed = stacked([network_input(pair.prepared(), main) for pair in pairs], device)
        foreground = stacked([pair.foreground for pair in pairs], device)
        yield distillation_loss(network(sensed).float()[foreground], patches_of(pairs, other(main), device), loss)


DISTILLATIONS: Mapping[RouteName, DistilledRoute] = {
    route.name: route for route in (DistilledF2F(), DistilledF2I(), DistilledI2F())
}


def distillation(route: RouteName) -> DistilledRoute:
    """What is trained for a route.

    Raises:
        KeyError: nothing is: it has no trained network.

    Example:
        >>> distillation("f2f").mains("pc")
        ('pc', 'rgb')
    """
    return DISTILLATIONS[route]


def serves(run: Run, route: RouteName, main: Modality) -> bool:
    """Whether a run trained what a route needs with a main modality; nothing is needed where nothing is trained."""
    if not route_of(route, main).is_trained:
        return True
    return run.route == route and main in distillation(route).mains(run.main)


def network_from_weights(route: RouteName, weights: Mapping[str, Tensor]) -> nn.Module:
    """A route's network in eval mode; its dimensions are the weights' own.

    Raises:
        KeyError, IndexError, RuntimeError: the weights are another network's.
    """
    network = distillation(route).with_widths(lambda name, axis, _: weights[name].shape[axis])
    network.load_state_dict(weights)
    return network.eval()


def load_network(path: Path, route: RouteName) -> nn.Module:
    """The trained network of a run.

    Args:
        path: the run's weights.
        route: what was trained.

    Raises:
        UsageError: there are no weights, or they are another network's.
    """
    if not path.is_file():
        raise UsageError(f"{path}: the run has no {route.upper()} weights: train with --route {route}")
    try:
        return network_from_weights(route, load_weights(path))
    except (KeyError, IndexError, RuntimeError) as cause:
        raise UsageError(f"{path}: does not hold the weights of an {route.upper()} network: train again") from cause


def _random(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))
