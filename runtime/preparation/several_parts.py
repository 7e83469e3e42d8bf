"""Which of the things in view are parts, if a scan shows several, and in which order they are counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..bundle.parameters import PartRange, Seen
from ..errors import ScanError

MOST_PARTS = 64
"""Each has a map of the scan's own size."""
# A thing is a part from 0.4 to 1.6 times the area of the parts that calibration saw, and from 0.55 to 1.5 times their
# diameter: two that touch have twice the area.
AREA_OF_ONE = (0.4, 1.6)
DIAMETER_OF_ONE = (0.55, 1.5)
# A part whose middle is lower than a line's by more than this share of the parts' height begins the next line.
_LINE = 0.5


@dataclass(frozen=True)
class Thing:
    """Something in view.

    Attributes:
        number: of its cluster.
        diameter: the largest distance between two of its points, meters; pixels of an image.
        area: of its surface, square meters; pixels of an image.
        window: its bounding box, rows and columns.
    """

    number: int
    diameter: float
    area: float
    window: tuple[slice, slice]


def choose_parts(things: Sequence[Thing], expected: PartRange | None, of_image: bool = False) -> list[Thing]:
    """The things that resemble the product, in reading order.

    Before calibration the product is the middle one, by area, of all things of at least 0.4 times the largest one's
    area: two parts that touch are then larger than it, and crumbs do not count.

    Args:
        things: the largest first, at least one.
        expected: what calibration saw.
        of_image: whether their sizes are in pixels.

    Raises:
        ScanError: there are more than 64 things, or none resembles the product.
    """
    if len(things) > MOST_PARTS:
        raise ScanError(
            f"more than {MOST_PARTS} objects are in view, the most that are inspected in one scan: give a smaller "
            "region of interest (preprocessing.roi), or scans of fewer parts"
        )
    diameters, areas = _sizes(things, expected, of_image)
    width, size = diameters.allowed(DIAMETER_OF_ONE), areas.allowed(AREA_OF_ONE)
    parts = [
        thing
        for thing in things
        if width.least <= thing.diameter <= width.greatest and size.least <= thing.area <= size.greatest
    ]
    if not parts:
        raise ScanError(
            f"none of {len(things)} things in view is of the product's size: the largest is "
            f"{_length(things[0].diameter, of_image)} across, and {_length(width.least, of_image)} to "
            f"{_length(width.greatest, of_image)} is allowed: check the view and the product"
        )
    return in_reading_order(parts)


def in_reading_order(things: Sequence[Thing]) -> list[Thing]:
    """Line by line from the top, each from the left.

    Things are taken from the top by the middles of their boxes; one whose middle is lower than the mean of its line's
    by more than half the median height of all boxes begins the next line. So a tray may be turned by some degrees.
    """
    reach = _LINE * float(np.median([thing.window[0].stop - thing.window[0].start for thing in things]))
    lines: list[list[Thing]] = []
    for thing in sorted(things, key=_middle):
        if not lines or _middle(thing)[0] - float(np.mean([_middle(known)[0] for known in lines[-1]])) > reach:
            lines.append([])
        lines[-1].append(thing)
    return [thing for line in lines for thing in sorted(line, key=lambda known: _middle(known)[1])]


def _sizes(things: Sequence[Thing], expected: PartRange | None, of_image: bool) -> tuple[Seen, Seen]:
    """The diameters and the areas of the product."""
    if expected is not None and of_image:
        return expected.diameter_px, expected.part_pixels
    if expected is not None and expected.diameter_m is not None and expected.area_m2 is not None:
        return expected.diameter_m, expected.area_m2
    largest = max(thing.area for thing in things)
    comparable = sorted((thing for thing in things if thing.area >= AREA_OF_ONE[0] * largest), key=lambda one: one.area)
    middle = comparable[(len(comparable) - 1) // 2]
    return Seen(least=middle.diameter, greatest=middle.diameter), Seen(least=middle.area, greatest=middle.area)


def _middle(thing: Thing) -> tuple[float, float]:
    rows, columns = thing.window
    return (rows.start + rows.stop) / 2, (columns.start + columns.stop) / 2


def _length(value: float, of_image: bool) -> str:
    return f"{value:.0f} pixels" if of_image else f"{1e3 * value:.1f} mm"
