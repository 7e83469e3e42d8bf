"""The surface of a scan under a side light, in gray: what a heat map is drawn over."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from ..sensor.missing import valid_mask

Float32Array = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
_Scalar = TypeVar("_Scalar", bound=np.generic)
_Number = TypeVar("_Number", np.float32, np.uint8)

MISSING_GRAY = 18.0
# What was not inspected as part stays visible, but behind it.
BACKGROUND_SHARE = 0.4
_DARKEST, _BRIGHTEST = 20.0, 195.0
# Light from the upper left, beside the direction of view.
_SIDE_LIGHT = 0.6
# So many pixels around a place are weighted with 1, 2, 3, 2, 1 along rows and columns: a Gaussian of sigma 1.15.
_REACH = 2
_MARGIN = _REACH + 1
_LIT_PIXELS = 4_000  # tell how the whole scan lies
_BAND_PIXELS = 1 << 15  # at a time, so that the steps find each other's results in the processor's own cache
_LEAST_SQUARE = np.float32(1e-30)


def shaded_surface(points_hw3: Float32Array, valid_hw: Mask) -> Float32Array:
    """The scan under a side light, (H, W) gray: dark where nothing was measured, dimmed beside the part.

    Args:
        points_hw3: (H, W, 3) float32, meters; missing points are zero or not finite.
        valid_hw: (H, W) bool, the part.
    """
    gray = np.empty(valid_hw.shape, np.float32)
    middle, light = _middle_and_light(points_hw3)
    for rows in bands(*valid_hw.shape):
        surface = _Surface.around(points_hw3, rows, middle)
        shading = surface.pixels(_shading(*surface.steps(), light))
        share = np.where(valid_hw[rows], np.float32(1), np.float32(BACKGROUND_SHARE))
        np.multiply(shading, share, out=gray[rows])
        np.copyto(gray[rows], np.float32(MISSING_GRAY), where=~surface.pixels(surface.measured[surface.inner]))
    return gray


def bands(height: int, width: int) -> Iterator[slice]:
    """Rows of a picture that are drawn together, from the first to the last."""
    size = max(2 * _MARGIN, _BAND_PIXELS // width)
    for start in range(0, height, size):
        yield slice(start, min(start + size, height))


@dataclass(frozen=True)
class _Surface:
    """Some rows of a scan with a margin all around, one after the other, as steps along one axis are fastest.

    What is shifted by a pixel takes the end of another row for a neighbor, in the margin alone.

    Attributes:
        planes: (3, n) float32, around the scan's middle (single precision would show steps far from the sensor's
            origin), zero where nothing was measured.
        measured: (n,) bool, false in the margin where that is outside of the scan.
        width: of a row with its margins.
    """

    planes: Float32Array
    measured: Mask
    width: int

    @classmethod
    def around(cls, points_hw3: Float32Array, rows: slice, middle: Float32Array) -> _Surface:
        """Some rows of points (H, W, 3)."""
        height, width = points_hw3.shape[:2]
        first, last = max(0, rows.start - _MARGIN), min(height, rows.stop + _MARGIN)
        planes = np.zeros((3, rows.stop - rows.start + 2 * _MARGIN, width + 2 * _MARGIN), np.float32)
        inside = planes[:, first - rows.start + _MARGIN : last - rows.start + _MARGIN, _MARGIN:-_MARGIN]
        inside[...] = np.moveaxis(points_hw3[first:last], -1, 0)
        flat = planes.reshape(3, -1)
        measured = valid_mask(flat.T)
        flat -= middle[:, None]
        np.copyto(flat, np.float32(0), where=~measured)
        return cls(flat, measured, width + 2 * _MARGIN)

    @property
    def inner(self) -> slice:
        """Which of the n `steps` are of: all that have neighbors enough."""
        beside = _MARGIN * self.width + _REACH
        return slice(beside, self.measured.size - beside)

    def steps(self) -> tuple[Float32Array, Float32Array]:
        """From the left to the right and from the upper to the lower neighbor of the smoothed surface, (3, m) each.

        Smoothed are the measured points alone, which reach a little into the gaps.
        """
        weight = self._summed(self.measured.view(np.uint8)).astype(np.float32)  # at most 81
        np.maximum(weight, np.float32(1), out=weight)
        size, width = len(weight) - 2 * self.width, self.width
        right, down = np.empty((3, size), np.float32), np.empty((3, size), np.float32)
        for axis, plane in enumerate(self.planes):
            smooth = self._summed(plane)
            smooth /= weight
            np.subtract(smooth[width + 1 : size + width + 1], smooth[width - 1 : size + width - 1], out=right[axis])
            np.subtract(smooth[2 * width :], smooth[: -2 * width], out=down[axis])
        return right, down

    def _summed(self, values: npt.NDArray[_Number]) -> npt.NDArray[_Number]:
        """Sums weighted by 1, 2, 3, 2, 1 along rows and columns, of all that have two neighbors on every side."""
        width = self.width
        for _ in range(_REACH):
            lines = values[width:-width] + values[2 * width :]
            lines += values[: -2 * width]
            values = lines[1:-1] + lines[2:]
            values += lines[:-2]
        return values

    def pixels(self, values: npt.NDArray[_Scalar]) -> npt.NDArray[_Scalar]:
        """What belongs to the rows without their margin, (h, w), of the `inner` ones."""
        height = self.measured.size // self.width - 2 * _MARGIN
        skipped = _MARGIN - _REACH
        return np.lib.stride_tricks.as_strided(
            values[skipped:],
            (height, self.width - 2 * _MARGIN),
            (self.width * values.itemsize, values.itemsize),
            writeable=False,
        )


def _middle_and_light(points_hw3: Float32Array) -> tuple[Float32Array, Float32Array]:
    """The mean of the points, and where light comes from in their coordinates: (3,) each, of a thinned scan."""
    step = max(1, int(np.sqrt(points_hw3.shape[0] * points_hw3.shape[1] / _LIT_PIXELS)))
    thinned = points_hw3[::step, ::step]
    # Unlike an index, `compress` leaves coordinates contiguous.
    known = np.moveaxis(thinned, -1, 0).reshape(3, -1).compress(valid_mask(thinned).ravel(), axis=1)
    middle = (known.sum(axis=1, dtype=np.float64) / max(1, known.shape[1])).astype(np.float32)
    surface = _Surface.around(thinned, slice(0, len(thinned)), middle)
    right, down = surface.steps()
    measured = surface.measured[surface.inner]
    fields = (_unit(_normals(right, down)), right, down)
    view, along, below = (_unit(field.compress(measured, axis=1).sum(axis=1)) for field in fields)
    return middle, _unit(view + np.float32(_SIDE_LIGHT) * (along + below))


def _normals(right_3n: Float32Array, down_3n: Float32Array) -> Float32Array:
    """Right times down, which points away from the viewer, whatever the sensor's axes are (if right-handed)."""
    normals = np.empty_like(right_3n)
    for axis, (second, third) in enumerate(((1, 2), (2, 0), (0, 1))):
        np.multiply(right_3n[second], down_3n[third], out=normals[axis])
        normals[axis] -= right_3n[third] * down_3n[second]
    return normals


def _shading(right_3n: Float32Array, down_3n: Float32Array, light: Float32Array) -> Float32Array:
    """How the light falls on a surface, as gray (n,); meaningless where not measured."""
    normals = _normals(right_3n, down_3n)
    lit = normals[0] * light[0]
    lit += normals[1] * light[1]
    lit += normals[2] * light[2]
    normals *= normals
    square = normals[0]
    square += normals[1]
    square += normals[2]
    lit /= np.sqrt(np.maximum(square, _LEAST_SQUARE, out=square), out=square)
    # Half of Lambert's cosine, so that sides in the shade keep their relief.
    lit *= np.float32(0.5 * (_BRIGHTEST - _DARKEST))
    lit += np.float32(_DARKEST + 0.5 * (_BRIGHTEST - _DARKEST))
    return lit


def _unit(vectors: Float32Array) -> Float32Array:
    """Vectors along the first axis, of length one (zero stays zero)."""
    lengths = np.sqrt(np.sum(vectors * vectors, axis=0))
    unit = np.zeros_like(vectors)
    np.divide(vectors, lengths, out=unit, where=lengths > 0)
    return unit
