"""What an image without a scan shows of its part: the same as a scan, in pixels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.ndimage import label

from .part_view import LEAST_OBJECT, PartView, border_share, outline_diameter


def view_image(kept_hw: npt.NDArray[np.bool_]) -> PartView:
    """What is seen of the part in an image, lengths in metres and the plane's None.

    Everything kept is inspected; specks of less than 2 % of the largest piece do not count for its size.

    Args:
        kept_hw: (H, W) bool, the part, as `prepare_image` returns it; not empty.
    """
    labels, count = label(kept_hw)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    sizes[0] = 0
    body = (sizes >= LEAST_OBJECT * sizes.max())[labels] & kept_hw
    rows, columns = np.flatnonzero(body.any(axis=1)), np.flatnonzero(body.any(axis=0))
    return PartView(
        part_pixels=int(np.count_nonzero(kept_hw)),
        diameter_px=outline_diameter(body),
        diameter_m=None,
        area_m2=None,
        center_m=None,
        row=int(rows[0] + rows[-1]) // 2,
        column=int(columns[0] + columns[-1]) // 2,
        on_plane=None,
        clearance_m=None,
        inspected_share=1.0,
        measured_share=1.0,
        touches_border=border_share(body, (True, True, True, True)),
        other_objects=(),
        plane_rms_m=None,
        empty_margin=0,
    )
