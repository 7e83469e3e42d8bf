"""Trained routes from files: CMDIAD's published `MTFI_*.pth`, and the weights of our own runs."""

from __future__ import annotations

from collections.abc import Mapping, Set
from pathlib import Path

from torch import Tensor, nn

from ...runtime.errors import WeightsError
from ..weights.checkpoints import CMDIAD, fill_network, read_checkpoint
from .distillation import DISTILLATIONS, DistilledRoute

# A width is read from the file before the network is made.
MAX_DIM = 8192


def open_route_checkpoint(path: Path) -> tuple[DistilledRoute, nn.Module]:
    """The route that a file holds, told by its names, and the network in eval mode; F2F's has both directions.

    Raises:
        WeightsError: the file is missing, damaged, too large, of no known route, or not whole.
    """
    tensors = read_checkpoint(path, CMDIAD)
    route = _route_of(tensors.keys(), path)
    network = _network_like(route, tensors, path)
    fill_network(network, tensors, str(path))
    return route, network.eval()


def _route_of(names: Set[str], path: Path) -> DistilledRoute:
    for route in DISTILLATIONS.values():
        if any(name.startswith(route.marks) for name in names):
            return route
    *known, last = (route.name.upper() for route in DISTILLATIONS.values())
    raise WeightsError(
        f"{path}: holds {', '.join(sorted(names)[:3])}..., which belong to no route: "
        f"give an {', '.join(known)} or {last} checkpoint"
    )


def _network_like(route: DistilledRoute, tensors: Mapping[str, Tensor], path: Path) -> nn.Module:
    """A network as wide as the weights; where the telling one is missing, as wide as the paper's."""

    def width(name: str, axis: int, default: int) -> int:
        shape = tensors[name].shape if name in tensors else ()
        size = shape[axis] if axis < len(shape) else default
        if not 0 < size <= MAX_DIM:
            raise WeightsError(f"{path}: {name} is {size} wide, features never are: get the checkpoint again")
        return size

    return route.with_widths(width)
