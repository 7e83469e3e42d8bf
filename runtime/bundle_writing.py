"""Writing a bundle: whole or not at all, and the same bytes for the same content."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import tempfile
import zipfile
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from . import manifest as manifest_format
from .atomic import naming_place
from .bundle import Bundle, chunks, file_digest
from .errors import BundleError, UsageError
from .manifest import Manifest

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


def write_bundle(path: Path, manifest: Manifest, contents: Mapping[str, Content]) -> Manifest:
    """Write a bundle as a folder, or as one file where `path` ends in .cmdiad.

    An existing bundle at `path` is replaced at the last moment; anything else there is left alone.

    Args:
        path: where to.
        manifest: its `files` are filled in here.
        contents: every file but the manifest; an array becomes a .npy file. None is held in memory a second time.

    Returns:
        The manifest as written.

    Raises:
        UsageError: something that is not a bundle lies at `path`.
        OutputError: it cannot be written.
    """
    refuse_to_overwrite(path)
    digests = {name: _digest(content) for name, content in sorted(contents.items())}
    manifest = msgspec.structs.replace(manifest, files=digests)
    encoded = manifest_format.encode(manifest)
    files: dict[str, Content] = {manifest_format.NAME: encoded, **{name: contents[name] for name in digests}}
    with naming_place(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ARCHIVE_SUFFIX:
            _write_archive(path, files)
        else:
            _write_folder(path, files)
    return manifest_format.decode(encoded, str(path))


def rewrite_bundle(
    bundle: Bundle, target: Path, manifest: Manifest, added: Mapping[str, Content], dropped: Collection[str] = ()
) -> Manifest:
    """Write a bundle's files with some added, replaced or left out, in place or to another path."""
    kept = {name: StoredFile(bundle, name) for name in bundle.manifest.files if name not in {*added, *dropped}}
    return write_bundle(target, manifest, {**kept, **added})


def refuse_to_overwrite(path: Path) -> None:
    """Stop before the work if what lies at `path` is not a bundle.

    Raises:
        UsageError: it is not.
    """
    if not path.exists():
        return
    is_folder_bundle = path.is_dir() and ((path / manifest_format.NAME).exists() or not any(path.iterdir()))
    is_archive = path.is_file() and zipfile.is_zipfile(path)
    if not (is_folder_bundle or is_archive):
        raise UsageError(f"{path}: exists and is not a bundle: choose another place or remove it")
    if path.is_dir() == (path.suffix == ARCHIVE_SUFFIX):
        raise UsageError(f"{path}: a folder must not end in {ARCHIVE_SUFFIX} and a file must: choose another name")


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
        with content.bundle.opened(content.name) as (stream, size):
            yield from chunks(stream, size)
        return
    if isinstance(content, bytes):
        raw = memoryview(content)
    else:
        array = np.ascontiguousarray(content)
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(header, np.lib.format.header_data_from_array_1_0(array))
        yield header.getvalue()
        raw = array.reshape(-1).view(np.uint8).data
    for begin in range(0, len(raw), _CHUNK_BYTES):
        yield raw[begin : begin + _CHUNK_BYTES]


def _size(content: Content) -> int:
    if isinstance(content, StoredFile):
        return content.bundle.store.size(content.name)
    return len(content) if isinstance(content, bytes) else content.nbytes


def _write_folder(path: Path, files: Mapping[str, Content]) -> None:
    staging = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        staging.chmod(0o755)
        for name, content in files.items():
            target = staging / name
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("wb") as stream:
                for piece in _pieces(content):
                    stream.write(piece)
                stream.flush()
                os.fsync(stream.fileno())
        if path.exists():
            retired = Path(tempfile.mkdtemp(prefix=f".{path.name}.old.", dir=path.parent))
            path.rename(retired / path.name)
            staging.rename(path)
            shutil.rmtree(retired)
        else:
            staging.rename(path)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _write_archive(path: Path, files: Mapping[str, Content]) -> None:
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    staging = Path(name)
    try:
        with os.fdopen(descriptor, "w+b") as stream:
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
        staging.replace(path)
    except zipfile.LargeZipFile as cause:
        raise BundleError(f"{path}: the bundle is too large for one file ({cause}): write a folder") from cause
    finally:
        staging.unlink(missing_ok=True)


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
