"""One module a file format: bytes in, the (H, W, 3) array as it was stored out.

To add a format, add a module with `FORMATS`: nothing else names them. `scan.py` adds the file's name to its errors.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

import numpy.typing as npt

from ...errors import ScanError
from .format import Format
from .lines import BYTE_ORDER_MARK


def find_formats() -> tuple[Format, ...]:
    """What the modules of this folder read, from the last name to the first: TIFF leads, which is MVTec 3D-AD's."""
    names = sorted((module.name for module in pkgutil.iter_modules(__path__)), reverse=True)
    modules = [importlib.import_module(f"{__name__}.{name}") for name in names]
    return tuple(entry for module in modules for entry in getattr(module, "FORMATS", ()))


_FORMATS = find_formats()
SUFFIXES = tuple(suffix for entry in _FORMATS for suffix in entry.suffixes)
SUPPORTED = " and ".join([", ".join(entry.name for entry in _FORMATS[:-1]), _FORMATS[-1].name])
_NOT_SCANS = {b"\x89PNG": "a PNG image", b"\xff\xd8\xff": "a JPEG image", b"BM": "a BMP image"}


def decode_scan(data: bytes) -> npt.NDArray[Any]:
    """Decode a file's bytes; the content decides the format, whatever the file is called.

    Returns:
        (H, W, 3) integers or floats, as stored: unit, byte order and marks of missing points untouched.

    Raises:
        ScanError: no known format, damaged, or not an organized point cloud.

    Example:
        >>> decode_scan(Path("part.ply").read_bytes()).shape  # doctest: +SKIP
        (480, 640, 3)
    """
    data = data.removeprefix(BYTE_ORDER_MARK)
    for entry in _FORMATS:
        if entry.recognizes(data):
            return entry.read(data)
    for magic, what in _NOT_SCANS.items():
        if data.startswith(magic):
            raise ScanError(f"is {what}, not a scan: give the organized point cloud ({SUPPORTED} are read)")
    raise ScanError(f"is not a scan: its content is none of {SUPPORTED}; save organized points as one of these")
