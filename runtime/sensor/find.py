"""Which scans or images files, folders and patterns stand for."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ..errors import ScanError, all_of
from .listing import (
    SCANS,
    Kind,
    cannot_be_searched,
    depth_maps_in,
    doubtful_files_in,
    files_in,
    folders_below,
    is_folder,
    left_out_of,
    natural_order,
)

_GLOB_CHARACTERS = "*?["
_ANY_DEPTH = re.compile(r"(?:^|(?<=[/\\]))\*\*(?:[/\\]|$)")


@dataclass(frozen=True)
class Problem:
    """A path that could not be searched or stands for nothing, and why; the error names the path."""

    path: Path
    error: ScanError


@dataclass(frozen=True)
class Found:
    """What paths stand for.

    Attributes:
        files: in natural order, each once.
        problems: the paths, and the folders below them, that could not be searched or stand for nothing.
    """

    files: list[Path]
    problems: list[Problem]

    def require(self) -> list[Path]:
        """The files, where all of them are needed.

        Raises:
            ScanError: there are problems; it names them.
        """
        if self.problems:
            raise all_of([problem.error for problem in self.problems], len(self.files) + len(self.problems))
        return self.files


def find_files(paths: Sequence[str | Path], kind: Kind) -> Found:
    """The files of a kind that files, folders and patterns stand for.

    A folder stands for the files in it; without any, for those in its `xyz/` (or `rgb/`); without any there, for those
    in every such folder below it, and in Eyecandies' folders; failing that, for files in it that may be of the kind but
    are often something else, such as PNG and TXT for scans. A named file counts whatever it is called, even if it is
    missing, and so does one that a pattern matches. A path that stands for nothing does not stop the others.

    Raises:
        ScanError: no path was given.
    """
    if not paths:
        raise ScanError(f"no {kind.name} was named: give files, folders or globs")
    files: dict[str, Path] = {}
    problems: list[Problem] = []
    for path in paths:
        known = len(problems)
        try:
            matches = {os.path.realpath(file): file for file in _files_of(str(path), kind, problems)}
        except (OSError, ValueError) as error:
            # ValueError: a null byte in the name.
            problems.append(Problem(Path(path), cannot_be_searched(path, error)))
            continue
        if not matches and len(problems) == known:
            problems.append(Problem(Path(path), ScanError(f"{path}: {_nothing_found(Path(path), kind)}")))
        files = matches | files
    return Found(natural_order(files.values()), problems)


def find_scans(paths: Sequence[str | Path]) -> list[Path]:
    """The scan files that files, folders and patterns stand for, in natural order, each once; see `find_files`.

    Raises:
        ScanError: a path stands for nothing, or a folder cannot be read.
    """
    return find_files(paths, SCANS).require()


def _files_of(path: str, kind: Kind, problems: list[Problem]) -> Iterator[Path]:
    for match in _matches(path, problems) if _is_pattern(path) else [path]:
        if not is_folder(Path(match)):
            # A named file that is missing is an error of that scan alone, met when it is read.
            yield Path(match)
            continue
        try:
            files = _files_of_folder(Path(match), kind, problems)
            for folder in dict.fromkeys(file.parent for file in files):
                left_out_of(folder, files, kind)
            yield from files
        except ScanError as error:
            _note(problems, Path(match), error)


def _matches(pattern: str, problems: list[Problem]) -> Iterator[str]:
    """Like `glob.iglob`, but that one's `**` follows links in circles and passes over folders that it cannot read."""
    any_depth = _ANY_DEPTH.search(pattern)
    if any_depth is None:
        # Path.glob takes no absolute pattern.
        yield from glob.iglob(pattern)  # noqa: PTH207
        return
    before, after = pattern[: any_depth.start()], pattern[any_depth.end() :] or "*"
    for top in glob.iglob(before) if before else [""]:  # noqa: PTH207
        for folder in folders_below(Path(top), partial(_note, problems)):
            yield from _matches(os.path.join(glob.escape(str(folder)), after), problems)  # noqa: PTH118


def _files_of_folder(folder: Path, kind: Kind, problems: list[Problem]) -> list[Path]:
    return (
        files_in(folder, kind)
        or files_in(folder / kind.folder, kind)
        or _files_below(folder, kind, problems)
        or doubtful_files_in(folder, kind)
    )


def _files_below(folder: Path, kind: Kind, problems: list[Problem]) -> list[Path]:
    below = folders_below(folder, partial(_note, problems))
    return [file for place in below for file in _own_files(place, kind, problems)]


def _own_files(folder: Path, kind: Kind, problems: list[Problem]) -> list[Path]:
    """The files of a folder that a dataset keeps this kind in; none of any other folder."""
    try:
        return files_in(folder, kind) if folder.name == kind.folder or depth_maps_in(folder) else []
    except ScanError as error:
        _note(problems, folder, error)
        return []


def _note(problems: list[Problem], path: Path, error: ScanError) -> None:
    """Keep one problem a path."""
    if all(problem.path != path for problem in problems):
        problems.append(Problem(path, error))


def _nothing_found(path: Path, kind: Kind) -> str:
    if is_folder(path):
        suffixes, folder = ", ".join((*kind.suffixes, *kind.doubtful)), kind.folder
        return f"there is no {kind.name} ({suffixes}) in this folder, in its {folder}/ or in any {folder}/ below it"
    return "no file matches this pattern"


def _is_pattern(path: str | Path) -> bool:
    """Whether a path is a pattern of names: a file may be called like one."""
    return not os.path.lexists(path) and any(character in str(path) for character in _GLOB_CHARACTERS)
