"""One module a file format: bytes in, the (H, W, 3) array as it was stored out.

Every reader raises `ScanError` about the content alone, and nothing else; `scan.py` adds the file's name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy.typing as npt

from ...errors import ScanError
from . import numpy_array, pcd, ply, tiff
from .lines import BYTE_ORDER_MARK

Reader = Callable[[bytes], npt.NDArray[Any]]

SUFFIXES = (".tiff", ".tif", ".ply", ".pcd", ".npy", ".npz")
SUPPORTED = "TIFF, PLY, PCD, NPY and NPZ"

_READERS: tuple[tuple[Callable[[bytes], bool], Reader], ...] = (
    (tiff.is_tiff, tiff.read_tiff),
    (numpy_array.is_npy, numpy_array.read_npy),
    (numpy_array.is_npz, numpy_array.read_npz),
    (ply.is_ply, ply.read_ply),
    (pcd.is_pcd, pcd.read_pcd),
)
_NOT_SCANS = {b"\x89PNG": "a PNG image", b"\xff\xd8\xff": "a JPEG image", b"BM": "a BMP image"}


def decode_scan(data: bytes) -> npt.NDArray[Any]:
    """Decode a file's bytes; the content decides the format, whatever the file is called.

    Returns:
        (H, W, 3) integers or floats, as stored: unit, byte order and marks of missing points untouched.

    Raises:
        ScanError: no known format, damaged, or not an organized point cloud.
    """
    data = data.removeprefix(BYTE_ORDER_MARK)
    for recognizes, read in _READERS:
        if recognizes(data):
            return read(data)
    for magic, what in _NOT_SCANS.items():
        if data.startswith(magic):
            raise ScanError(f"is {what}, not a scan: give the organized point cloud ({SUPPORTED} are read)")
    raise ScanError(f"is not a scan: its content is none of {SUPPORTED}; save organized points as one of these")
