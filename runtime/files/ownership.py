"""Whether a file's maker still lives: it holds a lock on the file, which the system gives up with the process.

Unlike a process's number such a lock means the same in every container that sees the file. Where there are none, as on
Windows and some network disks, nobody can tell, and nothing counts as abandoned.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType

fcntl: ModuleType | None
try:
    import fcntl
except ImportError:
    fcntl = None

CAN_TELL = fcntl is not None


def claim(path: Path, descriptor: int) -> bool:
    """Hold a file that was just made, for as long as the descriptor or a copy of it is open.

    Returns:
        False where it was taken for abandoned before it was held, and is gone: make another.
    """
    return claimed(path, descriptor) is not False


def claimed(path: Path, descriptor: int) -> bool | None:
    """Hold a file, and say whether that is so: False where another holds it, or it is gone; None where nobody can tell.

    Nobody can where there are no locks, as on Windows and some network disks.
    """
    if fcntl is None:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


@contextmanager
def kept(descriptor: int) -> Iterator[None]:
    """Hold a claimed file until the block ends, though its descriptor be closed before."""
    # Where nothing is held, a copy would only keep the file from being renamed.
    copy = None if fcntl is None else os.dup(descriptor)
    try:
        yield
    finally:
        if copy is not None:
            os.close(copy)


@contextmanager
def abandoned(path: Path) -> Iterator[bool]:
    """Whether nobody holds a file; nobody can while the block runs."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except OSError:
        yield False
        return
    try:
        yield _is_free(descriptor)
    finally:
        os.close(descriptor)


def _is_free(descriptor: int) -> bool:
    if fcntl is None:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


@contextmanager
def locked(descriptor: int) -> Iterator[None]:
    """Wait until no other process holds a file, and hold it while the block runs; where there are no locks, go on."""
    if fcntl is not None:
        with suppress(OSError):  # some network disks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        yield
    finally:
        if fcntl is not None:
            with suppress(OSError):
                fcntl.flock(descriptor, fcntl.LOCK_UN)
