"""A part that is in memory and not in a file: accepted wherever a scan's path is."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import numpy as np

from ..bundle.parameters import Modality, Preprocessing
from ..errors import ScanError
from .dataset import file_digests
from .host_arrays import ArrayInput, host_array
from .part import Part, part_from_arrays, read_part


@dataclass(frozen=True, eq=False)
class PartInMemory:
    """A part given as arrays or as a `Part`, with a name. It refers to the arrays, which are copied when it is read.

    Attributes:
        name: what messages, files and results call it.
        points: (H, W, 3) of any numeric type, in the unit of the product's scans, as `part_from_arrays` takes them; or
            a `Part`, in meters. None for an image alone.
        rgb: (H, W, 3) uint8, registered with the points; None without a camera, and for a `Part`, which has its own.

    Example:
        >>> part = PartInMemory("7", np.ones((4, 5, 3), np.uint16))
        >>> part.read(frozenset({"pc"}), Preprocessing(metres_per_unit=0.001)).points[0, 0]
        array([0.001, 0.001, 0.001], dtype=float32)
    """

    name: str
    points: ArrayInput | Part | None = field(repr=False)
    rgb: ArrayInput | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        """Refuse a second image.

        Raises:
            ScanError: there is an image beside a `Part`.
        """
        if isinstance(self.points, Part) and self.rgb is not None:
            raise ScanError("a Part has its own image: give the image there, not as rgb")

    def __str__(self) -> str:
        return self.name

    def read(self, measured: AbstractSet[Modality], preprocessing: Preprocessing) -> Part:
        """Read what a route measures, as `read_part` does from files; other arrays are not looked at.

        Raises:
            ScanError: what the route measures is missing, or `part_from_arrays` refuses it; the message names no part.
            UsageError: something that should be an array is not, or is on a GPU.
        """
        if isinstance(self.points, Part):
            return self.points
        if "pc" in measured and self.points is None:
            raise ScanError("this bundle inspects 3D scans: give points, (H, W, 3)")
        if "rgb" in measured and self.rgb is None:
            raise ScanError("this bundle inspects images: give rgb, (H, W, 3) uint8, registered with the points if any")
        points = self.points if "pc" in measured else None
        rgb = self.rgb if "rgb" in measured else None
        return part_from_arrays(points, rgb, preprocessing.metres_per_unit, preprocessing.geometry)

    def digest(self) -> bytes:
        """SHA-256 of the numbers, their types and shapes: the same for equal arrays, whatever they are called.

        Raises:
            ScanError: an array does not hold numbers.
            UsageError: something that should be an array is not, or is on a GPU.
        """
        digest = hashlib.sha256()
        for values in self._arrays():
            array = np.ascontiguousarray(host_array(values, self.name))
            if array.dtype.kind not in "fiu":
                raise ScanError(f"{self.name}: holds {array.dtype}, not numbers: give floats or integers")
            digest.update(f"{array.dtype.str} {array.shape} ".encode())
            digest.update(array.reshape(-1).view(np.uint8).data)
        return digest.digest()

    def _arrays(self) -> list[ArrayInput]:
        if isinstance(self.points, Part):
            held = (self.points.points, self.points.rgb, np.array(self.points.origin))
            return [array for array in held if array is not None]
        return [array for array in (self.points, self.rgb) if array is not None]


PartSource: TypeAlias = Path | PartInMemory
"""Where a part comes from: a scan's file (an image's if that is all a route sees), or memory."""


def read_source(source: PartSource, measured: AbstractSet[Modality], preprocessing: Preprocessing) -> Part:
    """Read what a route measures; arguments and errors are those of `read_part`."""
    if isinstance(source, PartInMemory):
        return source.read(measured, preprocessing)
    return read_part(source, measured, preprocessing)


def source_digests(sources: Iterable[PartSource]) -> list[bytes]:
    """SHA-256 of the content of files, and of the numbers of arrays.

    Raises:
        ScanError: a file cannot be read.
    """
    return [source.digest() if isinstance(source, PartInMemory) else file_digests([source])[0] for source in sources]
