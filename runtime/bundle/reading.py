"""Reading a bundle: a folder, or the same files in one uncompressed zip file `NAME.cmdiad`.

Nothing of a bundle is used before its SHA-256 is checked, and a name in the manifest can only be a file inside
the bundle.
"""

from __future__ import annotations

import hashlib
import io
import os
import shlex
import struct
import zipfile
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import msgspec
import numpy.typing as npt

from ..errors import BundleError
from ..files.atomic_folder import interrupted_replacement
from ..threads import usable_processors
from . import manifest as manifest_format
from .manifest import Calibration, Manifest
from .sensor_description import SensorIdentity
from .signature import NAME as SIGNATURE
from .signature import BundleSignature, TrustedKeys, read_signatures, require_signature
from .stores import FolderStore, Store, ZipStore

DEFAULT_BUNDLE = "bundle"
BUNDLE_VARIABLE = "CMDIAD_BUNDLE"
# The format version since which a calibration tells what is raw, and how large the part is.
RANGES_SINCE = 2
MAX_FILE_BYTES = 16 << 30
MOST_FILES = 4096
_LONGEST_NAME = 200
_CHUNK = 1 << 20
_COMMENT_BYTES = 64
# The end record, and before it in archives beyond 4 GB a locator and the record that it locates.
_END_BYTES = 22 + 20 + 56
_HASH_THREADS = 4  # two banks, the networks, and an archive as a whole


@dataclass(frozen=True)
class Bundle:
    """An opened and verified bundle; `signature` is the trusted one, where one was required."""

    path: Path
    manifest: Manifest
    store: Store
    signature: BundleSignature | None = None

    def of_sensor(self, sensor: SensorIdentity) -> Bundle:
        """The same bundle for a sensor of another name; nothing is written."""
        return replace(self, manifest=msgspec.structs.replace(self.manifest, sensor=sensor))

    def read(self, name: str) -> bytes:
        """The whole content of a file that the manifest names.

        Raises:
            BundleError: the manifest does not name it, or it is not there.
        """
        with self.opened(name) as (stream, size):
            return stream.read(size)

    def array(self, name: str) -> npt.NDArray[Any]:
        """A .npy file, read-only; memory-mapped where the bundle is on disk.

        Raises:
            BundleError: it is not a plain array.
        """
        self._require(name)
        try:
            return self.store.array(name)
        except ValueError as cause:
            raise BundleError(f"{self.path}: {name} is not an array ({cause})") from cause

    @contextmanager
    def opened(self, name: str) -> Iterator[tuple[BinaryIO, int]]:
        """A file that the manifest names, for reading its next `size` bytes: (stream, size).

        Raises:
            BundleError: the manifest does not name it.
        """
        self._require(name)
        with self.store.open(name) as stream:
            yield stream, self.store.size(name)

    def signature_in_words(self) -> str:
        """Who signed the bundle, and whether that was checked when it was opened."""
        if self.signature is not None:
            return f"{self.signature.in_words()}: checked"
        try:
            stated = read_signatures(self.store, str(self.path))
        except BundleError as error:
            return f"cannot be read: {str(error).removeprefix(f'{self.path}: ')}"
        if not stated:
            return "none"
        signers = "; ".join(entry.in_words() for entry in stated)
        return f"{signers}: not checked: give --require-signature PUB to `cmdiad-rt`"

    def _require(self, name: str) -> None:
        if name not in self.manifest.files:
            raise BundleError(f"{self.path}: the manifest names no file {name!r}: export the bundle again")


def find_bundle(given: str | Path | None) -> Path:
    """The bundle to use: the one given, else $CMDIAD_BUNDLE, else ./bundle.

    Raises:
        BundleError: there is no bundle, or it cannot be reached.
    """
    path = Path(given or os.environ.get(BUNDLE_VARIABLE) or DEFAULT_BUNDLE)
    if not _is_there(path):
        _refuse_interrupted(path)
        raise BundleError(
            f"{path}: there is no bundle here: give --bundle PATH, set ${BUNDLE_VARIABLE}, "
            "or write one with `cmdiad export` and `cmdiad calibrate`"
        )
    return path


def _refuse_interrupted(path: Path) -> None:
    """Say where the bundle is that a killed process had moved aside to replace it.

    Raises:
        BundleError: there is one.
    """
    aside = interrupted_replacement(path)
    if aside is not None:
        raise BundleError(
            f"{path}: writing it was interrupted at the last step; the previous bundle is in {aside}: move it back "
            f"with: mv {shlex.quote(str(aside))} {shlex.quote(str(path))}"
        )


def open_bundle(path: str | Path, trusted: TrustedKeys | None = None) -> Bundle:
    """Open a bundle and verify every byte of it.

    Args:
        path: a folder or a .cmdiad file.
        trusted: keys one of which must have signed the bundle, which is known before anything in it is looked at;
            None: it need not be signed.

    Raises:
        BundleError: a file is missing or changed, a name leads outside, the format is not read here, or nobody
            trusted has signed it.

    Example:
        >>> open_bundle("bagel.cmdiad").manifest.product  # doctest: +SKIP
        'bagel'
    """
    path = Path(path)
    if not _is_there(path):
        _refuse_interrupted(path)
        raise BundleError(f"{path}: no such bundle")
    with ThreadPoolExecutor(min(usable_processors(), _HASH_THREADS), "verify") as pool, _whole_checked(path, pool):
        store = _open_store(path)
        raw = manifest_bytes(path, store)
        signature = None
        if trusted is not None:
            signature = require_signature(read_signatures(store, str(path)), raw, trusted, str(path))
        manifest = manifest_format.decode(raw, str(path))
        if len(manifest.files) > MOST_FILES:
            raise BundleError(f"{path}: the manifest names {len(manifest.files)} files, at most {MOST_FILES} are read")
        for name in manifest.files:
            _check_name(path, name)
        # Of several files that were changed the first is said, whichever is found first.
        list(pool.map(partial(_check_file, path, store), manifest.files, manifest.files.values()))
    return Bundle(path, manifest, store, signature)


def require_calibration(bundle: Bundle) -> Calibration:
    """What a bundle was calibrated with, for all who inspect with it.

    Raises:
        BundleError: it is not calibrated, or by a version whose calibration is not safe to inspect with.
    """
    manifest = bundle.manifest
    if manifest.calibration is None:
        raise BundleError(
            f"{bundle.path}: the bundle is not calibrated: run `cmdiad calibrate SCANS --bundle {bundle.path}`"
        )
    if manifest.format_version < RANGES_SINCE:
        raise BundleError(
            f"{bundle.path}: was calibrated by an earlier version, which guessed for every scan whether it was raw and "
            "did not record how large the part is: calibrate it again with `cmdiad calibrate SCANS --bundle "
            f"{bundle.path} --force`"
        )
    return manifest.calibration


def file_digest(stream: BinaryIO, size: int) -> str:
    """SHA-256 of the next `size` bytes, in hex."""
    digest = hashlib.sha256()
    for piece in chunks(stream, size):
        digest.update(piece)
    return digest.hexdigest()


def chunks(stream: BinaryIO, size: int) -> Iterator[bytes]:
    """The next `size` bytes, at most a mebibyte at a time; fewer where the stream ends before."""
    left = size
    while left > 0 and (block := stream.read(min(left, _CHUNK))):
        yield block
        left -= len(block)


def check_archive(path: Path) -> None:
    """Check the digest over a whole .cmdiad file, which its zip comment holds.

    It covers what no member's digest does: the archive's own headers.

    Raises:
        BundleError: a byte was changed.
    """
    with path.open("rb") as stream:
        size = stream.seek(0, io.SEEK_END)
        stream.seek(max(size - _COMMENT_BYTES, 0))
        stated = stream.read(_COMMENT_BYTES)
        stream.seek(0)
        if size < _COMMENT_BYTES or file_digest(stream, size - _COMMENT_BYTES).encode() != stated:
            raise BundleError(f"{path}: {path.name} was changed, or is not a .cmdiad file: get the bundle again")


def read_manifest(path: Path) -> Manifest:
    """What a bundle says of itself; its other files are not looked at.

    Raises:
        BundleError: there is no manifest, or it cannot be read.
    """
    if not path.is_dir():
        _check_whole(path)
    return manifest_format.decode(manifest_bytes(path, _open_store(path)), str(path))


def is_signed(path: Path) -> bool:
    """Whether there is a bundle with a signature file, whatever it holds; nothing is verified.

    Raises:
        BundleError: what is there is no bundle, or cannot be read.
    """
    if not _is_there(path):
        return False
    store = _open_store(path)
    try:
        store.size(SIGNATURE)
    except KeyError:
        return False
    return True


def _is_there(path: Path) -> bool:
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: a null byte in the name
        return False
    except OSError as cause:
        raise _unreadable(path, path.name, cause) from cause
    return True


@contextmanager
def _whole_checked(path: Path, pool: Executor) -> Iterator[None]:
    """Check an archive as a whole while the block reads what is in it; the archive's own fault is said first."""
    if path.is_dir():
        yield
        return
    checking = pool.submit(_check_whole, path)
    try:
        yield
    finally:
        checking.result()


def _check_whole(path: Path) -> None:
    try:
        check_archive(path)
    except OSError as cause:
        raise _unreadable(path, path.name, cause) from cause


def _open_store(path: Path) -> Store:
    if path.is_dir():
        return FolderStore(path)
    try:
        _check_directory(path)
        return ZipStore(path)
    except OSError as cause:
        raise _unreadable(path, path.name, cause) from cause
    # ValueError: offsets before the file, or a name that is not text.
    except (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error) as cause:
        raise BundleError(
            f"{path}: {path.name} is neither a bundle folder nor a .cmdiad file ({cause}): get the bundle again"
        ) from cause


def _check_directory(path: Path) -> None:
    """Bound the archive's table of contents before it is read: its end record lies before the 64-byte comment."""
    with path.open("rb") as stream:
        stream.seek(max(stream.seek(0, io.SEEK_END) - _COMMENT_BYTES - _END_BYTES, 0))
        ends = stream.read(_END_BYTES)
    record, locator, large = ends[-22:], ends[-42:-22], ends[:-42]
    if record[:4] != b"PK\x05\x06":
        raise zipfile.BadZipFile("its end record is not where it belongs")
    size = int.from_bytes(record[12:16], "little")
    if locator[:4] == b"PK\x06\x07":  # then the record of large archives counts
        size = int.from_bytes(large[40:48], "little")
    if size > manifest_format.MAX_BYTES:
        raise BundleError(f"{path}: its table of contents is too large for a bundle: do not use it")


def manifest_bytes(path: Path, store: Store) -> bytes:
    """The bytes of a bundle's manifest, of one that is too large no more than tells so; nothing is verified.

    Raises:
        BundleError: there is none, or it cannot be read.
    """
    try:
        size = store.size(manifest_format.NAME)
        with store.open(manifest_format.NAME) as stream:
            return stream.read(min(size, manifest_format.MAX_BYTES + 1))
    except KeyError as cause:
        raise BundleError(f"{path}: there is no {manifest_format.NAME}: this is not a bundle") from cause
    except OSError as cause:
        raise _unreadable(path, manifest_format.NAME, cause) from cause


def _check_name(path: Path, name: str) -> None:
    parts = PurePosixPath(name)
    if parts.is_absolute() or ".." in parts.parts or "\\" in name or ":" in name or not parts.parts:
        raise BundleError(f"{path}: the manifest names {name!r}, which leads outside the bundle: do not use it")
    # One file under many names would be hashed as often.
    if str(parts) != name or len(name) > _LONGEST_NAME or "\0" in name:
        shown = repr(name[:_LONGEST_NAME])
        raise BundleError(
            f"{path}: the manifest names {shown}, which is not a valid file name in a bundle: do not use it"
        )


def _check_file(path: Path, store: Store, name: str, digest: str) -> None:
    try:
        size = store.size(name)
        if size > MAX_FILE_BYTES:
            raise BundleError(f"{path}: {name} has {size} bytes, more than a bundle's file may have")
        with store.open(name) as stream:
            actual = file_digest(stream, size)
    except KeyError as cause:
        raise BundleError(f"{path}: {name} is missing: get the bundle again") from cause
    except OSError as cause:
        raise _unreadable(path, name, cause) from cause
    if actual != digest:
        raise BundleError(f"{path}: {name} was changed after it was written: get the bundle again")


def _unreadable(path: Path, name: str, cause: OSError) -> BundleError:
    """Of a file that the system does not give: that is not the bundle's fault."""
    advice = "give this user permission to read it" if isinstance(cause, PermissionError) else "check the disk"
    return BundleError(f"{path}: {name} cannot be read: {cause.strerror or cause}: {advice}")
