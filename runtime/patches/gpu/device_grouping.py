"""A batch of parts is grouped on a device, where everything stays: `grouping.py` and `pooling.py` in four launches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ...bundle.parameters import Grouping
from ...engines.device import Buffer, Device
from ..grouping import require_group
from ..pooling import N_PATCHES
from .kernels import FARTHEST_POINTS, NEAREST_CENTERS, NEAREST_MEMBERS, POOLING_ROWS, axis_windows
from .packing import MOST_POINTS, PartPoints, pack, words_of

WORD = 4
_NEIGHBORS = 3


@dataclass(frozen=True)
class GroupedBatch:
    """Where the groups of a batch lie on the device, until the next one is loaded; B parts, P patches of each.

    Attributes:
        n_parts: B.
        n_patches: P.
        center_idx: (B, G) int32, the centers' indices among their part's points.
        centers: (B, G, 3) float32, meters.
        members: (B, G, M) int32, indices of the groups' points, nearest first.
        groups: (B, G, M, 3) float32, meters, relative to their center.
        pooling: (B, P, G) float32, rows of A; zero where there is no patch.
    """

    n_parts: int
    n_patches: int
    center_idx: Buffer
    centers: Buffer
    members: Buffer
    groups: Buffer
    pooling: Buffer


@dataclass(frozen=True)
class _PartRoom:
    """Memory for so many parts of any size: what is uploaded, what the kernels give, what they keep between them."""

    batch: int
    staging: npt.NDArray[np.int32]
    packed: Buffer
    center_idx: Buffer
    centers: Buffer
    members: Buffer
    groups: Buffer
    squares: Buffer
    nearest: Buffer
    weight: Buffer

    @classmethod
    def of(cls, device: Device, grouping: Grouping, batch: int) -> _PartRoom:
        """Room for a batch. Raises EngineError: there is not as much."""
        points, centers = batch * MOST_POINTS, batch * grouping.n_groups
        return cls(
            batch=batch,
            staging=device.pinned((words_of(batch),), np.int32),
            packed=device.allocate(WORD * words_of(batch)),
            center_idx=device.allocate(WORD * centers),
            centers=device.allocate(WORD * 3 * centers),
            members=device.allocate(WORD * centers * grouping.group_size),
            groups=device.allocate(WORD * 3 * centers * grouping.group_size),
            squares=device.allocate(WORD * points),
            nearest=device.allocate(WORD * _NEIGHBORS * points),
            weight=device.allocate(WORD * _NEIGHBORS * points),
        )


@dataclass(frozen=True)
class _PatchRoom:
    """Memory for so many patches of a whole batch, and their rows."""

    patches: int
    staging: npt.NDArray[np.int32]
    places: Buffer
    pooling: Buffer

    @classmethod
    def of(cls, device: Device, grouping: Grouping, patches: int) -> _PatchRoom:
        """Room for patches. Raises EngineError: there is not as much."""
        staging = device.pinned((patches,), np.int32)
        return cls(
            patches, staging, device.allocate(WORD * patches), device.allocate(WORD * patches * grouping.n_groups)
        )


class DeviceGrouping:
    """Groups batches on a device. Memory is allocated once, and again only for a larger batch or more patches.

    Example:
        >>> grouping = DeviceGrouping(open_cuda_device(), manifest.grouping, batch=8)  # doctest: +SKIP
        >>> grouping.load([PartPoints(points, pixels)])  # doctest: +SKIP
        >>> grouping.run(patches[None]).groups.pointer  # doctest: +SKIP
    """

    def __init__(self, device: Device, grouping: Grouping, batch: int = 1) -> None:
        """Allocate.

        Args:
            device: where.
            grouping: the point extractor's G and M.
            batch: how many parts at a time.

        Raises:
            EngineError: the device has too little memory or is lost.
        """
        self._device, self._grouping = device, grouping
        self._room = _PartRoom.of(device, grouping, batch)
        self._patch_room = _PatchRoom.of(device, grouping, batch)
        starts, weights = axis_windows()
        self._starts, self._weights = device.allocate(starts.nbytes), device.allocate(weights.nbytes)
        device.upload(starts, self._starts)
        device.upload(weights, self._weights)
        device.synchronize()
        self._sizes: tuple[int, ...] = ()
        self._reads_staging = self._reads_patches = False

    def load(self, parts: Sequence[PartPoints]) -> None:
        """Queue the upload of a batch, in one copy. What was given of the batch before is overwritten by `run`.

        Args:
            parts: one at least.

        Raises:
            ScanError: a part has fewer points than one group needs.
            EngineError: the device has too little memory or is lost.
        """
        self._sizes = ()
        for part in parts:
            require_group(len(part.points), self._grouping)
        if self._reads_staging:
            # The copy from it may not have come to its turn yet.
            self._wait()
        if len(parts) > self._room.batch:
            self._room = _PartRoom.of(self._device, self._grouping, len(parts))
        written = pack(parts, self._room.batch, self._room.staging)
        self._reads_staging = True
        self._device.upload(written, self._room.packed)
        self._sizes = tuple(len(part.points) for part in parts)

    def run(self, patches: npt.NDArray[np.int32]) -> GroupedBatch:
        """Queue the grouping of the batch that was loaded.

        Args:
            patches: (B, P) int32, each part's places in the 56x56 grid of patches, -1 where it has fewer.

        Raises:
            EngineError: the device has too little memory, refuses a kernel or is lost.
        """
        self._check(patches)
        self._upload_patches(patches)
        self._group()
        self._pool(patches.shape[1])
        room = self._room
        made = room.center_idx, room.centers, room.members, room.groups, self._patch_room.pooling
        return GroupedBatch(len(self._sizes), patches.shape[1], *made)

    def _group(self) -> None:
        """Queue the farthest points and their nearest ones."""
        room, n_parts, n_groups = self._room, len(self._sizes), self._grouping.n_groups
        loaded: list[Buffer | np.generic] = [room.packed, np.int32(room.batch)]
        farthest = [*loaded, np.int32(n_groups), room.squares, room.center_idx, room.centers]
        self._device.launch(FARTHEST_POINTS, (n_parts, 1), farthest)
        members = [*loaded, room.center_idx, np.int32(self._grouping.group_size), room.members, room.groups]
        self._device.launch(NEAREST_MEMBERS, (n_groups, n_parts), members)

    def _pool(self, n_patches: int) -> None:
        """Queue the nearest centers of every point, and the patches' rows that they make."""
        room, patch_room, n_parts = self._room, self._patch_room, len(self._sizes)
        if n_patches == 0:
            return
        loaded: list[Buffer | np.generic] = [room.packed, np.int32(room.batch)]
        n_groups = np.int32(self._grouping.n_groups)
        blocks = -(-max(self._sizes) // NEAREST_CENTERS.threads)
        nearest = [*loaded, room.centers, n_groups, room.nearest, room.weight]
        self._device.launch(NEAREST_CENTERS, (blocks, n_parts), nearest)
        shares = [room.nearest, room.weight, self._starts, self._weights]
        rows = [*loaded, *shares, patch_room.places, n_groups, patch_room.pooling]
        self._device.launch(POOLING_ROWS, (n_patches, n_parts), rows)

    def _check(self, patches: npt.NDArray[np.int32]) -> None:
        """Refuse patches that are not the loaded batch's. Raises ValueError."""
        if not self._sizes:
            raise ValueError("load a batch before grouping it")
        if patches.dtype != np.int32 or patches.ndim != 2 or len(patches) != len(self._sizes):
            raise ValueError(f"patches are ({len(self._sizes)}, P) int32, not {patches.shape} {patches.dtype}")
        if ((patches < -1) | (patches >= N_PATCHES)).any():
            raise ValueError(f"places of patches are -1 to {N_PATCHES - 1}")

    def _upload_patches(self, patches: npt.NDArray[np.int32]) -> None:
        """Queue the upload of the patches' places, after making room for them and their rows."""
        if self._reads_patches:
            self._wait()
        if patches.size > self._patch_room.patches:
            self._patch_room = _PatchRoom.of(self._device, self._grouping, patches.size)
        staged = self._patch_room.staging[: patches.size]
        staged[...] = patches.ravel()
        self._reads_patches = True
        self._device.upload(staged, self._patch_room.places)

    def _wait(self) -> None:
        self._device.synchronize()
        self._reads_staging = self._reads_patches = False
