"""A finished folder or file takes its name, in place of an older one: at every moment one of the two is there, whole.

It is made in a hidden folder beside its place, `.NAME.` and eight characters, which holds `new`, a lock, and for a
moment `old`. A process that is killed leaves that behind; the next one that writes there removes it.
"""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..errors import UsageError
from .atomic import naming_place, sync_folder
from .ownership import abandoned, claim

NEW, OLD, LOCK = "new", "old", "lock"
_RENAME_EXCHANGE = 2
_AT_FDCWD = -100


def holds_something(folder: Path) -> bool:
    """Whether the folder that results are to go to is there and not empty.

    Raises:
        UsageError: it is a file.
        OutputError: it cannot be looked into.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder}: is a file, not a folder: choose another name")
    with naming_place(folder):
        return folder.exists() and any(folder.iterdir())


@contextmanager
def work_folder(target: Path) -> Iterator[Path]:
    """A folder beside a target, to make `NEW` in; gone when the block ends.

    Args:
        target: no link; the folder above it exists.

    Raises:
        OSError: the system refuses.
    """
    work, lock = _claimed_folder(target)
    try:
        yield work
    finally:
        os.close(lock)
        _remove(work, target)


def put_in_place(work: Path, target: Path) -> None:
    """Rename what was made in a work folder, in place of an older one of the target's name.

    On Linux two folders change places in one step. Where a system or disk cannot do that, the older one is moved aside
    first; `interrupted_replacement` finds it if the process is killed in between.

    Args:
        work: its `NEW` is on disk already.
        target: no link.

    Raises:
        OSError: the system refuses; the older one is where it was.
    """
    if not target.exists():
        (work / NEW).rename(target)
    elif target.is_file():
        (work / NEW).replace(target)
    elif not _exchange(work / NEW, target):
        _replace_in_two_steps(work, target)
    sync_folder(target.parent)


def remove_leftovers(target: Path) -> None:
    """Remove the work folders of killed processes beside a target, and no other's.

    One that holds the only copy of an older target stays, see `interrupted_replacement`.
    """
    for work in _work_folders(target):
        with suppress(OSError):
            if not any(work.iterdir()):
                work.rmdir()
        with abandoned(work / LOCK) as is_free:
            if is_free:
                _remove(work, target)


def interrupted_replacement(target: Path) -> Path | None:
    """The older one that a killed `put_in_place` has moved aside; None where the target is there, or never was."""
    if target.exists():
        return None
    for work in _work_folders(target):
        with suppress(OSError):
            if (work / OLD).is_dir():
                return work / OLD
    return None


def _work_folders(target: Path) -> list[Path]:
    # As `tempfile.mkdtemp` names them.
    pattern = re.compile(rf"\.{re.escape(target.name)}\.[a-z0-9_]{{8}}")
    with suppress(OSError), os.scandir(target.parent) as entries:
        left = [entry for entry in entries if pattern.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False)]
        return sorted(Path(entry.path) for entry in left)
    return []


def _claimed_folder(target: Path) -> tuple[Path, int]:
    """A new work folder, and the descriptor that holds its lock."""
    while True:
        work = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
        with suppress(FileNotFoundError):  # another process may have swept it, as it was empty
            lock = os.open(work / LOCK, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
            if claim(work / LOCK, lock):
                return work, lock
            os.close(lock)


def _remove(work: Path, target: Path) -> None:
    """Remove a work folder, its lock last: without that nobody would know what it is."""
    if (work / OLD).exists() and not target.exists():
        return
    with suppress(OSError):
        (work / NEW).unlink()
    for name in (NEW, OLD):
        shutil.rmtree(work / name, ignore_errors=True)
    shutil.rmtree(work, ignore_errors=True)


def _replace_in_two_steps(work: Path, target: Path) -> None:
    target.rename(work / OLD)
    try:
        (work / NEW).rename(target)
    except BaseException:
        (work / OLD).rename(target)
        raise


def _exchange(first: Path, second: Path) -> bool:
    """Let two folders change places in one step; False where nothing was done because this system cannot."""
    if sys.platform != "linux":
        return False
    try:
        rename = ctypes.CDLL(None).renameat2
    except (OSError, AttributeError):
        return False
    rename.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint]
    answer: int = rename(_AT_FDCWD, os.fsencode(first), _AT_FDCWD, os.fsencode(second), _RENAME_EXCHANGE)
    return answer == 0
