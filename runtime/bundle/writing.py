"""Writing a bundle: whole or not at all, and the same bytes for the same content."""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import numpy as np
import numpy.typing as npt

from ..errors import BundleError, UsageError
from ..files.atomic import atomic_write_bytes, naming_place, require_writable, sync_folder
from ..files.atomic_folder import NEW, put_in_place, remove_leftovers, work_folder
from . import manifest as manifest_format
from .manifest import Calibration, Manifest
from .reading import Bundle, chunks, file_digest, read_manifest
from .signature import NAME as SIGNATURE

ARCHIVE_SUFFIX = ".cmdiad"
_ALIGNMENT = 64
_CHUNK_BYTES = 1 << 20
_EPOCH = (1980, 1, 1, 0, 0, 0)
_PADDING_FIELD = 0xD935  # the id that Android's zipalign gives its padding, known to be harmless


@dataclass(frozen=True)
class StoredFile:
    """A file of an opened bundle, copied piece by piece."""

    bundle: Bundle
    name: str


Content = bytes | npt.NDArray[np.generic] | StoredFile


class MemoryStore:
    """The files of a bundle that is not written yet, as `write_bundle` takes them; see `Store`."""

    def __init__(self, contents: Mapping[str, Content]) -> None:
        self._contents = contents

    def open(self, name: str) -> BinaryIO:
        """See `Store`."""
        content = self._contents[name]
        if isinstance(content, StoredFile):
            return content.bundle.store.open(content.name)
        return io.BytesIO(b"".join(_pieces(content)))

    def size(self, name: str) -> int:
        """See `Store`."""
        return _size(self._contents[name])

    def array(self, name: str) -> npt.NDArray[Any]:
        """See `Store`; what is in memory already is not copied."""
        content = self._contents[name]
        if isinstance(content, StoredFile):
            return content.bundle.store.array(content.name)
        if isinstance(content, bytes):
            return _read_only(np.load(io.BytesIO(content), allow_pickle=False))
        return _read_only(content)


def draft_bundle(path: Path, manifest: Manifest, contents: Mapping[str, Content]) -> Bundle:
    """The bundle that `write_bundle` would write, opened without being written; arguments as there."""
    digests = {name: _digest(content) for name, content in sorted(contents.items())}
    return Bundle(path, msgspec.structs.replace(manifest, files=digests), MemoryStore(contents))


def write_bundle(path: Path, manifest: Manifest, contents: Mapping[str, Content]) -> Manifest:
    """Write a bundle as a folder, or as one file where `path` ends in .cmdiad.

    An existing bundle at `path` is replaced at the last moment, in one step, and its signatures with it; anything else
    there is left alone.

    Args:
        path: where to; what a link points at is replaced, not the link.
        manifest: its `files` are filled in here.
        contents: every file but the manifest; an array becomes a .npy file. None is held in memory a second time.

    Returns:
        The manifest as written.

    Raises:
        UsageError: something that is not a bundle lies at `path`.
        OutputError: it cannot be written.
    """
    refuse_to_overwrite(path)
    manifest = draft_bundle(path, manifest, contents).manifest
    encoded = manifest_format.encode(manifest)
    _put(path, {manifest_format.NAME: encoded, **{name: contents[name] for name in manifest.files}})
    return manifest_format.decode(encoded, str(path))


def write_signed(bundle: Bundle, manifest: bytes, signatures: bytes) -> None:
    """Put signature.json into a bundle where it lies, and leave every other byte of its files as it is.

    Args:
        bundle: opened.
        manifest: the bytes of its manifest.json.
        signatures: those of signature.json.

    Raises:
        OutputError: it cannot be written.
    """
    if bundle.path.is_dir():
        atomic_write_bytes(bundle.path / SIGNATURE, signatures)
        return
    files = {name: StoredFile(bundle, name) for name in bundle.manifest.files}
    _put(bundle.path, {manifest_format.NAME: manifest, SIGNATURE: signatures, **files})


def _put(path: Path, files: Mapping[str, Content]) -> None:
    """Write files as a folder or archive, and put it in place in one step."""
    with naming_place(path):
        place = path.resolve()
        place.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(place)
        with work_folder(place) as work:
            if path.suffix == ARCHIVE_SUFFIX:
                _write_archive(work / NEW, files, path)
            else:
                _write_folder(work / NEW, files)
            put_in_place(work, place)
        # Once more, for the older bundle that a killed process had moved aside.
        remove_leftovers(place)


def rewrite_bundle(
    bundle: Bundle, target: Path, manifest: Manifest, added: Mapping[str, Content], dropped: Collection[str] = ()
) -> Manifest:
    """Write a bundle's files with some added, replaced or left out, in place or to another path."""
    return write_bundle(target, manifest, changed_contents(bundle, added, dropped))


def changed_contents(bundle: Bundle, added: Mapping[str, Content], dropped: Collection[str] = ()) -> dict[str, Content]:
    """The contents of a bundle with some files added, replaced or left out; the others stay where they are."""
    kept = {name: StoredFile(bundle, name) for name in bundle.manifest.files if name not in {*added, *dropped}}
    return {**kept, **added}


def refuse_to_overwrite(path: Path) -> None:
    """Stop before the work if what lies at `path` is not a bundle, or nothing can be written there.

    Raises:
        UsageError: it is not.
        OutputError: no permission, no space.
    """
    require_writable(path)
    if not path.exists():
        return
    with naming_place(path):
        is_folder_bundle = path.is_dir() and ((path / manifest_format.NAME).exists() or not any(path.iterdir()))
        is_archive = path.is_file() and _is_archive(path)
    if not (is_folder_bundle or is_archive):
        raise UsageError(f"{path}: exists and is not a bundle: choose another place or remove it")
    if path.is_dir() == (path.suffix == ARCHIVE_SUFFIX):
        raise UsageError(f"{path}: a folder must not end in {ARCHIVE_SUFFIX} and a file must: choose another name")


def _is_archive(path: Path) -> bool:
    with path.open("rb") as stream:
        return zipfile.is_zipfile(stream)


def protect_calibration(path: Path, advice: str) -> None:
    """Stop before the work if a calibrated bundle lies at `path`, or one that cannot be read: it may be calibrated.

    Args:
        path: where a bundle is to be written.
        advice: how to keep it, and how to replace it.

    Raises:
        UsageError: says what is there.
    """
    refuse_to_overwrite(path)
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return
    try:
        manifest = read_manifest(path)
    except BundleError as cause:
        raise UsageError(f"{cause}; it may be calibrated, so it is not replaced: {advice}") from cause
    if manifest.calibration is not None:
        raise UsageError(f"{path}: is calibrated for {_described(path, manifest, manifest.calibration)}: {advice}")


def _described(path: Path, manifest: Manifest, calibration: Calibration) -> str:
    file = path / manifest_format.NAME if path.is_dir() else path
    day = datetime.fromtimestamp(file.stat().st_mtime).strftime("%Y-%m-%d")
    threshold = f"threshold {calibration.threshold.value:.4g}"
    return f"product {manifest.product!r} ({calibration.n_scans} normal scans, {threshold}, written {day})"


def _digest(content: Content) -> str:
    if isinstance(content, StoredFile):
        return content.bundle.manifest.files[content.name]
    digest = hashlib.sha256()
    for piece in _pieces(content):
        digest.update(piece)
    return digest.hexdigest()


def _pieces(content: Content) -> Iterator[bytes | memoryview]:
    """A file's bytes, at most a mebibyte at a time."""
    if isinstance(content, StoredFile):
        yield from _stored_pieces(content)
        return
    if isinstance(content, bytes):
        raw = memoryview(content)
    else:
        array = np.ascontiguousarray(content)
        yield _npy_header(array)
        raw = array.reshape(-1).view(np.uint8).data
    for begin in range(0, len(raw), _CHUNK_BYTES):
        yield raw[begin : begin + _CHUNK_BYTES]


def _stored_pieces(content: StoredFile) -> Iterator[bytes]:
    """Those of an opened bundle's file; its digest was checked when the bundle was opened, which may be long ago."""
    digest = hashlib.sha256()
    with content.bundle.opened(content.name) as (stream, size):
        for piece in chunks(stream, size):
            digest.update(piece)
            yield piece
    if digest.hexdigest() != _digest(content):
        raise BundleError(f"{content.bundle.path}: {content.name} was changed since the bundle was opened: start again")


def _size(content: Content) -> int:
    if isinstance(content, StoredFile):
        return content.bundle.store.size(content.name)
    return len(content) if isinstance(content, bytes) else len(_npy_header(content)) + content.nbytes


def _npy_header(array: npt.NDArray[np.generic]) -> bytes:
    header = io.BytesIO()
    described = np.lib.format.header_data_from_array_1_0(np.ascontiguousarray(array))
    np.lib.format.write_array_header_1_0(header, described)
    return header.getvalue()


def _read_only(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    view = array.view()
    view.flags.writeable = False
    return view


def _write_folder(staging: Path, files: Mapping[str, Content]) -> None:
    staging.mkdir()
    staging.chmod(0o755)
    for name, content in files.items():
        target = staging / name
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as stream:
            for piece in _pieces(content):
                stream.write(piece)
            stream.flush()
            os.fsync(stream.fileno())
    for folder in {(staging / name).parent for name in files}:
        sync_folder(folder)


def _write_archive(staging: Path, files: Mapping[str, Content], path: Path) -> None:
    try:
        with staging.open("w+b") as stream:
            with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
                archive.comment = b"0" * 64
                for member, content in files.items():
                    with archive.open(_aligned_member(member, stream.tell(), _size(content)), "w") as target:
                        for piece in _pieces(content):
                            target.write(piece)
            size = stream.seek(0, io.SEEK_END)
            stream.seek(0)
            digest = file_digest(stream, size - 64)
            stream.seek(size - 64)
            stream.write(digest.encode())
            stream.flush()
            os.fsync(stream.fileno())
        staging.chmod(0o644)
    except zipfile.LargeZipFile as cause:
        raise BundleError(f"{path}: the bundle is too large for one file ({cause}): write a folder") from cause


def _aligned_member(name: str, header_offset: int, size: int) -> zipfile.ZipInfo:
    """A member whose content begins at a multiple of 64 bytes, so that arrays in it can be memory-mapped."""
    member = zipfile.ZipInfo(name, _EPOCH)
    member.external_attr = 0o644 << 16
    member.file_size = size
    # Large members get 20 bytes of 64-bit sizes in front of the padding; zipfile decides on 1.05 times the size.
    is_large = size * 1.05 > zipfile.ZIP64_LIMIT
    begin = header_offset + 30 + len(name.encode()) + 4 + (20 if is_large else 0)
    padding = -begin % _ALIGNMENT
    member.extra = _PADDING_FIELD.to_bytes(2, "little") + padding.to_bytes(2, "little") + bytes(padding)
    return member
