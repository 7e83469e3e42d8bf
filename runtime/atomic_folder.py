"""A finished folder takes its name, in place of an older one: at every moment one of the two is there, whole."""

from __future__ import annotations

import ctypes
import os
import shutil
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from .atomic import sync_folder

_RENAME_EXCHANGE = 2
_AT_FDCWD = -100


def replace_folder(staging: Path, target: Path) -> None:
    """Rename a folder, in place of an older one of the target's name, which is removed.

    On Linux the two change places in one step. Where a system or disk cannot do that, the older one is moved aside
    first; `interrupted_replacement` finds it if the process is killed in between.

    Args:
        staging: a folder beside the target, on disk already.
        target: no link.

    Raises:
        OSError: the system refuses; the older folder is where it was.
    """
    if not target.exists():
        staging.rename(target)
    elif _exchange(staging, target):
        shutil.rmtree(staging, ignore_errors=True)
    else:
        _replace_in_two_steps(staging, target)
    sync_folder(target.parent)


def interrupted_replacement(target: Path) -> Path | None:
    """The older folder that a killed `replace_folder` has moved aside; None where the target is there, or never was."""
    if target.exists() or not target.parent.is_dir():
        return None
    with suppress(OSError):
        for place in sorted(target.parent.iterdir()):
            if place.name.startswith(f".{target.name}.old.") and (place / target.name).is_dir():
                return place / target.name
    return None


def _replace_in_two_steps(staging: Path, target: Path) -> None:
    aside = Path(tempfile.mkdtemp(prefix=f".{target.name}.old.", dir=target.parent))
    try:
        target.rename(aside / target.name)
        try:
            staging.rename(target)
        except BaseException:
            (aside / target.name).rename(target)
            raise
    finally:
        if target.exists():
            shutil.rmtree(aside, ignore_errors=True)


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
