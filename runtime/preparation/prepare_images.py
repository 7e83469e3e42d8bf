"""From an image without a scan to what the networks see."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import binary_propagation

from ..bundle.parameters import PartRange, Preprocessing
from ..errors import WITH_A_BUNDLE, ScanError
from .close_up import frame_of
from .frame import Frame, prepare_rgb, sample_nearest
from .image_view import image_parts
from .part_view import PartView

_Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class PreparedImage:
    """An image that no scan came with.

    Attributes:
        image: (side, side, 3) uint8, padded, black where there is no part.
        valid: (224, 224) bool, where there is part.
        kept: (H, W) bool, the same in the input's own pixels; what is seen of the part is `view_image(kept)`.
        frame: how the two are related.
    """

    image: npt.NDArray[np.uint8]
    valid: _Mask
    kept: _Mask
    frame: Frame


def prepare_image(rgb_hw3: npt.NDArray[np.uint8], preprocessing: Preprocessing) -> PreparedImage:
    """Prepare an image that no scan came with.

    Without points the part is everything but the black that reaches the image's edge, which is what
    preprocessing leaves of the background; a camera's image without such black is all part.

    Raises:
        ScanError: the image is black, or the part does not fit into its window.
        UsageError: nobody has decided how large the window is.
    """
    return _framed_image(rgb_hw3, _not_black(rgb_hw3, preprocessing), preprocessing)


def prepare_images(
    rgb_hw3: npt.NDArray[np.uint8], preprocessing: Preprocessing, expected: PartRange | None = None
) -> list[tuple[PreparedImage | ScanError, PartView]]:
    """The same for every thing apart from the others by black that resembles the product, in reading order.

    Returns:
        One a part, with what is seen of it; an error where it does not fit into its window.

    Raises:
        ScanError: as `prepare_image` does; also if more things are in view than are inspected, or none has the
            product's size.
        UsageError: nobody has decided how large the window is.
    """
    kept = _not_black(rgb_hw3, preprocessing)
    prepared: list[tuple[PreparedImage | ScanError, PartView]] = []
    for part_hw, view in image_parts(kept, expected):
        try:
            prepared.append((_framed_image(rgb_hw3, part_hw, preprocessing), view))
        except ScanError as error:
            prepared.append((error, view))
    return prepared


def _not_black(rgb_hw3: npt.NDArray[np.uint8], preprocessing: Preprocessing) -> _Mask:
    black = ~rgb_hw3.any(axis=2)
    if black.all():
        raise ScanError("the image is black: check the camera's exposure")
    edge = np.ones_like(black)
    edge[1:-1, 1:-1] = False
    kept = ~binary_propagation(black & edge, mask=black)
    if preprocessing.roi is not None:
        kept &= preprocessing.roi.mask(kept.shape)
        if not kept.any():
            raise ScanError(
                f"the image is black in the region of interest {preprocessing.roi}: check the view, or give "
                f"another region{WITH_A_BUNDLE}"
            )
    return kept


def _framed_image(rgb_hw3: npt.NDArray[np.uint8], kept: _Mask, preprocessing: Preprocessing) -> PreparedImage:
    frame = frame_of(kept, preprocessing)
    return PreparedImage(prepare_rgb(rgb_hw3, kept, frame), sample_nearest(kept, frame), kept, frame)
