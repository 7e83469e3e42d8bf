"""NPY and NPZ: NumPy reads the header; the numbers are read here, bounded by it, and never as pickles."""

from __future__ import annotations

import io
import math
import struct
import sys
import warnings
import zipfile
import zlib
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy_format

from ...errors import ScanError
from .format import Format
from .limits import check_shape, check_unpacked

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
_KEYS = ("points", "xyz")
_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED = 0x1
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
    """Read an array of (H, W, 3) floats or integers.

    Raises:
        ScanError: damaged, of another shape or type.
    """
    return _read_array(data[:_HEAD_BYTES], io.BytesIO(data), len(data))


def read_npz(data: bytes) -> npt.NDArray[Any]:
    """Read the array `points` or `xyz` of an archive, or its only one.

    Raises:
        ScanError: damaged, or none of its arrays can be meant.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            member = _member(archive)
            if member.compress_type not in _COMPRESSIONS or member.flag_bits & _ENCRYPTED:
                raise ScanError("is an archive packed in a way that is not read: use np.savez_compressed")
            with archive.open(member) as stream:
                head = stream.read(_HEAD_BYTES)
            with archive.open(member) as stream:
                return _read_array(head, stream, member.compress_size)
    except _ZIP_DAMAGE as error:
        raise ScanError(_DAMAGED) from error


def _member(archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    members = archive.infolist()
    arrays = {entry.filename.removesuffix(".npy"): entry for entry in members}
    if len(arrays) < len(members):
        raise ScanError("is an archive in which two arrays have the same name: save the scan again")
    for key in _KEYS:
        if key in arrays:
            return arrays[key]
    if len(arrays) == 1:
        return next(iter(arrays.values()))
    raise ScanError(f"holds {len(arrays)} arrays, none called points or xyz: name the scan's array points")


def _read_array(head: bytes, stream: IO[bytes], n_packed: int) -> npt.NDArray[Any]:
    # Of the stream itself NumPy would read a header as long as it declares to be.
    start = io.BytesIO(head)
    shape, fortran_order, dtype = _read_header(start)
    if not all(0 <= length <= sys.maxsize for length in shape):
        raise ScanError(_DAMAGED)
    if dtype.kind not in "fiu" or dtype.itemsize > 8:
        raise ScanError("is a NumPy array that does not hold plain floats or integers: save float32")
    check_shape(shape)
    check_unpacked(math.prod(shape[:2]), n_packed)
    n_bytes = dtype.itemsize * math.prod(shape)
    stream.read(start.tell())
    body = stream.read(n_bytes)
    if len(body) != n_bytes:
        raise ScanError(_DAMAGED)
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
        raise ScanError(_DAMAGED) from error


FORMATS = (Format("NPY", (".npy",), is_npy, read_npy), Format("NPZ", (".npz",), is_npz, read_npz))
