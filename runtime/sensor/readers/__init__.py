"""One module per file format: bytes in, the numbers as they were stored out.

To add a format, add a module with `FORMATS`: nothing else names them. `scan.py` adds the file's name to its errors.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable

from ...bundle.scan_geometry import AS_STORED, ScanGeometry
from ...errors import DamagedScanError, ScanError
from .format import Format, Stored
from .lines import BYTE_ORDER_MARK


def find_formats() -> tuple[Format, ...]:
    """What the modules of this folder read, from the last name to the first: TIFF leads, which is MVTec 3D-AD's."""
    names = sorted((module.name for module in pkgutil.iter_modules(__path__)), reverse=True)
    modules = [importlib.import_module(f"{__name__}.{name}") for name in names]
    return tuple(entry for module in modules for entry in getattr(module, "FORMATS", ()))


_FORMATS = find_formats()
SUFFIXES = tuple(suffix for entry in _FORMATS for suffix in entry.suffixes if suffix not in entry.doubtful)
"""Of files that are scans wherever they lie."""
DOUBTFUL_SUFFIXES = tuple(suffix for entry in _FORMATS for suffix in entry.doubtful)
"""Of files that may be scans, and are often something else."""
SUPPORTED = " and ".join([", ".join(entry.name for entry in _FORMATS[:-1]), _FORMATS[-1].name])
_NOT_SCANS = {
    b"\xff\xd8\xff": "a JPEG image",
    b"BM": "a BMP image",
    b"SQLite format 3\0": "a database (a ROS 2 recording? `ros2 bag convert` converts it to MCAP)",
}


def decode_scan(data: bytes, geometry: ScanGeometry = AS_STORED) -> Stored:
    """Decode a file's bytes; the content decides the format, whatever the file is called.

    Args:
        data: the whole file.
        geometry: says which cloud is meant where there are several; what else it says is `arranging`'s to follow.

    Raises:
        ScanError: no known format, or damaged.

    Example:
        >>> decode_scan(Path("part.ply").read_bytes()).numbers.shape  # doctest: +SKIP
        (480, 640, 3)
    """
    data = data.removeprefix(BYTE_ORDER_MARK)
    for entry in _FORMATS:
        if entry.recognizes(data):
            return entry.read(data, geometry)
    for magic, what in _NOT_SCANS.items():
        if data.startswith(magic):
            raise ScanError(f"is {what}, not a scan: give the organized point cloud ({SUPPORTED} are read)")
    raise DamagedScanError(f"is not a scan: its content is none of {SUPPORTED}; save organized points as one of these")


def doubtful_suffixes(geometry: ScanGeometry) -> Iterable[str]:
    """Of files that are often something else, those that are scans by what the geometry says of the sensor's."""
    wanted = {"pixels": geometry.places_pixels, "points": geometry.places_points, "clouds": True}
    return [suffix for entry in _FORMATS for suffix in entry.doubtful if wanted[entry.holds]]
