"""A hot folder is one line's alone: of two that take its scans, each would give every scan a result of its own.

The lock file also tells whether the folder is still the one that was there at the start: where a share is no longer
mounted, an empty folder of the same name remains, and what lay in the share must not count as gone.
"""

from __future__ import annotations

import logging
import os
import threading
from dataclasses import dataclass, field
from pathlib import Path

from ...errors import OutputError, UsageError
from ..journal_lock import Held, hold_alone, identity_of

LOCK = ".cmdiad-line.lock"
WHY_ALONE = " and takes its scans, so that each would get two results"

_log = logging.getLogger("cmdiad.line")


@dataclass
class FolderHold:
    """The hold on one folder; several hot folders of one line share it.

    Attributes:
        folder: what is held.
        is_sure: whether no other line can take its scans too; None: it is not held yet.
    """

    folder: Path
    is_sure: bool | None = None
    _held: Held | None = None
    _identity: tuple[int, int] | None = None
    _is_wanted: bool = False
    _was_mounted: bool = False
    _told: set[str] = field(default_factory=set)
    # Of several hot folders each has a thread of its own.
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self) -> None:
        """Hold the folder from now on, if it is there; else as soon as it is.

        Raises:
            UsageError: another line holds it.
        """
        with self._lock:
            self._is_wanted = True
            if self.folder.is_dir() and not self._is_in_place():
                self._hold()

    def release(self) -> None:
        """Let another line have the folder."""
        with self._lock:
            self._is_wanted = False
            self._let_go()

    def problem(self) -> str | None:
        """Why what was just listed is not to be taken; None: it may be.

        A folder that was made anew is held anew.
        """
        with self._lock:
            is_mounted = os.path.ismount(self.folder.resolve())
            if self._was_mounted and not is_mounted:
                return f"{self.folder}: nothing is mounted here any more: mount it again"
            self._was_mounted = is_mounted
            if self._is_wanted and not self._is_in_place():
                try:
                    self._hold()
                except UsageError as error:
                    return str(error)
        return None

    def _is_in_place(self) -> bool:
        if self._held is None:
            return self.is_sure is False
        try:
            return identity_of(self.folder / LOCK) == self._identity
        except OSError:
            return False

    def _hold(self) -> None:
        """Hold the folder, or say that nobody can tell whether another line does.

        Raises:
            UsageError: another line holds it.
        """
        self._let_go()
        path = self.folder / LOCK
        try:
            self._held = hold_alone(path, WHY_ALONE)
            self._identity = identity_of(path)
        except (OutputError, OSError) as error:
            self.is_sure = False
            self._tell(str(error))
            return
        self.is_sure = self._held.is_sure
        if not self.is_sure:
            self._tell(f"{path}: files cannot be locked on this system or disk")

    def _tell(self, why: str) -> None:
        if why not in self._told:
            self._told.add(why)
            _log.warning("%s: so it is not certain that no other line takes the scans of this folder too", why)

    def _let_go(self) -> None:
        if self._held is not None:
            self._held.close()
        self._held, self._identity, self.is_sure = None, None, None
