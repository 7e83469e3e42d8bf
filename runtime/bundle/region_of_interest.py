"""The region of interest: the pixels of a scan in which parts are looked for, as numbers that travel in a bundle."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from ..errors import WITH_A_BUNDLE, ScanError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    _Mask: TypeAlias = npt.NDArray[np.bool_]

LARGEST_SIDE = 65_536
MOST_RUNS = 100_000
"""Of a mask: a drawing has a few in every row; a mask of noise is none."""


class RegionOfInterest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A rectangle of a scan's pixels, or the marked pixels in it.

    Attributes:
        row, column: its first row and its first column, counted from 0.
        height, width: how many rows and columns it has.
        scan: height and width of the scans that a mask was drawn for; None for a rectangle, which every scan may have
            that it lies in.
        runs: of a mask, row by row of the rectangle: how many pixels are not marked, then how many are, and so on;
            pixels after the last run are not marked. Empty for a rectangle.

    Example:
        >>> RegionOfInterest(row=1, column=1, height=2, width=3).mask((4, 5)).astype(int).tolist()[1]
        [0, 1, 1, 1, 0]
    """

    row: int
    column: int
    height: int
    width: int
    scan: tuple[int, int] | None = None
    runs: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what is not a region of any scan; while decoding, msgspec adds where it stands.

        Raises:
            ValueError: says what is wrong with it.
        """
        least = {"row": 0, "column": 0, "height": 1, "width": 1}
        for name, smallest in least.items():
            if not smallest <= getattr(self, name) <= LARGEST_SIDE:
                given = getattr(self, name)
                raise ValueError(
                    f"(row, column, height, width) has {name} {given}, must be from {smallest} to {LARGEST_SIDE}"
                )
        if (self.scan is None) != (not self.runs):
            raise ValueError("has scan without runs, or runs without scan: both belong to a mask")
        if self.scan is not None:
            self._check_mask(self.scan)

    def _check_mask(self, scan: tuple[int, int]) -> None:
        ends = self.row + self.height, self.column + self.width
        if not all(end <= side <= LARGEST_SIDE for end, side in zip(ends, scan, strict=True)):
            raise ValueError(f"reaches beyond its mask of {scan[0]} x {scan[1]} pixels")
        if len(self.runs) > MOST_RUNS:
            raise ValueError(f"has a mask of {len(self.runs)} runs, more than {MOST_RUNS}: draw whole areas")
        if min(self.runs) < 0 or sum(self.runs) > self.height * self.width or not sum(self.runs[1::2]):
            raise ValueError("has runs that do not fit its rectangle, or that mark nothing")

    @classmethod
    def of_mask(cls, mask_hw: _Mask) -> RegionOfInterest:
        """The region that a mask marks, (H, W) bool.

        Raises:
            ValueError: it marks nothing, or has too many edges.
        """
        import numpy as np

        rows, columns = np.flatnonzero(mask_hw.any(axis=1)), np.flatnonzero(mask_hw.any(axis=0))
        if not rows.size:
            raise ValueError("marks no pixel: draw the area to inspect with any nonzero value")
        top, left = int(rows[0]), int(columns[0])
        inside = mask_hw[top : int(rows[-1]) + 1, left : int(columns[-1]) + 1]
        edges = np.flatnonzero(np.diff(inside.ravel(), prepend=False, append=False))
        runs = tuple(np.diff(edges, prepend=0).tolist())
        height, width = inside.shape
        return cls(row=top, column=left, height=height, width=width, scan=mask_hw.shape, runs=runs)

    def mask(self, shape_hw: tuple[int, ...]) -> _Mask:
        """Which pixels of a scan of (H, W) pixels are looked at, bool.

        Raises:
            ScanError: the scan is of another size than the mask, or the rectangle is not in it.
        """
        import numpy as np

        height, width = shape_hw
        if self.scan is not None and self.scan != (height, width):
            raise ScanError(
                f"the region of interest is a mask of {self.scan[0]} x {self.scan[1]} pixels (height x width), and the "
                f"scan has {height} x {width}: give a mask of the scan's size{WITH_A_BUNDLE}"
            )
        if self.row + self.height > height or self.column + self.width > width:
            raise ScanError(
                f"the region of interest {self.row},{self.column},{self.height},{self.width} (row, column, height, "
                f"width) reaches beyond the scan of {height} x {width} pixels (height x width): give one that "
                f"lies in it{WITH_A_BUNDLE}"
            )
        marked = np.zeros((height, width), np.bool_)
        inside = marked[self.row : self.row + self.height, self.column : self.column + self.width]
        inside[...] = True if not self.runs else self._inside()
        return marked

    def _inside(self) -> _Mask:
        import numpy as np

        values = np.zeros(self.height * self.width, np.bool_)
        ends = np.cumsum(self.runs)
        for begin, end in zip(ends[0::2].tolist(), ends[1::2].tolist(), strict=False):
            values[begin:end] = True
        return values.reshape(self.height, self.width)

    def __str__(self) -> str:
        place = f"{self.row},{self.column},{self.height},{self.width}"
        if self.scan is None:
            return place
        digest = hashlib.sha256(repr(self.runs).encode()).hexdigest()[:8]
        return f"{place} with a mask of {sum(self.runs[1::2])} pixels ({digest})"
