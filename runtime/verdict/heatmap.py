"""What an inspection leaves on disk: a picture of the scan with its anomalies, and the map as numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import tifffile
from PIL import Image
from scipy.ndimage import binary_dilation, gaussian_filter

from ..files.atomic import atomic_write
from ..sensor.missing import valid_mask

Float32Array = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

# The color scale in multiples of the pixel threshold: a color means the same in every scan of a bundle.
SCALE_START = 0.5
SCALE_END = 2.0
_OPACITY = 0.8
_CONTOUR = 255.0
# From violet through red to pale yellow, lightness rising throughout, so that the order survives in gray.
_ANCHORS = ((58, 24, 126), (132, 28, 140), (200, 44, 96), (238, 96, 44), (250, 166, 40), (255, 240, 130))
_LEAST_THRESHOLD = 1e-30
_MISSING_GRAY = 18.0
_FLAT_GRAY = 120.0
_DARKEST, _BRIGHTEST = 20.0, 195.0
# What was not inspected as part stays visible, but behind it.
_BACKGROUND_SHARE = 0.4
_SMOOTHING_SIGMA = 1.2
_LEAST_WEIGHT = np.float32(1e-4)
# Light from the upper left, beside the direction of view.
_SIDE_LIGHT = 0.6


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
    picture = draw_heatmap(map_hw, valid_hw, threshold, points_hw3, rgb_hw3)
    with atomic_write(path) as stream:
        Image.fromarray(picture).save(stream, format="PNG", compress_level=3)


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
        points_hw3: (H, W, 3) float32, metres; None draws the image in gray.
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


def write_map(path: str | Path, map_hw: Float32Array) -> None:
    """Write the map as a float32 TIFF, zlib-compressed, in the scan's pixels.

    Raises:
        OutputError: the file cannot be written.
    """
    with atomic_write(path) as stream:
        tifffile.imwrite(stream, map_hw.astype(np.float32, copy=False), photometric="minisblack", compression="zlib")


def _overlaid(gray_hw: Float32Array, map_hw: Float32Array, threshold: float) -> npt.NDArray[np.uint8]:
    scale = np.float32(1 / max(threshold, _LEAST_THRESHOLD))
    with np.errstate(over="ignore"):
        relative = np.clip(np.nan_to_num(map_hw.astype(np.float32, copy=False)) * scale, 0, SCALE_END)
    picture = np.repeat(gray_hw[..., None], 3, axis=-1)
    shown = relative > SCALE_START
    value = relative[shown]
    position = (value - SCALE_START) / (SCALE_END - SCALE_START)
    colors = color_table()[np.rint(255 * position).astype(np.uint8)]
    # The color fades in up to the threshold.
    opacity = np.float32(_OPACITY) * np.minimum(1, (value - SCALE_START) / (1 - SCALE_START))[:, None]
    picture[shown] = picture[shown] * (1 - opacity) + colors * opacity
    above = map_hw > threshold
    picture[binary_dilation(above, iterations=_contour_width(above.shape)) & ~above] = _CONTOUR
    return np.rint(picture).astype(np.uint8)


def _contour_width(shape_hw: tuple[int, ...]) -> int:
    return max(1, round(min(shape_hw) / 400))


def _flat(valid_hw: Mask) -> Float32Array:
    return np.where(valid_hw, np.float32(_FLAT_GRAY), np.float32(_MISSING_GRAY))


def _photograph(rgb_hw3: npt.NDArray[np.uint8], valid_hw: Mask) -> Float32Array:
    """The camera's image in gray, (H, W): luma (ITU-R BT.601), dimmed beside the part."""
    gray: Float32Array = rgb_hw3.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    gray[~valid_hw] *= _BACKGROUND_SHARE
    return gray


def shaded_surface(points_hw3: Float32Array, valid_hw: Mask) -> Float32Array:
    """The scan under a side light, (H, W) gray: dark where nothing was measured, dimmed beside the part."""
    measured = valid_mask(points_hw3)
    gray = np.float32(_DARKEST) + np.float32(_BRIGHTEST - _DARKEST) * _shading(points_hw3, measured)
    gray[~valid_hw] *= _BACKGROUND_SHARE
    gray[~measured] = _MISSING_GRAY
    return gray


def _shading(points_hw3: Float32Array, measured_hw: Mask) -> Float32Array:
    """How the light falls on the surface, (H, W) in 0 to 1; meaningless where not measured."""
    smooth = _smoothed(points_hw3, measured_hw)
    right, down = np.gradient(smooth, axis=2), np.gradient(smooth, axis=1)
    # Right times down points away from the viewer, whatever the sensor's axes are (if right-handed).
    normals = _unit(
        np.stack(
            [
                right[1] * down[2] - right[2] * down[1],
                right[2] * down[0] - right[0] * down[2],
                right[0] * down[1] - right[1] * down[0],
            ]
        )
    )
    view, along, below = (_unit(field[:, measured_hw].sum(axis=1)) for field in (normals, right, down))
    light = _unit(view + np.float32(_SIDE_LIGHT) * (along + below))
    # Half of Lambert's cosine, so that sides in the shade keep their relief.
    shading: Float32Array = np.float32(0.5) + np.float32(0.5) * np.tensordot(light, normals, 1)
    return shading


def _smoothed(points_hw3: Float32Array, measured_hw: Mask) -> Float32Array:
    """Gaussian mean of the measured points, (3, H, W), reaching a little into the gaps."""
    # Around their own middle: single precision would show steps on a scan far from the sensor's origin.
    known = np.where(measured_hw, np.moveaxis(points_hw3, -1, 0), np.float32(0))
    middle = known.sum(axis=(1, 2), dtype=np.float64) / max(1, np.count_nonzero(measured_hw))
    known -= np.where(measured_hw, middle.astype(np.float32)[:, None, None], np.float32(0))
    weight = gaussian_filter(measured_hw.astype(np.float32), _SMOOTHING_SIGMA)
    for plane in known:
        plane[...] = gaussian_filter(plane, _SMOOTHING_SIGMA)
    np.divide(known, weight, out=known, where=weight > _LEAST_WEIGHT)
    return known


def _unit(vectors: Float32Array) -> Float32Array:
    """Vectors along the first axis, of length one (zero stays zero)."""
    lengths = np.sqrt(np.sum(vectors * vectors, axis=0))
    unit = np.zeros_like(vectors)
    np.divide(vectors, lengths, out=unit, where=lengths > 0)
    return unit
