"""NPY and NPZ: NumPy reads the header; the numbers are read here, bounded by it, and never as pickles.

Of an NPZ, these arrays are read by name: `points` or `xyz`, (H, W, 3) or (N, 3); else `depth`, (H, W), with
`intrinsics`, 3 x 3 or fx, fy, cx, cy; and `rgb`, (H, W, 3) uint8. A single array beside them may have any name.
"""

from __future__ import annotations

import io
import math
import struct
import sys
import warnings
import zipfile
import zlib
from collections.abc import Callable
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy_format

from ...bundle.scan_geometry import AS_STORED, Intrinsics, ScanGeometry
from ...errors import DamagedScanError, ScanError
from .format import Format, Stored, plain
from .limits import check_grid, check_stored_shape, check_unpacked

_MAGIC = b"\x93NUMPY"
_ZIP_MAGIC = b"PK\x03\x04"
# NumPy's own limit of what it gives Python's parser, behind magic and length.
_HEAD_BYTES = 10_000 + 12
# Version 3 is version 2 with other letters in the names of fields, which no scan has.
_HEADER_READERS = {
    1: npy_format.read_array_header_1_0,
    2: npy_format.read_array_header_2_0,
    3: npy_format.read_array_header_2_0,
}
_KEYS = ("points", "xyz", "depth")
_RGB, _INTRINSICS = "rgb", "intrinsics"
_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED = 0x1
_Check = Callable[[tuple[int, ...]], None]
_DAMAGED = "is a damaged or truncated NumPy file: record or copy it again"
# What zipfile raises on damaged archives (tests/runtime/sensor/readers/test_numpy_array.py).
_ZIP_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    ArithmeticError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    ValueError,
)


def is_npy(data: bytes) -> bool:
    """Whether the content is one NumPy array."""
    return data.startswith(_MAGIC)


def is_npz(data: bytes) -> bool:
    """Whether the content is a zip archive, such as NumPy writes."""
    return data.startswith(_ZIP_MAGIC)


def read_npy(data: bytes) -> npt.NDArray[Any]:
    """Read an array of floats or integers, as `Stored.numbers`.

    Raises:
        ScanError: damaged, of another shape or type.
    """
    return _read_array(data[:_HEAD_BYTES], io.BytesIO(data), len(data), check_stored_shape)


def read_npz(data: bytes, _: ScanGeometry = AS_STORED) -> Stored:
    """Read the scan of an archive, and the image and the intrinsics that lie beside it.

    Raises:
        ScanError: damaged, none of its arrays can be meant, or one has another shape or type.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
            arrays = {entry.filename.removesuffix(".npy"): entry for entry in members}
            if len(arrays) < len(members):
                raise ScanError("is an archive in which two arrays have the same name: save the scan again")
            rgb = camera = None
            if _RGB in arrays:
                rgb = _image(_read_member(archive, arrays[_RGB], _check_rgb))
            if _INTRINSICS in arrays:
                values = _read_member(archive, arrays[_INTRINSICS], _check_intrinsics)
                camera = _camera(values.astype(np.float64).tolist())
            return Stored(_read_member(archive, _scan_member(arrays), check_stored_shape), rgb, camera)
    except _ZIP_DAMAGE as error:
        raise DamagedScanError(_DAMAGED) from error


def _scan_member(arrays: dict[str, zipfile.ZipInfo]) -> zipfile.ZipInfo:
    for key in _KEYS:
        if key in arrays:
            return arrays[key]
    others = [entry for name, entry in arrays.items() if name not in (_RGB, _INTRINSICS)]
    if len(others) == 1:
        return others[0]
    raise ScanError(
        f"holds {len(arrays)} arrays, none called {', '.join(_KEYS[:-1])} or {_KEYS[-1]}: name the scan's array points"
    )


def _read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, check: _Check) -> npt.NDArray[Any]:
    if member.compress_type not in _COMPRESSIONS or member.flag_bits & _ENCRYPTED:
        raise ScanError("is an archive packed in an unsupported way: use np.savez_compressed")
    with archive.open(member) as stream:
        head = stream.read(_HEAD_BYTES)
    with archive.open(member) as stream:
        return _read_array(head, stream, member.compress_size, check)


def _check_rgb(shape: tuple[int, ...]) -> None:
    if len(shape) != 3 or shape[2] != 3:
        raise ScanError(f"holds rgb as {_in_words(shape)}: save H x W x 3 uint8, red, green and blue")
    check_grid(shape[0], shape[1])


def _check_intrinsics(shape: tuple[int, ...]) -> None:
    if shape not in ((3, 3), (4,)):
        raise ScanError(f"holds intrinsics as {_in_words(shape)}: save the 3 x 3 matrix, or fx, fy, cx and cy")


def _in_words(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) or "a single number"


def _image(array: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    if array.dtype != np.uint8:
        raise ScanError(f"holds rgb as {array.dtype}: save uint8, red, green and blue from 0 to 255")
    return array


def _camera(values: list[Any]) -> Intrinsics:
    try:
        if len(values) == 3:
            return Intrinsics.of_matrix(values)
        fx, fy, cx, cy = values
        return Intrinsics(fx=fx, fy=fy, cx=cx, cy=cy)
    except ValueError as error:
        raise ScanError(f"holds intrinsics that no camera has ({error}): save fx, fy, cx and cy in pixels") from error


def _read_array(head: bytes, stream: IO[bytes], n_packed: int, check: _Check) -> npt.NDArray[Any]:
    # Of the stream itself NumPy would read a header as long as it declares to be.
    start = io.BytesIO(head)
    shape, fortran_order, dtype = _read_header(start)
    if not all(0 <= length <= sys.maxsize for length in shape):
        raise DamagedScanError(_DAMAGED)
    if dtype.kind not in "fiu" or dtype.itemsize > 8:
        raise ScanError("is a NumPy array that does not hold plain floats or integers: save float32")
    check(shape)
    check_unpacked(math.prod(shape) // (3 if shape[-1] == 3 else 1), n_packed)
    n_bytes = dtype.itemsize * math.prod(shape)
    stream.read(start.tell())
    body = stream.read(n_bytes)
    if len(body) != n_bytes:
        raise DamagedScanError(_DAMAGED)
    return np.frombuffer(body, dtype).reshape(shape, order="F" if fortran_order else "C")


def _read_header(start: io.BytesIO) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether the first axis runs fastest, and type; `start` then stands at the first number."""
    try:
        # What Python 2 wrote is no reason for a warning, nor what a literal of a damaged header looks like.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            major, _ = npy_format.read_magic(start)
            return _HEADER_READERS[major](start)
    except Exception as error:  # Python's parser of literals raises nearly anything
        raise DamagedScanError(_DAMAGED) from error


FORMATS = (Format("NPY", (".npy",), is_npy, plain(read_npy)), Format("NPZ", (".npz",), is_npz, read_npz))
