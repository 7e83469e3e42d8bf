"""Color images: the second modality of training, and the only one of an image route."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from .errors import ScanError
from .readers.limits import MAX_PIXELS, read_bounded
from .readers.tiff import is_tiff, read_tiff_image

IMAGENET_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
IMAGENET_STD = np.array([0.229, 0.224, 0.225], np.float32)
_FORMATS = ("PNG", "JPEG", "BMP")
# Zlib at its best, on one bit a pixel.
_MAX_PIXELS_PER_BYTE = 8 * 1032
_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "YCbCr")
# What Pillow raises on damaged files (tests/runtime/test_image.py).
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


def read_rgb(path: str | Path) -> npt.NDArray[np.uint8]:
    """Read a PNG, JPEG, TIFF or BMP image as (H, W, 3) uint8.

    Gray becomes three equal channels, a palette its colors; transparency is ignored, and so is a camera's
    orientation mark, because the pixels belong to the scan's. 16-bit color keeps its upper 8 bits.

    Raises:
        ScanError: missing, damaged, too large, or of 16-bit gray or float values, whose range is not known.
    """
    path = Path(path)
    data = read_bounded(path)
    try:
        return decode_rgb(data)
    except ScanError as error:
        raise ScanError(f"{path}: {error}") from error


def decode_rgb(data: bytes) -> npt.NDArray[np.uint8]:
    """Decode a file's bytes, as `read_rgb`.

    Raises:
        ScanError: as `read_rgb`, about the content alone.
    """
    try:
        return _decode(data)
    except UnidentifiedImageError as error:
        raise ScanError("is no image: PNG, JPEG, TIFF and BMP are read") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ScanError(f"has more than the {MAX_PIXELS} pixels that are read") from error
    except MemoryError as error:
        raise ScanError("is too large for this machine's memory") from error
    except DAMAGE as error:
        raise ScanError("is a damaged or truncated image: record or copy it again") from error


def read_mask(path: str | Path) -> npt.NDArray[np.bool_]:
    """Read a defect mask: (H, W) bool, true where any channel is in the upper half of its range.

    Raises:
        ScanError: as `read_rgb`.
    """
    mask: npt.NDArray[np.bool_] = np.any(read_rgb(path) > 127, axis=2)
    return mask


def network_image(rgb_hw3: npt.NDArray[np.uint8], size: int = 224) -> npt.NDArray[np.float32]:
    """What an image network sees: (H, W, 3) uint8 -> (3, size, size) float32.

    Bicubic on 8 bits, then ImageNet's mean and standard deviation, as the reference does it.
    """
    scaled = np.asarray(resized_image(rgb_hw3, size), np.float32) / np.float32(255)
    normalized = (scaled - IMAGENET_MEAN) / IMAGENET_STD
    return np.ascontiguousarray(normalized.transpose(2, 0, 1))


def resized_image(rgb_hw3: npt.NDArray[np.uint8], size: int = 224) -> npt.NDArray[np.uint8]:
    """An image at the networks' resolution, bicubic on 8 bits: (H, W, 3) uint8 -> (size, size, 3) uint8."""
    image = Image.fromarray(np.ascontiguousarray(rgb_hw3))
    if image.size == (size, size):
        return rgb_hw3
    return np.array(image.resize((size, size), Image.Resampling.BICUBIC))


def _decode(data: bytes) -> npt.NDArray[np.uint8]:
    if is_tiff(data):
        # Pillow's TIFF library prints what it finds wrong, past Python.
        pixels = read_tiff_image(data)
        return np.repeat(pixels[..., None], 3, axis=2) if pixels.ndim == 2 else pixels[..., :3].copy()
    with warnings.catch_warnings():
        # Pillow warns about large images and oddities; the first are refused, the others harmless.
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            _check(image, len(data))
            return np.array(image.convert("RGB"))


def _check(image: Image.Image, n_bytes: int) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise ScanError(f"has {height} x {width} pixels, more than the {MAX_PIXELS} that are read")
    if width * height > _MAX_PIXELS_PER_BYTE * n_bytes:
        raise ScanError(f"is a damaged image: {n_bytes} bytes cannot hold {height} x {width} pixels")
    if image.mode not in _MODES:
        raise ScanError(f"is an image of mode {image.mode}, whose range is not known: save 8-bit RGB or gray")
