"""What an inspection writes to disk: a picture of the scan with its anomalies, and the map as numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import tifffile

from ..files.atomic import atomic_write, atomic_write_bytes
from ..files.packbits import pack_rows
from ..files.png import encode_png
from .relief import BACKGROUND_SHARE, MISSING_GRAY, Float32Array, Mask, bands, shaded_surface

# The color scale in multiples of the pixel threshold: a color means the same in every scan of a bundle.
SCALE_START = 0.5
SCALE_END = 2.0
_OPACITY = 0.8
_CONTOUR = 255
# From violet through red to pale yellow, lightness rising throughout, so that the order survives in gray.
_ANCHORS = ((58, 24, 126), (132, 28, 140), (200, 44, 96), (238, 96, 44), (250, 166, 40), (255, 240, 130))
_LEAST_THRESHOLD = 1e-30
_FLAT_GRAY = 120.0
_STRIP_BYTES = 1 << 18  # of a map, unpacked


def color_table() -> npt.NDArray[np.uint8]:
    """(256, 3) uint8, from SCALE_START to SCALE_END times the threshold."""
    anchors = np.array(_ANCHORS, np.float64)
    at, where = np.linspace(0, 1, 256), np.linspace(0, 1, len(anchors))
    channels = [np.interp(at, where, anchors[:, channel]) for channel in range(3)]
    return np.rint(np.stack(channels, axis=-1)).astype(np.uint8)


def write_heatmap(
    path: str | Path,
    map_hw: Float32Array,
    valid_hw: Mask,
    threshold: float,
    points_hw3: Float32Array | None = None,
    rgb_hw3: npt.NDArray[np.uint8] | None = None,
) -> None:
    """Write `draw_heatmap`'s picture as a PNG. Equal input gives equal bytes.

    Args:
        path: the PNG; its folder is created.
        map_hw, valid_hw, threshold, points_hw3, rgb_hw3: as `draw_heatmap` takes them.

    Raises:
        OutputError: the file cannot be written.
        ValueError: the shapes differ.
    """
    atomic_write_bytes(path, encode_png(draw_heatmap(map_hw, valid_hw, threshold, points_hw3, rgb_hw3)))


def draw_heatmap(
    map_hw: Float32Array,
    valid_hw: Mask,
    threshold: float,
    points_hw3: Float32Array | None = None,
    rgb_hw3: npt.NDArray[np.uint8] | None = None,
) -> npt.NDArray[np.uint8]:
    """(H, W, 3) uint8 in the scan's pixels: the shaded surface, the map's colors, an outline around defects.

    Below half the threshold the map is transparent, at twice the threshold its color is the last one. White
    surrounds the pixels above the threshold.

    Args:
        map_hw: (H, W) float32, the anomaly map.
        valid_hw: (H, W) bool, the part; everything else is drawn darker.
        threshold: the map value above which a pixel is marked.
        points_hw3: (H, W, 3) float32, meters; None draws the image in gray.
        rgb_hw3: (H, W, 3) uint8, the camera's image; None, without points, draws the part flat.

    Raises:
        ValueError: the shapes differ.
    """
    under = [array for array in (points_hw3, rgb_hw3) if array is not None]
    if valid_hw.shape != map_hw.shape or any(array.shape[:2] != map_hw.shape for array in under):
        raise ValueError("the map, the mask, the points and the image must have the same height and width")
    if points_hw3 is not None:
        gray = shaded_surface(points_hw3, valid_hw)
    else:
        gray = _flat(valid_hw) if rgb_hw3 is None else _photograph(rgb_hw3, valid_hw)
    return _overlaid(gray, map_hw, threshold)


def point_colors(map_n: Float32Array, valid_n: Mask, threshold: float) -> npt.NDArray[np.uint8]:
    """The heat map's colors of single points, over even gray: (N, 3) uint8, dark where they are not the part's.

    Args:
        map_n: (N,) float32, the map at each.
        valid_n: (N,) bool, the part's.
        threshold: the map value above which a pixel is marked.
    """
    gray = np.where(valid_n, np.uint8(_FLAT_GRAY), np.uint8(BACKGROUND_SHARE * _FLAT_GRAY))
    levels = np.where(valid_n, _levels(map_n, threshold), np.uint8(0))
    remaining, tints = _mixing()
    below = _shared(gray, _looked_up(levels, remaining))
    return np.stack([below + _looked_up(levels, tint) for tint in tints], axis=-1)


def write_map(path: str | Path, map_hw: Float32Array) -> None:
    """Write the map as a float32 TIFF in the scan's pixels.

    PackBits, which every reader knows: what is zero beside the part takes no room, and nothing shrinks numbers much.

    Raises:
        OutputError: the file cannot be written.
    """
    size = max(1, _STRIP_BYTES // (4 * map_hw.shape[1]))
    strips = (
        pack_rows(map_hw[start : start + size].astype(np.float32, copy=False)) for start in range(0, len(map_hw), size)
    )
    with atomic_write(path) as stream:
        tifffile.imwrite(
            stream,
            strips,
            shape=map_hw.shape,
            dtype=np.dtype(np.float32),
            rowsperstrip=size,
            photometric="minisblack",
            compression="packbits",
        )


def _overlaid(gray_hw: Float32Array, map_hw: Float32Array, threshold: float) -> npt.NDArray[np.uint8]:
    picture = np.empty((*gray_hw.shape, 3), np.uint8)
    remaining, tints = _mixing()
    for rows in bands(*gray_hw.shape):
        gray, levels = np.rint(gray_hw[rows]).astype(np.uint8), _levels(map_hw[rows], threshold)
        is_colored = levels.any()
        below = _shared(gray, _looked_up(levels, remaining)) if is_colored else gray
        for channel, tint in enumerate(tints):
            picture[rows, :, channel] = below + _looked_up(levels, tint) if is_colored else gray
    above = map_hw > threshold
    if above.any():
        picture.reshape(-1, 3)[np.flatnonzero(_outline(above))] = _CONTOUR
    return picture


def _shared(gray: npt.NDArray[np.uint8], remaining: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """What remains of the gray, in 256ths less one."""
    seen = remaining.astype(np.uint16)
    seen += 1
    seen *= gray
    seen >>= 8
    return seen.astype(np.uint8)


def _levels(map_hw: Float32Array, threshold: float) -> npt.NDArray[np.uint8]:
    """Places in the color table, (H, W) uint8: 0 up to SCALE_START times the threshold, 255 from SCALE_END on."""
    scale = np.float32(255 / (SCALE_END - SCALE_START) / max(threshold, _LEAST_THRESHOLD))
    with np.errstate(over="ignore"):
        position = map_hw * scale
    position -= np.float32(255 * SCALE_START / (SCALE_END - SCALE_START) - 0.5)
    # NaN becomes zero.
    np.fmax(position, np.float32(0), out=position)
    np.minimum(position, np.float32(255), out=position)
    return position.astype(np.uint8)


def _mixing() -> tuple[bytes, list[bytes]]:
    """Of every level, 256 bytes each: the 256ths of the gray that remain, less one, and what each channel adds."""
    position = np.linspace(0, 1, 256)
    # The color fades in up to the threshold.
    opacity = _OPACITY * np.minimum(1, position * (SCALE_END - SCALE_START) / (1 - SCALE_START))
    remaining = np.rint(256 * (1 - opacity)) - 1
    tints = opacity * color_table().T
    return remaining.astype(np.uint8).tobytes(), [tint.astype(np.uint8).tobytes() for tint in tints]


def _looked_up(levels: npt.NDArray[np.uint8], table: bytes) -> npt.NDArray[np.uint8]:
    """What a table of 256 bytes says of every level; a tenth of the time of an array's index."""
    return np.frombuffer(levels.tobytes().translate(table), np.uint8).reshape(levels.shape)


def _outline(above_hw: Mask) -> Mask:
    """The pixels around those above the threshold."""
    around = above_hw
    for _ in range(_contour_width(above_hw.shape)):
        wider = around.copy()
        wider[1:] |= around[:-1]
        wider[:-1] |= around[1:]
        wider[:, 1:] |= around[:, :-1]
        wider[:, :-1] |= around[:, 1:]
        around = wider
    return around & ~above_hw


def _contour_width(shape_hw: tuple[int, ...]) -> int:
    return max(1, round(min(shape_hw) / 400))


def _flat(valid_hw: Mask) -> Float32Array:
    return np.where(valid_hw, np.float32(_FLAT_GRAY), np.float32(MISSING_GRAY))


def _photograph(rgb_hw3: npt.NDArray[np.uint8], valid_hw: Mask) -> Float32Array:
    """The camera's image in gray, (H, W): luma (ITU-R BT.601), dimmed beside the part."""
    gray: Float32Array = rgb_hw3.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    gray[~valid_hw] *= BACKGROUND_SHARE
    return gray
