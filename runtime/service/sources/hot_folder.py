"""A hot folder: every scan that is completely written into it is accepted once, in the order of their ages.

The folder is listed every so often, which also works on network drives, where nobody is told of changes; where
`watchfiles` is installed and the system tells, a change is looked at at once.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from ...choices import After
from ...errors import OutputError
from ...files.atomic import naming_place
from ...files.moving import move_file
from ...sensor.listing import natural_order, some_names, unrelated
from ..arrival import Arrival, FileVersion
from ..journal import Journal
from ..result_files import file_stem

_log = logging.getLogger("cmdiad.line")
# A folder that takes long to list is listed the less often.
_MOST_SHARE_OF_TIME = 0.2
_TEMPORARY = (".part", ".partial", ".tmp", ".temp", ".crdownload", ".filepart", "~")


@dataclass(frozen=True)
class FolderSettings:
    """A hot folder of the line file; see `line_file.FolderTable`.

    Attributes:
        name: of the source.
        path: the folder.
        rejected: where files go that could not be inspected, unless they are left.
        suffixes: of the files that are scans, lower case.
        product: what inspects them; None: the first product.
        recursive: whether folders below count.
        after: what happens to a file that has its result.
        done: where files are moved to then.
        settle_seconds: how long size and time of a file must not change before it counts as written.
        poll_seconds: how often the folder is listed.
        skips_existing: whether files that are there at the very first start are left out.
    """

    name: str
    path: Path
    rejected: Path
    suffixes: tuple[str, ...]
    product: str | None = None
    recursive: bool = False
    after: After = "leave"
    done: Path | None = None
    settle_seconds: float = 0.5
    poll_seconds: float = 1.0
    skips_existing: bool = False


@dataclass
class HotFolder:
    """One hot folder at work on a thread of its own.

    Attributes:
        settings: what was asked.
        journal: where arrivals are numbered and kept.
        accepted: called when there are new ones.
        failed: called with what ends the thread before its time.
        problem: why the folder cannot be listed now; None: it can.
    """

    settings: FolderSettings
    journal: Journal
    accepted: Callable[[], None]
    failed: Callable[[Exception], None]
    problem: str | None = None
    _unsettled: dict[str, tuple[FileVersion, float]] = field(default_factory=dict)
    _known: dict[str, FileVersion] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _stop: threading.Event = field(default_factory=threading.Event)
    _changed: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Of the source."""
        return self.settings.name

    def start(self) -> None:
        """Take up what the journal knows of the folder, and look into it from now on.

        Raises:
            OutputError: the journal cannot be read or written.
        """
        self._known = self.journal.known_files(self.name)
        for version, number, is_rejected in self.journal.finished_files(self.name):
            self.finished(version, number, is_rejected)
        note = f"folder {self.name} began"
        if self.settings.skips_existing and self.journal.note(note) is None:
            self._skip_existing()
        self.journal.keep_notes({note: str(self.settings.path)})
        self._tell_left_out()
        self._threads = [threading.Thread(target=self._look_again, name=f"folder {self.name}", daemon=True)]
        self._threads += [threading.Thread(target=self._be_told, name=f"told {self.name}", daemon=True)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Accept nothing more."""
        self._stop.set()
        self._changed.set()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join()

    def finished(self, version: FileVersion, number: int, is_rejected: bool) -> None:
        """A file has its result: move it or delete it, where that was asked.

        One that could not be inspected is never deleted. It is moved as it is: whoever still writes it writes on there.

        Raises:
            OutputError: it cannot be moved, or the journal cannot be written.
        """
        path = self.settings.path / version.name
        if self.settings.after == "leave" or _version_of(path, version.name) != version:
            return
        if is_rejected:
            try:
                move_file(path, self.settings.rejected / Path(file_stem(number, version.name, 0.0)).name)
            except OutputError as error:
                _log.warning("folder %s: %s was rejected and stays where it is: %s", self.name, path, error)
                return
        elif self.settings.after == "delete":
            with naming_place(path), suppress(FileNotFoundError):
                path.unlink()
        else:
            done = self.settings.done or default_done(self.settings.path)
            move_file(path, done / f"{number:06d}_{path.name}")
        with self._lock:
            self.journal.forget_files(self.name, [version.name])
            self._known.pop(version.name, None)

    def look(self, now: float | None = None) -> int:
        """List the folder once and accept what is completely written: how many files.

        Args:
            now: seconds of a clock that never goes back; None: this moment.

        Raises:
            OutputError: the journal cannot be written.
        """
        now = time.monotonic() if now is None else now
        listed = self._listed()
        if listed is None:
            return 0
        with self._lock:
            return self._take(listed, now)

    def _take(self, listed: dict[str, FileVersion], now: float) -> int:
        gone = [name for name in self._known if name not in listed]
        if gone:
            self.journal.forget_files(self.name, gone)
            for name in gone:
                del self._known[name]
        settled = [version for version in self._new(listed) if self._has_settled(version, now)]
        self._unsettled = {name: kept for name, kept in self._unsettled.items() if name in listed}
        if settled:
            self._accept(_by_age(settled))
        return len(settled)

    def _accept(self, versions: list[FileVersion]) -> None:
        self.journal.accept([self._arrival(version) for version in versions])
        for version in versions:
            self._known[version.name] = version
            self._unsettled.pop(version.name, None)
        self.accepted()

    def _arrival(self, version: FileVersion) -> Arrival:
        path = self.settings.path / version.name
        return Arrival(self.name, version.name, path, product=self.settings.product, version=version)

    def _new(self, listed: dict[str, FileVersion]) -> Iterator[FileVersion]:
        return (version for name, version in listed.items() if self._known.get(name) != version)

    def _has_settled(self, version: FileVersion, now: float) -> bool:
        if not self.settings.settle_seconds:
            return True
        before, since = self._unsettled.get(version.name, (None, now))
        if before != version:
            self._unsettled[version.name] = (version, now)
            return False
        return now - since >= self.settings.settle_seconds

    def _listed(self) -> dict[str, FileVersion] | None:
        """Every scan below the folder; None where it cannot be listed, which is tried again."""
        listed: dict[str, FileVersion] = {}
        try:
            for entry in _files_below(self.settings.path, self.settings.recursive):
                name = os.path.relpath(entry.path, self.settings.path).replace(os.sep, "/")
                if _is_scan(entry.name, self.settings.suffixes):
                    with suppress(FileNotFoundError):  # moved on while the folder was listed
                        status = entry.stat()
                        listed[name] = FileVersion(name, status.st_size, status.st_mtime_ns)
        except OSError as error:
            self.problem = f"{self.settings.path}: cannot be listed: {error.strerror or error}: trying again"
            return None
        self.problem = None
        return listed

    def _skip_existing(self) -> None:
        for version in (self._listed() or {}).values():
            self._known[version.name] = version
        self.journal.skip_files(self.name, self._known.values())

    def _tell_left_out(self) -> None:
        """Say once what lies in the folder at the start and is never inspected."""
        try:
            names = (os.fspath(entry.path) for entry in _files_below(self.settings.path, self.settings.recursive))
            files = [Path(name) for name in names if not name.lower().endswith(_TEMPORARY)]
        except OSError:
            return  # the first look says so
        scans = [file for file in files if _is_scan(file.name, self.settings.suffixes)]
        others = natural_order(unrelated(files, scans))
        if others:
            rule = f"a scan ends in {', '.join(self.settings.suffixes)}"
            left_out = f"{len(others)} of {len(files)} files are left out ({some_names(others)})"
            _log.warning("folder %s: %s: %s", self.settings.path, left_out, rule)

    def _look_again(self) -> None:
        try:
            self._look_until_stopped()
        except Exception as error:
            self.failed(error)

    def _look_until_stopped(self) -> None:
        while not self._stop.is_set():
            begin = time.monotonic()
            self._changed.clear()
            self.look(begin)
            took = time.monotonic() - begin
            pause = self.settings.settle_seconds / 2 if self._unsettled else self.settings.poll_seconds
            # Told of a change or not, listing must not be all that this machine does.
            self._stop.wait(took / _MOST_SHARE_OF_TIME)
            self._changed.wait(max(pause, 0.01))

    def _be_told(self) -> None:
        """Wake the listing whenever the system tells of a change."""
        try:
            from watchfiles import watch
        except ImportError:
            return
        with suppress(OSError, RuntimeError):  # what the system does not watch is listed every so often all the same
            for _ in watch(
                self.settings.path,
                stop_event=self._stop,
                debounce=50,
                step=10,
                recursive=self.settings.recursive,
                raise_interrupt=False,
                ignore_permission_denied=True,
            ):
                self._changed.set()


def default_done(folder: Path) -> Path:
    """Where a hot folder's files are moved to, if nothing else is said: beside it."""
    return folder.parent / f"{folder.name}-done"


def _files_below(folder: Path, recursive: bool) -> Iterator[os.DirEntry[str]]:
    waiting = [os.fspath(folder)]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_file():
                    yield entry
                elif recursive and entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)


def _is_scan(name: str, suffixes: tuple[str, ...]) -> bool:
    lower = name.lower()
    return lower.endswith(suffixes) and not lower.endswith(_TEMPORARY)


def _version_of(path: Path, name: str) -> FileVersion | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return FileVersion(name, status.st_size, status.st_mtime_ns)


def _by_age(versions: list[FileVersion]) -> list[FileVersion]:
    """The oldest first; those of one age in the natural order of their names."""
    by_path = {Path(version.name): version for version in versions}
    return sorted((by_path[path] for path in natural_order(by_path)), key=lambda version: version.mtime_ns)
