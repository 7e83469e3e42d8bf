"""Trained routes from files: CMDIAD's published `MTFI_*.pth`, and the weights of our own runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from ..runtime.errors import WeightsError
from .checkpoints import CMDIAD, fill_network, read_checkpoint
from .f2f import FeatureToFeature
from .f2i import PAPER_DIM, FeatureToInput
from .i2f import InputToFeature
from .run import Distillation

# A width is read from the file before the network is made.
MAX_DIM = 8192
_MARKS: dict[Distillation, tuple[str, ...]] = {
    "f2f": ("xyz_mlp.", "rgb_mlp."),
    "f2i": ("conv1.",),
    "i2f": ("branch.",),
}


def open_route_checkpoint(path: Path) -> tuple[Distillation, nn.Module]:
    """The route that a file holds, told by its names, and the network in eval mode; F2F's has both directions.

    Raises:
        WeightsError: the file is missing, damaged, too large, of no known route, or not whole.
    """
    tensors = read_checkpoint(path, CMDIAD)
    route = _route_of(tensors, path)
    network = _network_like(route, tensors, path)
    fill_network(network, tensors, str(path))
    return route, network.eval()


def _route_of(tensors: Mapping[str, Tensor], path: Path) -> Distillation:
    for route, marks in _MARKS.items():
        if any(name.startswith(marks) for name in tensors):
            return route
    raise WeightsError(
        f"{path}: holds {', '.join(sorted(tensors)[:3])}..., which is no route's: give an F2F, F2I or I2F checkpoint"
    )


def _network_like(route: Distillation, tensors: Mapping[str, Tensor], path: Path) -> nn.Module:
    """A network as wide as the weights; where the telling one is missing, as wide as the paper's."""

    def width(name: str, axis: int, default: int) -> int:
        shape = tensors[name].shape if name in tensors else ()
        size = shape[axis] if axis < len(shape) else default
        if not 0 < size <= MAX_DIM:
            raise WeightsError(f"{path}: {name} is {size} wide, features never are: get the checkpoint again")
        return size

    if route == "f2f":
        return FeatureToFeature(width("xyz_norm.weight", 0, PAPER_DIM), width("rgb_norm.weight", 0, PAPER_DIM))
    if route == "f2i":
        return FeatureToInput(width("conv1.weight", 1, PAPER_DIM))
    return InputToFeature(width("head.weight", 1, 128), width("head.weight", 0, PAPER_DIM))
