"""The one place where the points of a part are grouped.

What a bank was calibrated on and what is compared with it were grouped by the same call, so that a device that takes
over the grouping takes it over for both. Training and the export's gates, which have no provider, group by NumPy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
from scipy import sparse

from ..bundle.parameters import Grouping
from ..preparation.prepare import PreparedScan
from ..preparation.prepared_part import PreparedPart
from .grouping import group_points
from .pooling import pooling_matrix


@dataclass(frozen=True)
class GroupedPoints:
    """What a point extractor takes of one scan, and the matrix that turns its tokens into patch features.

    Attributes:
        center_idx: (G,) int64, the groups' centers, among the valid points row by row.
        centers: (G, 3) float32, meters.
        groups: (G, M, 3) float32, meters, relative to their center.
        pooling: (3136, G) float32, A; a patch without points has an empty row.
    """

    center_idx: npt.NDArray[np.int64]
    centers: npt.NDArray[np.float32]
    groups: npt.NDArray[np.float32]
    pooling: sparse.csr_array

    def pool(self, tokens: npt.NDArray[np.float32], foreground: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
        """R = A T of some patches: tokens (G, D) float32 and patches (3136,) bool -> (n, D) float32."""
        features: npt.NDArray[np.float32] = self.pooling[np.flatnonzero(foreground)] @ tokens
        return features

    def dense_pooling(self, patches: npt.NDArray[np.integer]) -> npt.NDArray[np.float32]:
        """The rows of A of some patches (n,), as the line graph takes them: (n, G) float32."""
        dense: npt.NDArray[np.float32] = self.pooling[patches].toarray()
        return dense


@dataclass(frozen=True)
class GroupedPart(PreparedPart):
    """A prepared part whose measured points were grouped ahead of the networks.

    Attributes:
        grouped: the measured points' groups.
    """

    grouped: GroupedPoints

    @classmethod
    def of(cls, prepared: PreparedPart, grouped: GroupedPoints) -> GroupedPart:
        """The part with its groups."""
        return cls(prepared.scan, prepared.image, prepared.valid, prepared.kept, prepared.frame, grouped)


class Grouper(Protocol):
    """What groups points and finds their pooling matrix; NumPy and SciPy here, a device elsewhere."""

    def __call__(
        self, points_n3: npt.NDArray[np.float32], pixels: npt.NDArray[np.int64], grouping: Grouping
    ) -> GroupedPoints:
        """Group points.

        Args:
            points_n3: (N, 3) float32, meters, the valid points row by row.
            pixels: (N,) int64, ascending, each point's place in the flattened 224x224 map.
            grouping: G and M.

        Raises:
            ScanError: there are fewer points than one group needs.
        """
        ...


def group_on_cpu(
    points_n3: npt.NDArray[np.float32],
    pixels: npt.NDArray[np.int64],
    grouping: Grouping,
    threads: int | None = None,
) -> GroupedPoints:
    """The `Grouper` of NumPy and SciPy; `threads` find neighbors, None: all this process may use."""
    groups = group_points(points_n3, grouping, threads)
    pooling = pooling_matrix(points_n3, pixels, groups.centers, threads)
    return GroupedPoints(groups.center_idx, groups.centers, groups.groups, pooling)


def group_part(scan: PreparedScan, grouping: Grouping, grouper: Grouper = group_on_cpu) -> GroupedPoints:
    """Group what is left of a scan after its preparation.

    Args:
        scan: the prepared points.
        grouping: the point extractor's G and M.
        grouper: what does it.

    Raises:
        ScanError: too few points are left for a group.
    """
    pixels = np.flatnonzero(scan.valid)
    return grouper(scan.points.reshape(-1, 3)[pixels], pixels, grouping)
