"""One process per folder and its journal: two would inspect the same files, each without knowing of the other."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ..errors import OutputError, UsageError
from ..files.atomic import naming_place
from ..files.ownership import claimed

_LONGEST_HOLDER = 300


@dataclass(frozen=True)
class Held:
    """A lock file that this process holds until it is closed, or until the process ends.

    Attributes:
        stream: the open file.
        is_sure: whether no other process can hold it too; on some systems and disks there are no locks.
    """

    stream: BinaryIO
    is_sure: bool

    def close(self) -> None:
        """Let another process have it."""
        self.stream.close()


def hold_alone(path: Path, why: str = "") -> Held:
    """Hold a lock file for as long as what is returned is open; the system gives it up with the process.

    Args:
        path: the file; its folder is created if it is missing.
        why: what two would do there, as the end of a sentence.

    Raises:
        OutputError: the file cannot be made.
        UsageError: another process holds it.
    """
    with naming_place(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    stream, is_held = _opened(path)
    if is_held is False:
        with stream:
            raise _refusal(path, _holder(stream), why)
    try:
        stream.truncate(0)
        # A share is seen by several machines.
        stream.write(f"{os.getpid()} on {socket.gethostname()}\n".encode())
        stream.flush()
    except OSError as cause:
        stream.close()
        raise OutputError(f"{path}: cannot be written: {cause.strerror or cause}") from cause
    return Held(stream, is_held is True)


def require_free(path: Path, why: str = "") -> None:
    """Refuse a journal that another process holds; nothing is created or written, and a missing one is free.

    Raises:
        UsageError: another process holds it.
    """
    if holder := holder_of(path):
        raise _refusal(path, holder, why)


def holder_of(path: Path) -> str | None:
    """The process that holds a lock file, as messages name it; None where none does. Nothing is created or written."""
    if path.exists():
        with suppress(OutputError):  # a file that cannot be written: its disk says so where it is opened
            stream, is_held = _opened(path)
            with stream:
                return _holder(stream) if is_held is False else None
    return None


def _opened(path: Path) -> tuple[BinaryIO, bool | None]:
    """A lock file, and whether this process has it now: see `claimed`."""
    with naming_place(path):
        stream = path.open("a+b")
    return stream, claimed(path, stream.fileno())


def _holder(stream: BinaryIO) -> str:
    stream.seek(0)
    return stream.read(_LONGEST_HOLDER).decode(errors="replace").strip() or "another"


def _refusal(path: Path, holder: str, why: str) -> UsageError:
    return UsageError(
        f"{path.parent}: process {holder} works in this folder already{why}: stop it, or give another one"
    )


def identity_of(path: Path) -> tuple[int, int]:
    """What a file keeps for as long as it is the same one, whatever is written to it.

    Raises:
        OSError: it is not there.
    """
    status = path.stat()
    return status.st_dev, status.st_ino


def require_in_place(path: Path, identity: tuple[int, int]) -> None:
    """Refuse to go on with a file that was taken from its place: what is written to it then is lost.

    Raises:
        OutputError: another file lies there, or none.
    """
    try:
        is_there = identity_of(path) == identity
    except OSError:
        is_there = False
    if not is_there:
        raise OutputError(
            f"{path}: was moved, removed or replaced while the line worked: put it back, and start the line again"
        )
