"""Where scans and images are found: what files, folders and globs stand for."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import ScanError
from ..readers import SUFFIXES

SCAN_SUFFIXES = SUFFIXES
# TIFF images are read where they are named; in a folder such a file may as well be a scan.
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp")
_GLOB_CHARACTERS = "*?["


def find_scans(paths: Sequence[str | Path]) -> list[Path]:
    """The scan files that files, folders and globs stand for, sorted, each once.

    A folder stands for the scans in it; where there are none, for those in its `xyz/`; where there is none,
    for those in every `xyz/` below. A named file counts whatever it is called,
    even if it is missing, and so does one that a glob matches.

    Raises:
        ScanError: a folder or glob stands for nothing, or a folder cannot be read.
    """
    return _find(paths, _Kind("scan", SCAN_SUFFIXES, "xyz"))


def find_images(paths: Sequence[str | Path]) -> list[Path]:
    """As `find_scans`, the image files, which lie in `rgb/`.

    Raises:
        ScanError: a folder or glob stands for nothing, or a folder cannot be read.
    """
    return _find(paths, _Kind("image", IMAGE_SUFFIXES, "rgb"))


@dataclass(frozen=True)
class _Kind:
    """What is searched for: its name, suffixes, and the folder it has in the MVTec 3D-AD layout."""

    name: str
    suffixes: tuple[str, ...]
    folder: str


def _find(paths: Sequence[str | Path], kind: _Kind) -> list[Path]:
    found: dict[str, Path] = {}
    for path in paths:
        try:
            matches = {os.path.realpath(match): match for match in _matches(str(path), kind)}
        except (OSError, ValueError) as error:
            # ValueError: a null byte in the name.
            raise ScanError(f"{path}: cannot be searched: {error}") from error
        if not matches:
            raise ScanError(f"{path}: {_nothing_found(Path(path), kind)}")
        found = matches | found
    if not found:
        raise ScanError(f"no {kind.name} was named: give files, folders or globs")
    return sorted(found.values())


def _matches(path: str, kind: _Kind) -> Iterator[Path]:
    if os.path.lexists(path) or not _is_pattern(Path(path)):
        yield from _expanded(Path(path), kind)
        return
    # Path.glob takes no absolute pattern.
    for match in glob.iglob(path, recursive=True):  # noqa: PTH207
        yield from _expanded(Path(match), kind)


def _expanded(path: Path, kind: _Kind) -> Iterator[Path]:
    if path.is_dir():
        yield from _files_in(path, kind) or _files_in(path / kind.folder, kind) or _files_below(path, kind)
    elif not _is_pattern(path):
        # A named file that is missing is an error of that scan alone, met when it is read.
        yield path


def _files_in(folder: Path, kind: _Kind) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(
        entry
        for entry in folder.iterdir()
        if entry.suffix.lower() in kind.suffixes and not entry.name.startswith(".") and entry.is_file()
    )


def _files_below(folder: Path, kind: _Kind) -> list[Path]:
    folders = [Path(root) for root, _, _ in os.walk(folder) if Path(root).name == kind.folder]
    return [file for below in folders for file in _files_in(below, kind)]


def _nothing_found(path: Path, kind: _Kind) -> str:
    suffixes = ", ".join(kind.suffixes)
    if path.is_dir():
        folder = kind.folder
        return f"there is no {kind.name} ({suffixes}) in this folder, in its {folder}/ or in any {folder}/ below it"
    return "no file matches this pattern"


def _is_pattern(path: Path) -> bool:
    return not os.path.lexists(path) and any(character in str(path) for character in _GLOB_CHARACTERS)
