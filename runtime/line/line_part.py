"""What the line graph takes of a part, and how the parts of a batch lie side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..patches.features import network_input
from ..patches.grouped import GroupedPoints
from ..patches.pooling import N_PATCHES, foreground_patches
from ..preparation.prepared_part import PreparedPart
from ..sensor.image import network_image

# Patches are padded to one of these: a GPU plans, and captures a CUDA graph, for every number anew.
PATCH_SIZES = (128, 256, 512, 768, 1024, 1280, 1536, 2048, 2560, N_PATCHES)
NO_PATCH = -1

Arrays = Mapping[str, npt.NDArray[Any]]
Int32Array = npt.NDArray[np.int32]


@dataclass(frozen=True)
class LinePart:
    """A part on its way to the line graph.

    Attributes:
        patches: (n,) int32, ascending, the places in the 56x56 grid that carry part.
        sensed: inputs of the graph that are as the sensors gave them: `image` and `input`, (3, 224, 224) float32.
        points: (N, 3) float32, meters, the valid points row by row, and
        pixels: (N,) int64, ascending, their places in the flattened 224x224 map; None where no points are measured.
        grouped: the points' groups, where they are grouped ahead of the graph; None where the device does it.
    """

    patches: Int32Array
    sensed: Arrays
    points: npt.NDArray[np.float32] | None = None
    pixels: npt.NDArray[np.int64] | None = None
    grouped: GroupedPoints | None = None


@dataclass(frozen=True)
class BatchLayout:
    """Where the patches of a batch lie.

    Attributes:
        patches: (B, P) int32, the place in the grid of every row; -1 for padding.
        places: (B, 3136) int32, the row of every place; -1 where there is no part.
    """

    patches: Int32Array
    places: Int32Array


def line_part(prepared: PreparedPart, inputs: Sequence[str]) -> LinePart:
    """What the graph's inputs need of a prepared part; points are not grouped yet."""
    sensed: dict[str, npt.NDArray[np.float32]] = {}
    if "image" in inputs:
        assert prepared.image is not None
        sensed["image"] = network_image(prepared.image)
    if "input" in inputs:
        sensed["input"] = network_input(prepared, "pc")
    patches = np.flatnonzero(foreground_patches(prepared.valid)).astype(np.int32)
    if "groups" not in inputs:
        return LinePart(patches, sensed)
    assert prepared.scan is not None
    pixels = np.flatnonzero(prepared.scan.valid)
    return LinePart(patches, sensed, prepared.scan.points.reshape(-1, 3)[pixels], pixels)


def padded_size(n_patches: int) -> int:
    """The number of rows that patches are padded to.

    Example:
        >>> padded_size(1069)
        1280
    """
    return next(size for size in PATCH_SIZES if size >= n_patches)


def batch_layout(parts: Sequence[LinePart]) -> BatchLayout:
    """Lay the patches of parts side by side, padded to the size of the one that has most."""
    size = padded_size(max(len(part.patches) for part in parts))
    patches = np.full((len(parts), size), NO_PATCH, np.int32)
    places = np.full((len(parts), N_PATCHES), NO_PATCH, np.int32)
    for number, part in enumerate(parts):
        patches[number, : len(part.patches)] = part.patches
        places[number, part.patches] = np.arange(len(part.patches), dtype=np.int32)
    return BatchLayout(patches, places)
