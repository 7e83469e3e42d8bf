"""The distillation routes' networks: made anew, or from the weights of a run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor, nn

from ..runtime.errors import UsageError
from ..runtime.manifest import Modality
from .f2f import FeatureToFeature, Hallucinator
from .f2i import FeatureToInput
from .i2f import InputToFeature, branch_width
from .run import Distillation


def new_network(route: Distillation, main: Modality, dim_pc: int, dim_rgb: int) -> nn.Module:
    """A route's network with random weights; F2F's holds both directions.

    Args:
        route: f2f, f2i or i2f.
        main: the modality it hallucinates from; of no matter to F2F.
        dim_pc: the point extractor's feature dimension.
        dim_rgb: the image extractor's.
    """
    if route == "f2f":
        return FeatureToFeature(dim_pc, dim_rgb)
    dim_main, dim_other = (dim_pc, dim_rgb) if main == "pc" else (dim_rgb, dim_pc)
    if route == "f2i":
        return FeatureToInput(dim_main)
    return InputToFeature(branch_width(main, dim_other), dim_other)


def network_from_weights(route: Distillation, weights: Mapping[str, Tensor]) -> nn.Module:
    """A route's network in eval mode; its dimensions are the weights' own.

    Raises:
        KeyError, RuntimeError: the weights are another network's.
    """
    network: nn.Module
    if route == "f2f":
        network = FeatureToFeature(weights["xyz_norm.weight"].numel(), weights["rgb_norm.weight"].numel())
    elif route == "f2i":
        network = FeatureToInput(weights["conv1.weight"].shape[1])
    else:
        dim_out, width = weights["head.weight"].shape[:2]
        network = InputToFeature(width, dim_out)
    network.load_state_dict(weights)
    return network.eval()


def load_network(path: Path, route: Distillation) -> nn.Module:
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
        return network_from_weights(route, load_file(path))
    except (KeyError, RuntimeError) as cause:
        raise UsageError(f"{path}: does not hold the weights of an {route.upper()} network: train again") from cause


def one_direction(network: nn.Module, main: Modality) -> nn.Module:
    """What a line with the main modality's sensor runs of a route's network."""
    return Hallucinator(network, main) if isinstance(network, FeatureToFeature) else network
