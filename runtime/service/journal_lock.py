"""One process a journal, and the one that lies there: two would inspect the same files, another would know none."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

from ..errors import OutputError, UsageError
from ..files.atomic import naming_place
from ..files.ownership import claim


def hold_alone(path: Path) -> BinaryIO:
    """Hold a lock file for as long as what is returned is open; the system gives it up with the process.

    Raises:
        OutputError: the file cannot be made.
        UsageError: another process holds it.
    """
    with naming_place(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        stream = path.open("a+b")
    if not claim(path, stream.fileno()):
        stream.seek(0)
        holder = stream.read(32).decode(errors="replace").strip()
        stream.close()
        raise UsageError(
            f"{path.parent}: process {holder or 'another'} works in this folder already: stop it, or give another one"
        )
    try:
        stream.truncate(0)
        stream.write(f"{os.getpid()}\n".encode())
        stream.flush()
    except OSError as cause:
        stream.close()
        raise OutputError(f"{path}: cannot be written: {cause.strerror or cause}") from cause
    return stream


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
