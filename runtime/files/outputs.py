"""Where an inspection's files go: a name that depends on the scan alone, so that no two scans share one."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

# Folders of a dataset's layout, which say nothing of the scans in them.
_LAYOUT_FOLDERS = ("xyz", "rgb")
_DIGEST_CHARACTERS = 8


@dataclass(frozen=True)
class OutputPaths:
    """The files of one inspection."""

    heatmap: Path
    map: Path
    cloud: Path


def output_paths(out: Path, scan: Path, part: int | None = None) -> OutputPaths:
    """The files of a scan below the output folder, or those of one of its parts.

    The folder is the scan's own, told apart by a digest of where it lies; the file's whole name is kept, suffix
    included. So `a.tiff`, `a.ply` and `a.tiff.npy` differ, and so do equal names of two folders, in one run or in
    several; only the same scan, inspected again, replaces its own files.

    Example:
        >>> output_paths(Path("out"), Path("/data/gland/test/dent/xyz/000.tiff")).map.as_posix()
        'out/dent-76db2d7b/000.tiff_map.tiff'
    """
    absolute = Path(os.path.abspath(scan))  # noqa: PTH100 - a link is a scan of its own, and is not followed
    folder = out / f"{_spoken_name(absolute.parent)}-{_digest(absolute.parent)}"
    stem = scan.name if part is None else f"{scan.name}_part{part}"
    heatmap, raw, cloud = (folder / f"{stem}{end}" for end in ("_heatmap.png", "_map.tiff", "_cloud.ply"))
    return OutputPaths(heatmap, raw, cloud)


def _spoken_name(folder: Path) -> str:
    """What tells the folder to a person: its name, or its parent's where the layout gives it."""
    named = folder.parent if folder.name in _LAYOUT_FOLDERS else folder
    return named.name or "root"


def _digest(folder: Path) -> str:
    return hashlib.sha256(os.fsencode(folder)).hexdigest()[:_DIGEST_CHARACTERS]
