"""Files move and are copied whole: under their new name there is never a half of one."""

from __future__ import annotations

import shutil
from pathlib import Path

from ..errors import OutputError
from .atomic import atomic_write, naming_place

_PIECE = 1 << 20


def move_file(path: Path, target: Path) -> None:
    """Move a file, onto another disk too: it is never gone from both places.

    Raises:
        OutputError: it cannot be moved.
    """
    with naming_place(target):
        target.parent.mkdir(parents=True, exist_ok=True)
    try:
        path.replace(target)
    except OSError:
        copy_file(path, target)
        with naming_place(path):
            path.unlink(missing_ok=True)


def copy_file(path: Path, target: Path) -> None:
    """Copy a file's content.

    Raises:
        OutputError: it cannot be read, or its copy not be written.
    """
    try:
        with path.open("rb") as source, atomic_write(target) as copy:
            shutil.copyfileobj(source, copy, _PIECE)
    except OSError as error:
        raise OutputError(f"{path}: cannot be read: {error.strerror or error}") from error
