"""Deflated strips of rows, unpacked into one buffer, several at a time: `tifffile` copies each once more."""

from __future__ import annotations

from collections.abc import Sequence

import imagecodecs
import numpy as np
import numpy.typing as npt

from ..unpacking import for_each_piece

_Bytes = npt.NDArray[np.uint8]


def inflated(data: bytes, offsets: Sequence[int], counts: Sequence[int], strip_bytes: int, n_bytes: int) -> _Bytes:
    """The strips of a file, unpacked: (n_bytes,) uint8.

    Args:
        data: the file.
        offsets: where each strip begins; more than are needed are not looked at.
        counts: how many bytes each has there.
        strip_bytes: how many it has once it is unpacked.
        n_bytes: how many all have together; what the last strip has beyond that is padding.

    Raises:
        ValueError: a strip is damaged, or has more or fewer bytes.
    """
    starts = range(0, n_bytes, strip_bytes)
    if min(len(offsets), len(counts)) < len(starts):
        raise ValueError(f"{min(len(offsets), len(counts))} of {len(starts)} strips")
    packed, image = memoryview(data), np.empty(len(starts) * strip_bytes, np.uint8)

    def inflate(number: int) -> None:
        offset, start = offsets[number], starts[number]
        strip = packed[offset : offset + counts[number]]
        try:
            # Its stub knows neither type.
            size = len(imagecodecs.deflate_decode(strip, out=image[start : start + strip_bytes]))  # type: ignore[arg-type]
        except imagecodecs.DeflateError as error:
            raise ValueError(f"strip {number}: {error}") from error
        if start + size < min(start + strip_bytes, n_bytes):
            raise ValueError(f"strip {number} has {size} bytes")

    for_each_piece(inflate, range(len(starts)))
    return image[:n_bytes]
