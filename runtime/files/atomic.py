"""Files that are there completely or not at all, whatever happens while they are written."""

from __future__ import annotations

import errno
import os
import re
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from ..errors import OutputError
from .ownership import abandoned, claim, kept

# Folders of the system's own, whose entries are no files that one could replace.
_SYSTEM = ("/dev", "/proc")
_PART = re.compile(r"\.[0-9a-f]{16}\.part")


@contextmanager
def atomic_write(path: str | Path) -> Iterator[BinaryIO]:
    """Open a binary file that takes its name only when the block has ended without an error.

    The content is on disk before an older file of the name is replaced; the parent folder is created. A device or pipe
    is never replaced: it is written as it is.

    Raises:
        OutputError: the file cannot be written: no permission, no space, or the name is a folder's.
    """
    path = Path(path)
    if is_special(path):
        with naming_place(path), path.open("wb") as special:
            yield special
        return
    with naming_place(path):
        # What a link leads to is replaced, and the link stays.
        path = path.resolve() if path.is_symlink() else path
    part, stream = _claimed_part(path)
    try:
        try:
            with kept(stream.fileno()):
                with stream:
                    yield stream
                    stream.flush()
                    os.fsync(stream.fileno())
                part.replace(path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)
    except OSError as error:
        if error.filename is not None and str(error.filename) not in map(str, (part, path, *path.parents)):
            # Not ours: the block met it elsewhere.
            raise
        raise _refused(path, error) from error


def is_special(path: Path) -> bool:
    """Whether a path is a device, a pipe or a socket, as `/dev/stdout` may be, and no file or folder."""
    if any(path.absolute().is_relative_to(root) for root in _SYSTEM):
        return True
    with suppress(OSError):  # whoever writes there finds out why
        return path.exists() and not path.is_file() and not path.is_dir()
    return False


def require_writable(path: Path) -> None:
    """Refuse a destination in which nothing can be written, before the work that is to be written there is done.

    Nothing is left behind: folders that are missing are not made yet.

    Args:
        path: a file or folder that may or may not be there; it is made in, or replaced from, the folder above it.

    Raises:
        OutputError: it cannot be written: no permission, no space, or what should be a folder is a file.
    """
    place = path.absolute().parent
    try:
        if is_special(path):
            if not os.access(path, os.W_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            return
        while not place.exists():
            place = place.parent
        with tempfile.TemporaryFile(dir=place) as stream:
            stream.write(b"cmdiad")
            stream.flush()
    except OSError as error:
        raise _refused(path, error) from error


def remove_abandoned_parts(folder: Path) -> None:
    """Remove the halves of files that killed processes left in a folder, and no living one's."""
    with suppress(OSError), os.scandir(folder) as entries:
        for part in [Path(entry.path) for entry in entries if _PART.fullmatch(entry.name)]:
            with abandoned(part) as is_free:
                if is_free:
                    part.unlink(missing_ok=True)


def _claimed_part(path: Path) -> tuple[Path, BinaryIO]:
    """A new file beside a path, which nobody takes for abandoned as long as it or a copy of its descriptor is open."""
    with naming_place(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            part = path.parent / f".{secrets.token_hex(8)}.part"
            stream = part.open("xb")
            if claim(part, stream.fileno()):
                return part, stream
            stream.close()


@contextmanager
def naming_place(path: Path) -> Iterator[None]:
    """Of a block that does nothing but write below a place: name it where the system refuses.

    Raises:
        OutputError: something cannot be written: no permission, no space.
    """
    try:
        yield
    except OSError as error:
        raise _refused(path, error) from error


def _refused(path: Path, error: OSError) -> OutputError:
    return OutputError(f"{path}: cannot be written: {error.strerror or error}")


def atomic_write_bytes(path: str | Path, data: bytes) -> None:
    """Write a whole file, as `atomic_write`.

    Raises:
        OutputError: the file cannot be written.
    """
    with atomic_write(path) as stream:
        stream.write(data)


def sync_folder(folder: Path) -> None:
    """Make new names in a folder survive a power cut, where the system can open folders."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
