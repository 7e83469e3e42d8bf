"""A part as a picture in a page: what the camera saw, or the surface, and beside it the anomaly map over the scan."""

from __future__ import annotations

import base64
import io

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy.ndimage import binary_dilation

from ..runtime.preparation.frame import Frame, map_to_input
from ..runtime.preparation.prepared_part import PreparedPart
from ..runtime.sensor.part import Part
from ..runtime.verdict.heatmap import draw_heatmap

PANEL = 200
_GAP = 4
_QUALITY = 80
_MARGIN = 0.06
_TRUTH = (40, 230, 230)

Picture = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]


def side_by_side(
    part: Part,
    prepared: PreparedPart,
    map_224: npt.NDArray[np.float32],
    pixel_threshold: float,
    truth: Mask | None = None,
    frame: Frame | None = None,
) -> str:
    """A JPEG as a data URI: the photograph (or else the surface), and the heat map.

    Args:
        part: as read.
        prepared: as the networks saw it.
        map_224: (224, 224) float32, its anomaly map.
        pixel_threshold: the map value above which a pixel is marked.
        truth: (H, W) bool, the labeled defect, to be outlined in the photograph; None: there is none.
        frame: the map's; None: that of the part.
    """
    map_hw = map_to_input(map_224, frame or prepared.frame, of_image=prepared.scan is None)
    heat = draw_heatmap(map_hw, prepared.kept, pixel_threshold, part.points)
    surface = draw_heatmap(np.zeros_like(map_hw), prepared.kept, pixel_threshold, part.points)
    camera = surface if part.rgb is None else part.rgb
    window = crop_window(prepared.kept)
    panels = [panel(picture[window]) for picture in (camera if truth is None else _with_truth(camera, truth), heat)]
    gap = np.full((PANEL, _GAP, 3), 128, np.uint8)
    return _data_uri(np.concatenate([panels[0], gap, panels[1]], axis=1))


def crop_window(kept_hw: Mask) -> tuple[slice, slice]:
    """The square around the part, with a little margin, moved into the picture; cut where the picture is too small."""
    rows, columns = np.flatnonzero(kept_hw.any(axis=1)), np.flatnonzero(kept_hw.any(axis=0))
    if not len(rows):
        return slice(None), slice(None)
    extents = (rows[0], rows[-1] + 1), (columns[0], columns[-1] + 1)
    side = round(max(end - begin for begin, end in extents) * (1 + 2 * _MARGIN))
    slices = []
    for (begin, end), length in zip(extents, kept_hw.shape, strict=True):
        taken = min(side, length)
        start = int(np.clip((begin + end - taken) // 2, 0, length - taken))
        slices.append(slice(start, start + taken))
    return slices[0], slices[1]


def panel(picture: Picture) -> Picture:
    """(h, w, 3) in the middle of a black square, at the size of a panel."""
    height, width = picture.shape[:2]
    side = max(height, width)
    square = np.zeros((side, side, 3), np.uint8)
    top, left = (side - height) // 2, (side - width) // 2
    square[top : top + height, left : left + width] = picture
    return np.asarray(Image.fromarray(square).resize((PANEL, PANEL)))


def _with_truth(picture: Picture, mask: Mask) -> Picture:
    """The picture with a line around the labeled defect."""
    around = binary_dilation(mask, iterations=max(1, min(mask.shape) // 200)) & ~mask
    outlined = picture.copy()
    outlined[around] = _TRUTH
    return outlined


def _data_uri(picture: Picture) -> str:
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, format="JPEG", quality=_QUALITY, subsampling=0, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode()
