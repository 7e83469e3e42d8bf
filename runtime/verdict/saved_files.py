"""Where a program saves the files of one inspection."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..errors import OutputError, UsageError
from ..files.json_encoding import escape_name

_MOST = 1_000_000
_FORBIDDEN = ("/", "\\", "\0")


@dataclass(frozen=True)
class SavedFiles:
    """The files of one inspection.

    Attributes:
        heatmap: the picture, PNG.
        map: the raw map, float32 TIFF.
        result: the verdict, JSON.
        cloud: the colored points, PLY; None if it was not requested.
    """

    heatmap: Path
    map: Path
    result: Path
    cloud: Path | None


def saved_files(folder: Path, name: str | None, cloud: bool) -> SavedFiles:
    """The files that an inspection is saved to.

    Args:
        folder: need not exist yet.
        name: how the files' names begin; slashes become underscores. None: the first of part_0001, ... that is free.
        cloud: whether a cloud is saved too.

    Raises:
        UsageError: the name is empty.
        OutputError: no name is free.

    Example:
        >>> saved_files(Path("results"), "lot 3/7", False).map.as_posix()
        'results/lot 3_7_map.tiff'
    """
    stem = _free_stem(folder) if name is None else _as_stem(name)
    cloud_file = folder / f"{stem}_cloud.ply" if cloud else None
    return SavedFiles(
        folder / f"{stem}_heatmap.png", folder / f"{stem}_map.tiff", folder / f"{stem}_result.json", cloud_file
    )


def _as_stem(name: str) -> str:
    stem = escape_name(name)
    for character in _FORBIDDEN:
        stem = stem.replace(character, "_")
    if not stem.strip():
        raise UsageError(f"name {name!r}: give the files a nonempty name")
    return stem


def _free_stem(folder: Path) -> str:
    for number in range(1, _MOST):
        stem = f"part_{number:04d}"
        if not (folder / f"{stem}_result.json").exists():
            return stem
    raise OutputError(f"{folder}: holds {_MOST - 1} parts without a name: give a name or a part ID")
