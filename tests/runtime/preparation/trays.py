"""Synthetic trays: several parts of `cmdiad synth` on one plane, under a camera that looks straight down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from cmdiad.training.synth.defects import DEFECT_MAKERS
from cmdiad.training.synth.parts import PART_MAKERS
from cmdiad.training.synth.surface import EXTENT_MM

Points = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
CELLS = 96
"""Pixels of a place on the tray along its side."""
PITCH = EXTENT_MM / CELLS / 1000
MARGIN = 16
DISTANCE = 0.5


@dataclass(frozen=True)
class Tray:
    """Places in lines, each with a part or empty.

    Attributes:
        heights: of every place (CELLS, CELLS), metres over the tray; all zero where it is empty.
        defects: (CELLS, CELLS) bool of every place.
        columns: places in a line.
        seed: of the noise.
        drop: by how many pixels each place lies lower than the one to the left: a tray that was put down askew.
    """

    heights: Sequence[npt.NDArray[np.float64]]
    defects: Sequence[Mask]
    columns: int
    seed: int = 0
    drop: int = 0
    noise_m: float = field(default=5e-5)

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of its scan."""
        lines = -(-len(self.heights) // self.columns)
        slack = self.drop * (self.columns - 1)
        return lines * CELLS + 2 * MARGIN + slack, self.columns * CELLS + 2 * MARGIN

    def place(self, number: int) -> tuple[slice, slice]:
        """Rows and columns of a place, counted from 0."""
        line, column = divmod(number, self.columns)
        top, left = MARGIN + line * CELLS + self.drop * column, MARGIN + column * CELLS
        return slice(top, top + CELLS), slice(left, left + CELLS)

    def points(self, only: int | None = None) -> Points:
        """Its scan (H, W, 3) in metres; with the part of one place alone, and the same noise."""
        height = np.zeros(self.shape)
        for number, own in enumerate(self.heights):
            if only in (None, number):
                height[self.place(number)] = np.maximum(height[self.place(number)], own)
        rows, columns = np.indices(self.shape)
        noise = np.random.default_rng(self.seed).normal(0, self.noise_m, self.shape)
        x, y = (columns - self.shape[1] / 2) * PITCH, (rows - self.shape[0] / 2) * PITCH
        return np.dstack([x, y, DISTANCE - height + noise]).astype(np.float32)

    def mask(self) -> Mask:
        """What is defective, (H, W) bool."""
        marked = np.zeros(self.shape, np.bool_)
        for number, own in enumerate(self.defects):
            marked[self.place(number)] |= own
        return marked


def tray(
    seed: int,
    places: str = "oooooo",
    columns: int = 3,
    part_class: str = "cookie",
    defect: str = "missing_piece",
    drop: int = 0,
) -> Tray:
    """A tray by a word: `o` a good part, `x` a defective one, `.` nothing."""
    heights, defects = [], []
    for number, kind in enumerate(places):
        rng = np.random.default_rng([seed, number])
        part = PART_MAKERS[part_class](rng, CELLS)
        marked = np.zeros((CELLS, CELLS), np.bool_)
        if kind == "x":
            part, marked = DEFECT_MAKERS[defect](part, rng)
        there = kind != "."
        heights.append(np.where(part.footprint & there, part.height, 0).astype(np.float64) / 1000)
        defects.append(marked & there)
    return Tray(heights, defects, columns, seed, drop)
