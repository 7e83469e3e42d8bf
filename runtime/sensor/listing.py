"""The one rule of what lies in a folder: which files are scans, images or masks, and in which order they come.

Suffixes count in any case. Files and folders whose names begin with a dot never count: macOS puts one beside every
file it copies. The order is the natural one: part_2 comes before part_10.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import ScanError
from . import eyecandies
from .readers import DOUBTFUL_SUFFIXES, SUFFIXES

# TIFF images are read where they are named; in a folder such a file may as well be a scan.
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp")
# What file managers leave in every folder.
DEBRIS = ("thumbs.db", "desktop.ini")
# What inspections leave beside scans, of parts that had no name.
_RESULTS = ("_heatmap.png", "_result.json")
_ENDS_OF_STEM = re.compile("[._-]")
_NAMED = 3
_DIGITS = re.compile("([0-9]+)")


class SkippedFiles(UserWarning):
    """Files of a dataset that are left out because nothing here reads them."""


@dataclass(frozen=True)
class Kind:
    """What is searched for.

    Attributes:
        name: what messages call one of them.
        folder: the folder it has in the MVTec 3D-AD layout.
        suffixes: which files are of this kind.
        suffixes_in_folder: the same in that folder, where a TIFF can be no scan.
        doubtful: which files are of this kind if no others are, such as 16-bit PNG and points as TXT.
    """

    name: str
    folder: str
    suffixes: tuple[str, ...]
    suffixes_in_folder: tuple[str, ...]
    doubtful: tuple[str, ...] = ()


SCANS = Kind("scan", "xyz", SUFFIXES, SUFFIXES, DOUBTFUL_SUFFIXES)
IMAGES = Kind("image", "rgb", IMAGE_SUFFIXES, (*IMAGE_SUFFIXES, ".tif", ".tiff"))
MASKS = Kind("mask", "gt", IMAGES.suffixes, IMAGES.suffixes_in_folder)


def files_in(folder: Path, kind: Kind) -> list[Path]:
    """The files of a kind in a folder, in natural order; none where there is no such folder.

    A link that leads nowhere counts: reading it says so, whereas a part that is left out would be missed.
    In the kind's own folder every file must be one, or a warning counts the others. In a folder of Eyecandies a scan
    is a depth map, and an image is the one that `eyecandies.IMAGE` names.

    Raises:
        ScanError: the folder cannot be read, or two files of the kind's own folder belong to the same part.
    """
    files = visible(folder)[1]
    if whole(folder).name == kind.folder:
        return _of_own_folder(folder, files, kind)
    depth_maps = [file for file in files if eyecandies.is_depth_map(file)]
    if depth_maps and kind is IMAGES:
        images = (eyecandies.companion(depth, eyecandies.IMAGE) for depth in depth_maps)
        return [image for image in images if image.is_file()]
    return [file for file in files if file.suffix.lower() in kind.suffixes or (kind is SCANS and file in depth_maps)]


def doubtful_files_in(folder: Path, kind: Kind) -> list[Path]:
    """The files of a folder that may be of a kind and are often something else, in natural order.

    None in the folders that a dataset keeps another kind in.

    Raises:
        ScanError: the folder cannot be read.
    """
    if whole(folder).name in (SCANS.folder, IMAGES.folder, MASKS.folder):
        return []
    return [file for file in visible(folder)[1] if file.suffix.lower() in kind.doubtful]


def depth_maps_in(folder: Path) -> list[Path]:
    """The depth maps of Eyecandies in a folder, by number; empty if it is not such a folder.

    Raises:
        ScanError: the folder cannot be read.
    """
    return [file for file in visible(folder)[1] if eyecandies.is_depth_map(file)]


def left_out_of(folder: Path, found: Sequence[Path], kind: Kind) -> None:
    """Warn of the files of a folder that are not of a kind, and belong to none that is, where some are.

    A dataset's own folders count theirs when they are listed, see `files_in`.

    Raises:
        ScanError: the folder cannot be read.
    """
    if whole(folder).name == kind.folder or depth_maps_in(folder):
        return
    files = visible(folder)[1]
    if others := unrelated(files, found):
        _warn_of(folder, others, len(files), f"a {kind.name} ends in {', '.join(kind.suffixes)}; name it to use it")


def unrelated(files: Iterable[Path], scans: Iterable[Path]) -> list[Path]:
    """The files that are not scans and belong to none: registered images, masks, sidecars and results have its name.

    Example:
        >>> names = ["lid.ply", "lid.png", "lid_mask.png", "lid_2.json", "image.png"]
        >>> [path.name for path in unrelated(map(Path, names), [Path("lid.ply")])]
        ['image.png']
    """
    known = set(scans)
    stems = {(scan.parent, scan.stem) for scan in known}
    return [file for file in files if file not in known and not _belongs(file, stems)]


def _belongs(file: Path, stems: AbstractSet[tuple[Path, str]]) -> bool:
    """Whether a name is that of a scan with something behind it, or what file managers and results leave."""
    name = file.name
    if name.lower() in DEBRIS or name.endswith(_RESULTS):
        return True
    return any((file.parent, name[: at.start()]) in stems for at in _ENDS_OF_STEM.finditer(name))


def by_stem(files: Iterable[Path]) -> dict[str, Path]:
    """Files by their name without suffix, which is what the files of one part share."""
    return {file.stem: file for file in files}


def visible(folder: Path) -> tuple[list[Path], list[Path]]:
    """The folders in a folder, and everything else in it, in natural order; neither where there is no such folder.

    Raises:
        ScanError: the folder cannot be read.
    """
    try:
        with os.scandir(folder) as entries:
            shown = [(Path(entry.path), _is_folder(entry)) for entry in entries if not entry.name.startswith(".")]
    except (FileNotFoundError, NotADirectoryError):
        return [], []
    except (OSError, ValueError) as error:
        raise cannot_be_searched(folder, error) from error
    folders = natural_order(path for path, is_folder in shown if is_folder)
    return folders, natural_order(path for path, is_folder in shown if not is_folder)


def folders_below(folder: Path, complain: Callable[[Path, ScanError], None]) -> Iterator[Path]:
    """A folder and all visible ones below it, each once even where links lead in a circle.

    Args:
        folder: where to begin.
        complain: called with every folder that cannot be read, and why; the others go on.
    """
    entered: set[str] = set()
    waiting = [folder]
    while waiting:
        current = waiting.pop()
        real = os.path.realpath(current)
        if real in entered:
            continue
        entered.add(real)
        yield current
        try:
            waiting.extend(reversed(visible(current)[0]))
        except ScanError as error:
            complain(current, error)


def natural_order(paths: Iterable[Path]) -> list[Path]:
    """Paths sorted folder by folder, numbers in their names by value.

    Example:
        >>> [path.name for path in natural_order([Path("part_10.tiff"), Path("part_2.tiff")])]
        ['part_2.tiff', 'part_10.tiff']
    """
    return sorted(paths, key=lambda path: ([_natural(part) for part in path.parts], path.parts))


def is_folder(path: Path) -> bool:
    """Whether a path leads to a folder; a name that no system has, or a place out of reach, does not."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def whole(path: Path) -> Path:
    """The absolute path as it is written: links are not followed, so that a linked `xyz/` keeps its name."""
    return Path(os.path.normpath(path.absolute()))


def cannot_be_searched(path: Path | str, error: Exception) -> ScanError:
    """The error for a place that cannot be listed."""
    reason = getattr(error, "strerror", None) or str(error)
    return ScanError(f"{path}: cannot be searched: {reason}: check its permissions and the disk")


def _of_own_folder(folder: Path, files: Sequence[Path], kind: Kind) -> list[Path]:
    suffixes = kind.suffixes_in_folder
    if not any(file.suffix.lower() in suffixes for file in files):
        suffixes = (*suffixes, *kind.doubtful)
    wanted = [file for file in files if file.suffix.lower() in suffixes]
    _refuse_doubles(wanted, kind)
    others = [file for file in files if file.suffix.lower() not in suffixes and file.name.lower() not in DEBRIS]
    if others:
        _warn_of(folder, others, len(files), f"a {kind.name} ends in {', '.join(suffixes)}")
    return wanted


def _warn_of(folder: Path, others: Sequence[Path], count: int, rule: str) -> None:
    message = f"{folder}: {len(others)} of {count} files are left out ({some_names(others)}): {rule}"
    warnings.warn(message, SkippedFiles, stacklevel=3)


def some_names(files: Sequence[Path]) -> str:
    """The first of files by name, and whether there are more."""
    return ", ".join([*(file.name for file in files[:_NAMED]), *(["..."] if len(files) > _NAMED else [])])


def _refuse_doubles(files: Sequence[Path], kind: Kind) -> None:
    first = by_stem(reversed(files))
    for file in files:
        if first[file.stem] != file:
            raise ScanError(
                f"{first[file.stem]}: has the same name as {file.name} next to it, but a part has one {kind.name}: "
                "remove one of them, or rename it"
            )


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _natural(name: str) -> list[Any]:
    """Text and numbers by turns. Numbers are compared as text without zeros in front: they may be of any length."""
    pieces = _DIGITS.split(name)
    pieces[1::2] = [piece.lstrip("0") for piece in pieces[1::2]]
    return [(len(piece), piece) if number % 2 else piece for number, piece in enumerate(pieces)]
