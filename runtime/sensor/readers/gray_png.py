"""PNG of 16-bit gray: a depth image or a height map, one number per pixel."""

from __future__ import annotations

import io
import struct
import warnings
import zlib

import numpy as np
import numpy.typing as npt
from PIL import Image

from ...errors import DamagedScanError, ScanError
from .format import Format, plain
from .limits import MAX_PIXELS, check_grid, check_unpacked

_MAGIC = b"\x89PNG"
_MODES = ("I;16", "I;16B", "I")
# Of zlib, on 16 bits a pixel.
_MOST_PIXELS_PER_BYTE = 1032 / 2
# What Pillow raises on damaged files (tests/runtime/sensor/test_image.py).
DAMAGE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)


def is_png(data: bytes) -> bool:
    """Whether the content is PNG, of any kind of pixels."""
    return data.startswith(_MAGIC)


def read_png(data: bytes) -> npt.NDArray[np.uint16]:
    """Read 16-bit gray: (H, W).

    Raises:
        ScanError: it is damaged, too large, or an image of another kind: such images are not scans.
    """
    try:
        with warnings.catch_warnings():
            # Pillow warns of large images; what is too large is refused here.
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
                check_grid(image.height, image.width)
                if image.mode not in _MODES:
                    raise ScanError(
                        f"is a PNG image, not a scan (its mode {image.mode} is not the 16-bit gray of depths and "
                        "heights): give the sensor's own data"
                    )
                if image.height * image.width > _MOST_PIXELS_PER_BYTE * len(data):
                    raise DamagedScanError("declares more pixels than it can hold: record or copy it again")
                check_unpacked(image.height * image.width, len(data))
                return np.asarray(image, np.uint16)
    except Image.DecompressionBombError as error:
        raise DamagedScanError(
            f"declares more pixels than the {MAX_PIXELS} that are read: record or copy it again"
        ) from error
    except DAMAGE as error:
        raise DamagedScanError("is a damaged or truncated PNG: record or copy it again") from error


FORMATS = (Format("PNG", (".png",), is_png, plain(read_png), holds="pixels", doubtful=(".png",)),)
