"""TIFF: one image of three float or integer samples, or of one, plain, LZW or zlib, with or without a predictor."""

from __future__ import annotations

import io
import logging
import math
import struct
from collections.abc import Callable, Iterator
from itertools import count, islice
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile

from ...errors import DamagedScanError, ScanError
from .format import Format, plain
from .limits import (
    MAX_PIXELS,
    MAX_UNPACKED_PIXELS,
    MAX_UNPACKED_POINTS,
    check_shape,
    check_stored_shape,
    check_unpacked,
)
from .strips import inflated
from .tiff_directories import check_directories

_MAGICS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_UNCOMPRESSED, _LZW, _ZLIB, _OLD_ZLIB = 1, 5, 8, 32946
_COMPRESSIONS = (_UNCOMPRESSED, _LZW, _ZLIB, _OLD_ZLIB)
_BLACK_IS_ZERO, _RGB = 1, 2
_MAX_PAGES = 64
_DAMAGED = "is a damaged or truncated TIFF: record or copy it again"
_PREDICTORS = (1, 2, 3)
_SPARE_BYTES = 1 << 16
# LZW's longest string (3,839 bytes) for its longest code (12 bits); zlib reaches 1,032.
_MAX_RATIO = 2560
# What tifffile and the codecs raise on damaged files (tests/runtime/sensor/readers/test_tiff.py).
_DAMAGE = (
    tifffile.TiffFileError,
    ArithmeticError,
    AttributeError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
)

# tifffile logs what it then raises; without a handler Python would print it beside our one line.
logging.getLogger("tifffile").addHandler(logging.NullHandler())


def is_tiff(data: bytes) -> bool:
    """Whether the content is TIFF or BigTIFF."""
    return data.startswith(_MAGICS)


def read_tiff(data: bytes) -> npt.NDArray[Any]:
    """Read the first image of a TIFF: (H, W, 3) interleaved or, by its planar configuration, (3, H, W); or (H, W).

    The first image is the first page of full resolution. Pages that a file marks as reduced images of others
    (previews, pyramids) or as transparency masks are passed over, wherever they stand. A page's SubIFDs come next after
    it. Further pages of full resolution are not read.

    Returns:
        Floats or integers, as `Stored.numbers`.

    Raises:
        ScanError: damaged, of another shape, or stored in a way that is not read.
    """
    return _read_first(data, _check_scan, MAX_UNPACKED_POINTS)


def read_tiff_image(data: bytes) -> npt.NDArray[np.uint8]:
    """Read the first image, as `read_tiff`, of a TIFF that holds 8-bit gray or color, with or without transparency.

    Returns:
        (H, W) or (H, W, 3 or 4) uint8.

    Raises:
        ScanError: damaged, of another kind, or stored in a way that is not read.
    """
    return _read_first(data, _check_image, MAX_UNPACKED_PIXELS)


def read_tiff_mask(data: bytes) -> npt.NDArray[Any]:
    """Read the first image, as `read_tiff`, of a TIFF that holds gray of 1, 8, 16 or 32 bits, or color.

    Returns:
        (H, W) bool, or (H, W) or (H, W, 3 or 4) unsigned integers.

    Raises:
        ScanError: damaged, of another kind, or stored in a way that is not read.
    """
    return _read_first(data, _check_mask, MAX_UNPACKED_PIXELS)


def _read_first(data: bytes, check: Callable[[tifffile.TiffPage], None], most_unpacked: int) -> npt.NDArray[Any]:
    check_directories(data, _MAX_PAGES)
    try:
        # Damaged tags overflow in NumPy scalars, which would warn.
        with np.errstate(all="ignore"), tifffile.TiffFile(_MeteredFile(data)) as file:
            page = _first_full_page(file)
            check(page)
            _check_segments(page, len(data))
            if page.compression != _UNCOMPRESSED:
                check_unpacked(_product(_shape(page)[:2]), sum(page.databytecounts), most_unpacked)
            image = _pixels(page, data)
            if image.shape != page.shape or not image.size:
                raise DamagedScanError(_DAMAGED)
            return np.moveaxis(image, 0, -1) if page.axes == "SYX" else image
    except _DAMAGE as error:
        raise DamagedScanError(_DAMAGED) from error


def _pixels(page: tifffile.TiffPage, data: bytes) -> npt.NDArray[Any]:
    """What a page holds, in the machine's byte order: no copy, read-only, where it lies in the file like that."""
    if page.dtype is None or page.fillorder != 1 or page.is_subsampled:
        return page.asarray(maxworkers=1)
    stored = np.dtype(f"{page.parent.byteorder}{page.dtype.char}")
    if page.is_contiguous:
        pixels = np.frombuffer(data, stored, _product(page.shape), page.dataoffsets[0])
    elif page.compression in (_ZLIB, _OLD_ZLIB) and _has_plain_strips(page):
        pixels = inflated(data, page.dataoffsets, page.databytecounts, *_strip_bytes(page)).view(stored)
    else:
        return page.asarray(maxworkers=1)
    return pixels.reshape(page.shape).astype(page.dtype, copy=False)


def _has_plain_strips(page: tifffile.TiffPage) -> bool:
    """Whether whole rows of pixels lie one after the other once they are unpacked."""
    is_whole = page.bitspersample == 8 * np.dtype(page.dtype).itemsize
    return page.axes in ("YX", "YXS") and not page.is_tiled and page.predictor == 1 and is_whole


def _strip_bytes(page: tifffile.TiffPage) -> tuple[int, int]:
    """How many bytes a strip has once it is unpacked, and how many all have together; the last one may have fewer."""
    row = _product(page.shape[1:]) * np.dtype(page.dtype).itemsize
    return min(page.rowsperstrip, page.shape[0]) * row, page.shape[0] * row


class _MeteredFile(io.BytesIO):
    """A file's bytes, which a reader may take twice, and no more.

    Thousands of tags that share one megabyte of values, or strips that share one block, would be read as often.
    """

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self._left = 2 * len(data) + _SPARE_BYTES

    def read(self, size: int | None = -1, /) -> bytes:
        piece = super().read(size)
        self._count(len(piece))
        return piece

    def readinto(self, buffer: Any, /) -> int:
        n_bytes = super().readinto(buffer)
        self._count(n_bytes)
        return n_bytes

    def _count(self, n_bytes: int) -> None:
        self._left -= n_bytes
        if self._left < 0:
            raise ValueError("the same bytes are read again and again")


def _first_full_page(file: tifffile.TiffFile) -> tifffile.TiffPage:
    refusal = _DAMAGED
    for page in islice(_pages(file), _MAX_PAGES):
        if not (page.is_reduced or page.is_mask):
            return page
        refusal = "holds only reduced images and masks: save the scan itself as the first page"
    raise ScanError(refusal)


def _pages(file: tifffile.TiffFile) -> Iterator[tifffile.TiffPage]:
    """Every page and, after it, its SubIFDs; one at a time, as a chain of pages may lead back into itself."""
    for number in count():
        try:
            page = file.pages[number]
        except IndexError:
            return
        for full in (page, *islice(page.pages or (), _MAX_PAGES)):
            # Without its option `useframes` tifffile makes nothing else.
            assert isinstance(full, tifffile.TiffPage)
            yield full


def _shape(page: tifffile.TiffPage) -> tuple[int, ...]:
    """(H, W) or (H, W, samples) whatever the planar configuration, else the page's own."""
    return (*page.shape[1:], page.shape[0]) if page.axes == "SYX" else tuple(page.shape)


def _check_scan(page: tifffile.TiffPage) -> None:
    shape = _shape(page)
    if page.axes not in ("YXS", "SYX") and len(shape) == 3:
        # Three gray images in one: that they are x, y and z would be a guess.
        raise ScanError(f"holds {' x '.join(map(str, shape))} gray pixels: save x, y and z as samples of a pixel")
    if page.axes == "YX":
        check_stored_shape(shape)
    else:
        check_shape(shape)
    if page.dtype is None or page.dtype.kind not in "iuf":
        raise ScanError(f"holds TIFF samples of type {page.dtype}: save float32")


def _check_image(page: tifffile.TiffPage) -> None:
    if not _is_gray_or_color(page) or page.dtype != np.uint8:
        raise ScanError("is an unsupported kind of TIFF image: save 8-bit RGB or gray")
    _check_pixels(page)


def _check_mask(page: tifffile.TiffPage) -> None:
    if not _is_gray_or_color(page) or page.dtype is None or page.dtype.kind not in "bu":
        raise ScanError("is a kind of TIFF that is not supported as a mask: save 8-bit gray, 0 where the part is good")
    _check_pixels(page)


def _is_gray_or_color(page: tifffile.TiffPage) -> bool:
    is_gray = page.axes == "YX" and page.photometric == _BLACK_IS_ZERO
    return is_gray or (page.axes in ("YXS", "SYX") and page.photometric == _RGB and _shape(page)[2] in (3, 4))


def _check_pixels(page: tifffile.TiffPage) -> None:
    shape = _shape(page)
    if _product(shape[:2]) > MAX_PIXELS:
        raise ScanError(
            f"has {shape[0]} x {shape[1]} pixels, more than the {MAX_PIXELS} that are read: save it smaller"
        )


def _check_segments(page: tifffile.TiffPage, n_bytes: int) -> None:
    """Refuse what would allocate more than the file can fill, or leave pixels unread."""
    # Without compression, readers do not agree on what a predictor means.
    predictors = _PREDICTORS[:1] if page.compression == _UNCOMPRESSED else _PREDICTORS
    if page.compression not in _COMPRESSIONS or page.predictor not in predictors:
        raise ScanError("is a TIFF with unsupported compression: save it plain, or with LZW or zlib")
    offsets, counts = page.dataoffsets, page.databytecounts
    expected = 1 if page.is_contiguous else _product(page.chunked)
    itemsize = 1 / 8 if page.dtype == np.bool_ else page.dtype.itemsize if page.dtype else 0
    ratio = 1 if page.compression == _UNCOMPRESSED else _MAX_RATIO
    complete = len(offsets) == len(counts) and len(offsets) >= expected
    inside = all(min(at, size) > 0 and at + size <= n_bytes for at, size in zip(offsets, counts, strict=False))
    plausible = _product(page.shape) * itemsize <= ratio * sum(counts) and _product(
        page.chunks
    ) * itemsize <= ratio * max(counts, default=0)
    if not (complete and inside and plausible and sum(counts) <= n_bytes):
        raise DamagedScanError(_DAMAGED)


def _product(lengths: tuple[int, ...]) -> int:
    """The product of what should be integers; a damaged tag may be a tuple, which * would repeat."""
    if not all(isinstance(length, int) for length in lengths):
        raise DamagedScanError(_DAMAGED)
    return math.prod(lengths)


FORMATS = (Format("TIFF", (".tiff", ".tif"), is_tiff, plain(read_tiff)),)
