"""Files that a controller may have inspected: those in one folder, and nothing else on the machine."""

from __future__ import annotations

from pathlib import Path, PurePosixPath, PureWindowsPath

from ...errors import ScanError, UsageError


def file_in(folder: Path, name: str) -> Path:
    """The file of a name in a folder, where it really lies.

    Args:
        folder: the only one that is looked into.
        name: of a file directly in it.

    Raises:
        UsageError: the name is a path, or leads out of the folder by a link.
        ScanError: there is no such file.
    """
    is_plain = name not in ("", ".", "..") and name.isprintable()
    if not is_plain or any(kind(name).name != name for kind in (PurePosixPath, PureWindowsPath)):
        raise UsageError(f"{name!r}: give the name of a file in the trigger folder, without a path")
    try:
        root = folder.resolve(strict=True)
        path = (root / name).resolve(strict=True)
    except (OSError, RuntimeError) as cause:
        raise ScanError(f"{name!r}: there is no such file in the trigger folder") from cause
    if not path.is_relative_to(root):
        raise UsageError(f"{name!r}: leads out of the trigger folder")
    if not path.is_file():
        raise ScanError(f"{name!r}: is not a file")
    return path
