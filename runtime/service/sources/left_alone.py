"""What is in a hot folder and not inspected: each new name is reported once, and how many there are now."""

from __future__ import annotations

import heapq
import logging
import os
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...sensor.listing import DEBRIS

_log = logging.getLogger("cmdiad.line")

_TEMPORARY = (".part", ".partial", ".tmp", ".temp", ".crdownload", ".filepart", "~")
# What systems and file servers put into every folder.
_DEBRIS = frozenset((*DEBRIS, "lost+found", "system volume information", "$recycle.bin", "@eadir", "#recycle"))
# Whoever writes under another name first has renamed the file by then.
_PATIENCE_SECONDS = 2.0
_NAMED_AT_ONCE = 20
_NAMED_IN_STATUS = 5

LINK = "it is a link, and only files are inspected: copy or move scans here"
FOLDER = "it is a folder: set recursive = true (watch: --recursive) if scans arrive in it"
NO_FILE = "it is not a file"


@dataclass(frozen=True)
class Listed:
    """What a hot folder holds at one moment.

    Attributes:
        scans: the files that are scans, by name relative to the folder.
        others: why each of the others is not inspected, by name; without what is hidden, partial or debris.
    """

    scans: dict[str, os.stat_result]
    others: dict[str, str]


def list_folder(folder: Path, recursive: bool, suffixes: tuple[str, ...], own: Collection[str]) -> Listed:
    """List a hot folder.

    Args:
        folder: it may be a link itself; links in it are not followed.
        recursive: whether folders below count.
        suffixes: of scans, lower case.
        own: real paths of folders that the line itself uses, of which nothing is said.

    Raises:
        OSError: it cannot be listed.
    """
    listed = Listed({}, {})
    for entry in _entries(folder, recursive, own):
        name = os.path.relpath(entry.path, folder).replace(os.sep, "/")
        why = _not_a_scan(entry, suffixes)
        if why is None:
            try:
                listed.scans[name] = entry.stat(follow_symlinks=False)
            except FileNotFoundError:  # moved on while the folder was listed
                continue
        else:
            listed.others[name] = why
    return listed


def _entries(folder: Path, recursive: bool, own: Collection[str]) -> Iterator[os.DirEntry[str]]:
    """Everything that is not hidden, partial or debris, and no folder that is looked into."""
    waiting = [os.fspath(folder)]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                lower = entry.name.lower()
                if lower.startswith(".") or lower.endswith(_TEMPORARY) or lower in _DEBRIS:
                    continue
                if not entry.is_dir(follow_symlinks=False):
                    yield entry
                elif recursive:
                    waiting.append(entry.path)
                elif os.path.realpath(entry.path) not in own:
                    yield entry


def _not_a_scan(entry: os.DirEntry[str], suffixes: tuple[str, ...]) -> str | None:
    """Why something is not inspected; None: it is."""
    if entry.is_symlink():
        return LINK
    if entry.is_dir():
        return FOLDER
    if not entry.is_file():
        return NO_FILE
    if not entry.name.lower().endswith(suffixes):
        return f"names of scans end in {', '.join(suffixes)}"
    return None


@dataclass
class LeftAlone:
    """What of one hot folder is known to be left alone.

    Attributes:
        source: the hot folder's name.
        was_taken: whether a scan of a name, behind which a suffix may come, was there before and was accepted.
    """

    source: str
    was_taken: Callable[[str], bool]
    _since: dict[str, float] = field(default_factory=dict)
    _said: set[str] = field(default_factory=set)
    _of_taken: set[str] = field(default_factory=set)
    # Computed once a listing: the line's status is asked for from other threads, and often.
    _shown: tuple[int, list[str]] = (0, [])

    def hear(self, listed: Listed, now: float, patience: float = 0.0) -> None:
        """Say every name that has lain there for a while and was not said yet.

        A file that goes with a scan, as an image or a description of the same name, is not one of them, even if the
        scan was moved or deleted since.

        Args:
            listed: what the folder holds.
            now: seconds of a clock that never goes back.
            patience: how long it takes until a file counts as written, seconds.

        Raises:
            OutputError: the journal, which knows the scans that were accepted, cannot be read.
        """
        others = _without_companions(listed)
        self._since = {name: self._since.get(name, now) for name in others}
        self._said.intersection_update(others)
        self._of_taken.intersection_update(others)
        enough = max(patience, _PATIENCE_SECONDS)
        old = sorted(name for name, since in self._since.items() if now - since >= enough and self._is_new(name))
        self._of_taken.update(name for name in old if _may_go_with_a_scan(others[name]) and self.was_taken(_stem(name)))
        new = [name for name in old if name not in self._of_taken]
        for name in new[:_NAMED_AT_ONCE]:
            _log.warning("folder %r: %s is left alone: %s", self.source, name, others[name])
        if len(new) > _NAMED_AT_ONCE:
            _log.warning("folder %r: %d more are left alone", self.source, len(new) - _NAMED_AT_ONCE)
        self._said.update(new)
        self._shown = (len(self._said), heapq.nsmallest(_NAMED_IN_STATUS, self._said))

    def _is_new(self, name: str) -> bool:
        return name not in self._said and name not in self._of_taken

    def as_json(self) -> dict[str, Any]:
        """How many lie there now, and the names of a few."""
        count, names = self._shown
        return {"count": count, "names": names}

    def problem(self) -> str | None:
        """The same in words; None: nothing is left alone."""
        count, names = self._shown
        if not count:
            return None
        more = f" and {count - len(names)} more" if count > len(names) else ""
        return f"folder {self.source!r}: left alone, not inspected: {', '.join(names)}{more}: the log says why"


def _without_companions(listed: Listed) -> dict[str, str]:
    if not listed.others:
        return {}
    scans = set(listed.scans) | {_stem(name) for name in listed.scans}
    return {
        name: why for name, why in listed.others.items() if not _may_go_with_a_scan(why) or _stem(name) not in scans
    }


def _may_go_with_a_scan(why: str) -> bool:
    return why not in (LINK, FOLDER)


def _stem(name: str) -> str:
    return name.rpartition(".")[0]
