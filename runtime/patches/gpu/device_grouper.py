"""The `Grouper` of a device, for one part at a time; what is grouped comes back to the host."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from ...bundle.parameters import Grouping
from ...engines.device import Buffer, Device
from ..grouped import GroupedPoints
from ..pooling import N_PATCHES, SIZE, foreground_patches
from .device_grouping import WORD, DeviceGrouping
from .packing import PartPoints


class DeviceGrouper:
    """Groups the points of a part on a device, with the indices that NumPy would give; threads take turns."""

    def __init__(self, device: Device) -> None:
        """Group on a device; its memory is allocated with the first part."""
        self._device = device
        self._groupings: dict[Grouping, DeviceGrouping] = {}
        self._landing = np.empty(0, np.uint8)

    def __call__(
        self, points_n3: npt.NDArray[np.float32], pixels: npt.NDArray[np.int64], grouping: Grouping
    ) -> GroupedPoints:
        """Group points, as `Grouper`.

        Raises:
            ScanError: there are fewer points than one group needs.
            EngineError: the device has too little memory, refuses a kernel or is lost.
        """
        part = PartPoints(points_n3, pixels)
        valid = np.zeros(SIZE * SIZE, np.bool_)
        valid[pixels] = True
        patches = np.flatnonzero(foreground_patches(valid.reshape(SIZE, SIZE)))
        with self._device.turn:
            if grouping not in self._groupings:
                self._groupings[grouping] = DeviceGrouping(self._device, grouping)
            on_device = self._groupings[grouping]
            on_device.load([part])
            batch = on_device.run(patches[None].astype(np.int32))
            n, m = grouping.n_groups, grouping.group_size
            center_idx, centers, groups, rows = self._bring(
                (batch.center_idx, (n,), np.int32),
                (batch.centers, (n, 3), np.float32),
                (batch.groups, (n, m, 3), np.float32),
                (batch.pooling, (len(patches), n), np.float32),
            )
            return GroupedPoints(
                center_idx.astype(np.int64), centers.copy(), groups.copy(), sparse_pooling(patches, rows)
            )

    def _bring(self, *wanted: tuple[Buffer, tuple[int, ...], npt.DTypeLike]) -> Sequence[npt.NDArray[Any]]:
        """Arrays of a device's buffers, all of words of 32 bits, in memory that the next ones overwrite."""
        sizes = [WORD * int(np.prod(shape)) for _, shape, _ in wanted]
        if sum(sizes) > self._landing.nbytes:
            self._landing = self._device.pinned((sum(sizes),), np.uint8)
        arrays, begin = [], 0
        for size, (buffer, shape, dtype) in zip(sizes, wanted, strict=True):
            arrays.append(self._landing[begin : begin + size].view(dtype).reshape(shape))
            self._device.download(buffer, arrays[-1])
            begin += size
        self._device.synchronize()
        return arrays


def sparse_pooling(patches: npt.NDArray[np.intp], rows: npt.NDArray[np.float32]) -> sparse.csr_array:
    """The matrix A of some of its rows.

    Args:
        patches: (P,) ascending places in the grid of patches.
        rows: (P, G) float32, theirs.

    Returns:
        (3136, G) float32; the other rows are empty.
    """
    compact = sparse.csr_array(rows)
    counts = np.zeros(N_PATCHES + 1, np.int64)
    counts[patches + 1] = np.diff(compact.indptr)
    return sparse.csr_array((compact.data, compact.indices, np.cumsum(counts)), shape=(N_PATCHES, rows.shape[1]))
