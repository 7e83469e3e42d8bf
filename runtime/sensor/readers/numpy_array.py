"""NPY and NPZ, by a parser of our own: NumPy's evaluates the header as Python and may read pickles."""

from __future__ import annotations

import io
import re
import struct
import zipfile
import zlib
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from ...errors import ScanError
from .limits import MAX_HEADER_BYTES, check_shape

_MAGIC = b"\x93NUMPY"
_ZIP_MAGIC = b"PK\x03\x04"
_DESCR = re.compile(r"""['"]descr['"]\s*:\s*['"]([<>|=]?[fiu][1248])['"]""")
_ORDER = re.compile(r"""['"]fortran_order['"]\s*:\s*(True|False)""")
_SHAPE = re.compile(r"""['"]shape['"]\s*:\s*\(([\d,L\s]{0,200})\)""")
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


@dataclass(frozen=True)
class _Header:
    dtype: np.dtype[Any]
    fortran_order: bool
    shape: tuple[int, ...]


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
    return _read_array(io.BytesIO(data))


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
                return _read_array(stream)
    except _ZIP_DAMAGE as error:
        raise ScanError(_DAMAGED) from error


def _member(archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    arrays = {entry.filename.removesuffix(".npy"): entry for entry in archive.infolist()}
    for key in _KEYS:
        if key in arrays:
            return arrays[key]
    if len(arrays) == 1:
        return next(iter(arrays.values()))
    raise ScanError(f"holds {len(arrays)} arrays, none called points or xyz: name the scan's array points")


def _read_array(stream: IO[bytes]) -> npt.NDArray[Any]:
    header = _read_header(stream)
    check_shape(header.shape)
    n_bytes = header.dtype.itemsize * int(np.prod(header.shape, dtype=np.int64))
    body = stream.read(n_bytes)
    if len(body) != n_bytes:
        raise ScanError(_DAMAGED)
    flat = np.frombuffer(body, header.dtype)
    return flat.reshape(header.shape, order="F" if header.fortran_order else "C")


def _read_header(stream: IO[bytes]) -> _Header:
    start = stream.read(8)
    major = start[6] if len(start) == 8 and start.startswith(_MAGIC) else 0
    if major not in (1, 2, 3):
        raise ScanError(_DAMAGED)
    length_format = "<H" if major == 1 else "<I"
    length_bytes = stream.read(struct.calcsize(length_format))
    if len(length_bytes) != struct.calcsize(length_format):
        raise ScanError(_DAMAGED)
    (length,) = struct.unpack(length_format, length_bytes)
    if length > MAX_HEADER_BYTES:
        raise ScanError(_DAMAGED)
    text = stream.read(length).decode("latin-1")
    descr, order, shape = _DESCR.search(text), _ORDER.search(text), _SHAPE.search(text)
    if not (order and shape) or len(text) != length:
        raise ScanError(_DAMAGED)
    if not descr:
        raise ScanError("is a NumPy array that does not hold plain floats or integers: save float32")
    return _Header(
        dtype=_dtype(descr.group(1)),
        fortran_order=order.group(1) == "True",
        shape=tuple(_length(number) for number in shape.group(1).replace(",", " ").split()),
    )


def _length(number: str) -> int:
    # Python 2 wrote long integers as 480L.
    digits = number.removesuffix("L")
    if not (digits.isascii() and digits.isdigit()):
        raise ScanError(_DAMAGED)
    return int(digits)


def _dtype(descr: str) -> np.dtype[Any]:
    if descr.endswith("f1"):
        raise ScanError(_DAMAGED)
    return np.dtype(descr)
