"""What an image without a scan shows of its part: the same as a scan, in pixels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
from scipy.ndimage import find_objects, label

from ..bundle.parameters import PartRange
from .part_view import (
    LEAST_OBJECT,
    MOST_OBJECTS,
    OtherObject,
    PartView,
    border_share,
    box_of,
    outline_diameter,
)
from .several_parts import MOST_PARTS, Thing, choose_parts


def view_image(kept_hw: npt.NDArray[np.bool_]) -> PartView:
    """What is seen of the part in an image, lengths in meters and the plane's None.

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
        box=box_of((slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1))),
        grid=(kept_hw.shape[0], kept_hw.shape[1]),
    )


def image_parts(
    kept_hw: npt.NDArray[np.bool_], expected: PartRange | None
) -> list[tuple[npt.NDArray[np.bool_], PartView]]:
    """Every thing of an image that resembles the product, in reading order: (H, W) bool, and what is seen of it.

    Args:
        kept_hw: (H, W) bool, not empty.
        expected: what calibration saw.

    Raises:
        ScanError: there are more things than are inspected, or none is of the product's size.
    """
    labels, _ = label(kept_hw)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    numbers = [
        int(number) for number in np.argsort(-sizes, kind="stable") if sizes[number] >= LEAST_OBJECT * sizes.max()
    ]
    windows = find_objects(labels)
    things = [
        Thing(number, outline_diameter(labels[windows[number - 1]] == number), int(sizes[number]), windows[number - 1])
        for number in numbers[: MOST_PARTS + 1]
    ]
    parts = choose_parts(things, expected, of_image=True)
    numbers_of_parts = [thing.number for thing in parts]
    others = tuple(_object(thing) for thing in things if thing.number not in numbers_of_parts)[:MOST_OBJECTS]
    share = int(sizes[numbers_of_parts].sum()) / int(sizes.sum())
    masks = [labels == number for number in numbers_of_parts]
    return [(mask, replace(view_image(mask), other_objects=others, inspected_share=share)) for mask in masks]


def _object(thing: Thing) -> OtherObject:
    row, column = ((side.start + side.stop - 1) // 2 for side in thing.window)
    return OtherObject(int(thing.area), None, row, column)
