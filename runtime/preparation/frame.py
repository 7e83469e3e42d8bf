"""The geometry between an input scan's own pixels and the square maps the networks see.

A scan is padded, centered, to a square whose side is a multiple of 100 (paper, preprocessing), or cropped to a window
around its part, and sampled to size x size by nearest neighbor with source index floor(i * side / size). Points and
masks are never copied into the square: only their samples are looked up. The way back is by the same rule: the value of
sample i belongs to the middle of pixel floor(i * side / size). An image is resampled by its pixels' centers instead
(bicubic, see image.py), and so are the maps of what saw nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from ..errors import ScanError

SIZE = 224  # side of the maps the networks see, pixels

_Mask = npt.NDArray[np.bool_]
_Scalar = TypeVar("_Scalar", bound=np.generic)


@dataclass(frozen=True)
class Frame:
    """Where an input lies in its square, and how far that is sampled down. All lengths in pixels.

    Attributes:
        height, width: of the input.
        side: of the square.
        size: of what the networks see of it.
        top, left: where the input's first pixel lies in the square; negative where the square is a window into it.
    """

    height: int
    width: int
    side: int
    size: int
    top: int = 0
    left: int = 0

    @classmethod
    def of(cls, height: int, width: int, pad_multiple: int, size: int) -> Frame:
        """The frame of a whole input, in the middle of the next multiple of `pad_multiple` that holds both sides."""
        side = -(-max(height, width) // pad_multiple) * pad_multiple
        return cls(height, width, side, size, (side - height) // 2, (side - width) // 2)

    @classmethod
    def around(cls, height: int, width: int, box: tuple[slice, slice], side: int, size: int) -> Frame:
        """A window of some side whose middle is that of a box of the input's rows and columns.

        It may reach beyond the input: what lies there is empty, as padding is.
        """
        rows, columns = box
        top, left = (side // 2 - (extent.start + extent.stop) // 2 for extent in (rows, columns))
        return cls(height, width, side, size, top, left)

    def whole(self, pad_multiple: int) -> Frame:
        """The frame of the whole input, for the same networks, in place of a window into it."""
        return Frame.of(self.height, self.width, pad_multiple, self.size)

    @property
    def inside(self) -> tuple[slice, slice]:
        """The rows and columns of the input that lie in the square."""
        return (
            slice(max(0, -self.top), max(0, min(self.height, self.side - self.top))),
            slice(max(0, -self.left), max(0, min(self.width, self.side - self.left))),
        )

    @property
    def within(self) -> tuple[slice, slice]:
        """The same rows and columns, of the square."""
        rows, columns = self.inside
        return (
            slice(rows.start + self.top, rows.stop + self.top),
            slice(columns.start + self.left, columns.stop + self.left),
        )

    def check(self, array: npt.NDArray[np.generic], what: str) -> None:
        """Raise ScanError unless an array has the input's height and width."""
        if array.shape[:2] != (self.height, self.width):
            raise ScanError(
                f"the {what} has {array.shape[:2]} pixels, its scan {(self.height, self.width)}: "
                "they must be registered"
            )


def sample_nearest(array: npt.NDArray[_Scalar], frame: Frame) -> npt.NDArray[_Scalar]:
    """Samples of an (H, W, ...) array in the frame: (size, size, ...) of its dtype, zero in the padding."""
    into_rows, rows = _sampled(frame.top, frame.height, frame)
    into_columns, columns = _sampled(frame.left, frame.width, frame)
    sampled = np.zeros((frame.size, frame.size, *array.shape[2:]), dtype=array.dtype)
    sampled[into_rows, into_columns] = array[rows].take(columns, axis=1)
    return sampled


def sample_part(planes_3hw: npt.NDArray[np.float32], part_nn: _Mask, frame: Frame) -> npt.NDArray[np.float32]:
    """The points (3, H, W) whose samples show the part, (size, size) bool: (size, size, 3), zero elsewhere."""
    shown = np.flatnonzero(part_nn)
    source = np.arange(frame.size) * frame.side // frame.size
    pixels = np.add.outer((source - frame.top) * frame.width, source - frame.left).ravel()[shown]
    sampled = np.zeros((frame.size**2, 3), np.float32)
    # By one index a sample: with a row and a column each it takes twice as long.
    sampled[shown] = planes_3hw.reshape(3, -1).take(pixels, axis=1).T
    return sampled.reshape(frame.size, frame.size, 3)


def _sampled(offset: int, length: int, frame: Frame) -> tuple[slice, npt.NDArray[np.intp]]:
    """Which samples along one axis fall on the input, and on which of its pixels."""
    source = np.arange(frame.size) * frame.side // frame.size - offset
    first, after = np.searchsorted(source, [0, length])
    return slice(int(first), int(after)), source[first:after]


def prepare_mask(mask_hw: npt.NDArray[np.generic], frame: Frame) -> _Mask:
    """A ground-truth mask through the same geometry as the points: (size, size) bool, true where > 0.5.

    Args:
        mask_hw: (H, W) of the input; bool, 0 and 1, or 0 and 255.
        frame: the scan's.

    Raises:
        ScanError: the mask is of another size than the scan.
    """
    frame.check(mask_hw, "mask")
    mask: _Mask = np.greater(sample_nearest(mask_hw, frame), 0.5)
    return mask


def prepare_rgb(rgb_hw3: npt.NDArray[np.uint8], kept_hw: _Mask, frame: Frame) -> npt.NDArray[np.uint8]:
    """The registered image, zeroed where there is no part and padded: (side, side, 3) uint8.

    Raises:
        ScanError: the image is of another size than the scan.
    """
    frame.check(rgb_hw3, "image")
    padded = np.zeros((frame.side, frame.side, 3), dtype=np.uint8)
    np.multiply(rgb_hw3[frame.inside], kept_hw[frame.inside][:, :, None], out=padded[frame.within])
    return padded


def map_to_input(map_nn: npt.NDArray[np.float32], frame: Frame, of_image: bool = False) -> npt.NDArray[np.float32]:
    """A (size, size) map, bilinearly, in the input's own pixels: (height, width) float32, zero outside a window.

    Sample i lies in the middle of the pixel it was taken from, so that a value comes back to where it came from.
    Beyond the outermost samples the border value holds.

    Args:
        map_nn: (size, size) float32.
        frame: the part's.
        of_image: whether the map was made of an image alone, which is resampled by its pixels' centers.
    """
    where = _centers if of_image else _places
    rows, columns = (where(frame)[part] for part in frame.within)
    low, high, weight = _bilinear(rows, frame.size)
    sampled = map_nn[low] + (map_nn[high] - map_nn[low]) * weight[:, None]
    low, high, weight = _bilinear(columns, frame.size)
    # Unlike an index, `take` leaves rows contiguous, as all who draw or write the map want them.
    start = sampled.take(low, axis=1)
    step = sampled.take(high, axis=1)
    step -= start
    step *= weight
    step += start
    if step.shape == (frame.height, frame.width):
        return step
    whole = np.zeros((frame.height, frame.width), np.float32)
    whole[frame.inside] = step
    return whole


def _places(frame: Frame) -> npt.NDArray[np.floating]:
    """Where every pixel of the padded square lies among the samples of points, (side,).

    Of several samples of one pixel the middle one counts.
    """
    source = np.arange(frame.size) * frame.side // frame.size
    pixels, first, count = np.unique(source, return_index=True, return_counts=True)
    return np.interp(np.arange(frame.side), pixels, first + (count - 1) / 2)


def _centers(frame: Frame) -> npt.NDArray[np.floating]:
    """Where every pixel of the padded square lies among an image's samples: by the pixels' centers, (side,)."""
    return np.arange(0.5, frame.side, dtype=np.float64) * (frame.size / frame.side) - 0.5


def _bilinear(
    position: npt.NDArray[np.floating], size: int
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], npt.NDArray[np.float32]]:
    """Lower and upper source index and the upper one's weight, for each position among `size` samples."""
    position = position.clip(0, size - 1)
    low = np.floor(position).astype(np.intp)
    return low, np.minimum(low + 1, size - 1), (position - low).astype(np.float32)
