"""Where a bundle's files lie: in a folder, or as the members of one uncompressed zip file. Nothing is verified here."""

from __future__ import annotations

import math
import stat
import sys
import warnings
import zipfile
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np
import numpy.typing as npt

from ..errors import BundleError


class Store(Protocol):
    """Where a bundle's files lie; both kinds give the same names and bytes."""

    def open(self, name: str) -> BinaryIO:
        """A file of the bundle, for reading; KeyError if there is none."""
        ...

    def size(self, name: str) -> int:
        """A file's size in bytes; KeyError if there is none."""
        ...

    def array(self, name: str) -> npt.NDArray[Any]:
        """A .npy file, read-only and mapped where it lies on disk; ValueError where it is not a plain array."""
        ...


class FolderStore:
    """The files of a folder."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def open(self, name: str) -> BinaryIO:
        """See `Store`."""
        return self.locate(name)[0].open("rb")

    def size(self, name: str) -> int:
        """See `Store`."""
        return self.locate(name)[0].stat().st_size

    def array(self, name: str) -> npt.NDArray[Any]:
        """See `Store`."""
        return map_array(*self.locate(name), self.size(name))

    def locate(self, name: str) -> tuple[Path, int]:
        """The file on disk and the offset at which the content begins."""
        path = self._root / name
        try:
            # Not is_file(): in newer Pythons that says no where it is not allowed to look.
            is_file = stat.S_ISREG(path.stat().st_mode)
        except (FileNotFoundError, NotADirectoryError) as cause:
            raise KeyError(name) from cause
        if not is_file:
            raise KeyError(name)
        if not path.resolve().is_relative_to(self._root.resolve()):
            raise BundleError(f"{self._root}: {name} is a link that leads outside the bundle: do not use it")
        return path, 0


class ZipStore:
    """The members of an uncompressed zip file, read in place and never unpacked."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
        self._members = {member.filename: member for member in members}
        for member in members:
            if member.compress_type != zipfile.ZIP_STORED or member.file_size != member.compress_size:
                raise BundleError(f"{path}: {member.filename} is compressed, which a bundle's files never are")
        if len(self._members) < len(members):
            raise BundleError(f"{path}: two members have the same name: get the bundle again")
        if sum(member.file_size for member in members) > path.stat().st_size:
            raise BundleError(f"{path}: its members overlap, so it would grow when read: do not use it")

    def open(self, name: str) -> BinaryIO:
        """See `Store`."""
        path, offset = self.locate(name)
        stream = path.open("rb")
        stream.seek(offset)
        return stream

    def size(self, name: str) -> int:
        """See `Store`."""
        return self._members[name].file_size

    def array(self, name: str) -> npt.NDArray[Any]:
        """See `Store`."""
        return map_array(*self.locate(name), self.size(name))

    def locate(self, name: str) -> tuple[Path, int]:
        """The archive and the offset at which the content begins."""
        member = self._members[name]
        with self._path.open("rb") as stream:
            stream.seek(member.header_offset)
            header = stream.read(30)
        if header[:4] != b"PK\x03\x04":
            raise BundleError(f"{self._path}: the archive's header of {name} is damaged: get the bundle again")
        name_length, extra_length = (int.from_bytes(header[at : at + 2], "little") for at in (26, 28))
        return self._path, member.header_offset + 30 + name_length + extra_length


def map_array(path: Path, begin: int, size: int) -> npt.NDArray[Any]:
    """Map the .npy file that the `size` bytes from `begin` of a file are.

    Raises:
        ValueError: they are not a plain array of just that size.
    """
    with path.open("rb") as stream:
        stream.seek(begin)
        shape, fortran, dtype = _npy_header(stream)
        offset = stream.tell()
    length = math.prod(shape) * dtype.itemsize
    is_possible = all(0 <= side <= sys.maxsize for side in shape)
    if dtype.hasobject or fortran or not is_possible or begin + size != offset + length:
        raise ValueError("not a plain array of the stated size")
    return np.memmap(path, dtype, "r", offset, shape) if length else np.zeros(shape, dtype)


def _npy_header(stream: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether the first axis runs fastest, and type; the stream then stands at the first number.

    Raises:
        ValueError: there is no header of version 1.
    """
    version = np.lib.format.read_magic(stream)
    if version != (1, 0):
        raise ValueError(f"npy version {version}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what a damaged header looks like
            return np.lib.format.read_array_header_1_0(stream)
    except Exception as cause:  # Python's parser of literals raises nearly anything
        raise ValueError(f"a damaged header: {type(cause).__name__}") from cause
