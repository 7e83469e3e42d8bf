"""Color images: the second modality of training, and the only one of an image route."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from ..errors import DamagedScanError, ScanError, naming_scan
from .readers.gray_png import DAMAGE
from .readers.limits import MAX_PIXELS, MAX_UNPACKED_PIXELS, check_unpacked, read_bounded
from .readers.tiff import is_tiff, read_tiff_image, read_tiff_mask

IMAGENET_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
IMAGENET_STD = np.array([0.229, 0.224, 0.225], np.float32)
_FORMATS = ("PNG", "JPEG", "BMP")
# Zlib at its best, on one bit a pixel.
_MAX_PIXELS_PER_BYTE = 8 * 1032
_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "YCbCr")
_GRAY_16_MODES = ("I;16", "I;16B", "I")
_JPEG_SCAN, _MOST_JPEG_SCANS = b"\xff\xda", 64
_PNG_MAGIC, _PNG_GRAY = b"\x89PNG", 0


def read_rgb(path: str | Path) -> npt.NDArray[np.uint8]:
    """Read a PNG, JPEG, TIFF or BMP image as (H, W, 3) uint8.

    Gray becomes three equal channels, a palette its colors; transparency is ignored, and so is a camera's
    orientation mark, because the pixels belong to the scan's. 16-bit color keeps its upper 8 bits.

    Raises:
        ScanError: missing, damaged, too large, or of 16-bit gray or float values, whose range is not known.
    """
    path = Path(path)
    data = read_bounded(path)
    with naming_scan(path):
        return decode_rgb(data)


def decode_rgb(data: bytes) -> npt.NDArray[np.uint8]:
    """Decode a file's bytes, as `read_rgb`.

    Raises:
        ScanError: as `read_rgb`, about the content alone.
    """
    with _one_plain_error():
        return _decode(data)


def read_mask(path: str | Path) -> npt.NDArray[np.bool_]:
    """Read a defect mask, a PNG, TIFF or BMP image: (H, W) bool, true where any channel is above zero.

    So MVTec's own evaluation has it, whether masks hold 255, 1, or labels in 8 or 16 bits. What is transparent is not
    marked: where all pixels have the same color, transparency alone is the mask. Labels in a palette count where their
    colors say the same.

    Raises:
        ScanError: as `read_rgb`; or a JPEG, whose zeros are blurred, color of 16 bits, of which Pillow drops half, or
            an image whose color and transparency, or whose palette and labels, say different things.
    """
    path = Path(path)
    data = read_bounded(path)
    with naming_scan(path), _one_plain_error():
        return _decode_mask(data)


def read_defect_mask(path: str | Path) -> npt.NDArray[np.bool_]:
    """Read the mask of a part that is labeled defective, as `read_mask`.

    That the networks' resolution may lose a small defect is another matter: this is about the file.

    Raises:
        ScanError: as `read_mask`, or nothing is marked: then either the mask or the label is wrong.
    """
    mask = read_mask(path)
    if not mask.any():
        raise ScanError(
            f"{path}: marks nothing, but its part is labeled defective: correct the mask, remove it (it then counts "
            "without a mask), or move the part to good"
        )
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


@contextmanager
def _one_plain_error() -> Iterator[None]:
    try:
        with warnings.catch_warnings():
            # Pillow warns about large images and oddities; the first are refused, the others harmless.
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            yield
    except UnidentifiedImageError as error:
        raise DamagedScanError("is not in a supported image format: save it as PNG, JPEG, TIFF or BMP") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ScanError(f"has more than the {MAX_PIXELS} pixels that are read: save it smaller") from error
    except MemoryError as error:
        raise ScanError("is too large for this machine's memory: close other programs or save it smaller") from error
    except DAMAGE as error:
        raise DamagedScanError("is a damaged or truncated image: record or copy it again") from error


def _decode(data: bytes) -> npt.NDArray[np.uint8]:
    if is_tiff(data):
        # Pillow's TIFF library prints what it finds wrong, past Python.
        pixels = read_tiff_image(data)
        return np.repeat(pixels[..., None], 3, axis=2) if pixels.ndim == 2 else pixels[..., :3].copy()
    with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
        _check(image, data, _MODES)
        return np.array(image.convert("RGB"))


def _decode_mask(data: bytes) -> npt.NDArray[np.bool_]:
    if is_tiff(data):
        pixels = read_tiff_mask(data)
        return _marked_colors(pixels) if pixels.ndim == 3 else pixels > 0
    with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
        if image.format == "JPEG":
            raise ScanError("is a JPEG, in which zeros become small numbers: save the mask as PNG")
        if data.startswith(_PNG_MAGIC) and data[24] == 16 and data[25] != _PNG_GRAY:
            raise ScanError("is a mask in 16-bit color: save 8-bit gray, 0 where the part is good")
        _check(image, data, (*_MODES, *_GRAY_16_MODES))
        if image.mode in _GRAY_16_MODES or (image.mode in ("1", "L") and "transparency" not in image.info):
            return np.asarray(image) > 0
        marked = _marked_colors(np.asarray(image.convert("RGBA")))
        if image.mode == "P" and ((np.asarray(image) > 0) != marked).any():
            raise ScanError(
                "is a mask with a palette in which another label than 0 is black, or 0 is not: save 8-bit gray, 0 "
                "where the part is good"
            )
        return marked


def _marked_colors(pixels: npt.NDArray[np.unsignedinteger]) -> npt.NDArray[np.bool_]:
    """Which pixels of (H, W, 3), or (H, W, 4) with transparency, are marked: (H, W) bool."""
    colored: npt.NDArray[np.bool_] = np.any(pixels[..., :3] > 0, axis=2)
    if pixels.shape[2] == 3:
        return colored
    opacity = pixels[..., 3]
    marked = colored & (opacity > 0)
    varies = bool((opacity != opacity.flat[0]).any())
    # An overlay may be drawn in black, or be lighter where it marks nothing: who is to tell?
    overlay = varies and opacity.all() and colored.all()
    hidden = (varies or colored.any()) and not marked.any()
    if overlay or hidden:
        raise ScanError("is a mask whose color and transparency disagree: save 8-bit gray, 0 where the part is good")
    return marked


def _check(image: Image.Image, data: bytes, modes: Sequence[str]) -> None:
    (width, height), n_bytes = image.size, len(data)
    if width * height > MAX_PIXELS:
        raise ScanError(f"has {height} x {width} pixels, more than the {MAX_PIXELS} that are read: save it smaller")
    if width * height > _MAX_PIXELS_PER_BYTE * n_bytes:
        raise DamagedScanError(
            f"is a damaged image: {n_bytes} bytes cannot hold {height} x {width} pixels: record or copy it again"
        )
    check_unpacked(width * height, n_bytes, MAX_UNPACKED_PIXELS)
    # Each goes over the whole image, however few bytes it has; in its data no marker can stand.
    if image.format == "JPEG" and data.count(_JPEG_SCAN) > _MOST_JPEG_SCANS:
        raise ScanError(f"is a JPEG of more than {_MOST_JPEG_SCANS} scans, which no camera writes: record it again")
    if image.mode not in modes:
        raise ScanError(f"is an image of mode {image.mode}, whose range is not known: save 8-bit RGB or gray")
