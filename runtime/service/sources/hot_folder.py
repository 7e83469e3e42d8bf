"""A hot folder: every scan that is completely written into it is accepted once, in the order of their ages.

The folder is listed every so often, which also works on network drives that report no changes; if `watchfiles` is
installed and the system reports changes, they are looked at at once.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from ...choices import After
from ...errors import OutputError
from ...files.atomic import naming_place
from ...files.moving import move_file
from ...sensor.listing import natural_order
from ..arrival import Arrival, FileVersion
from ..journal import Journal
from ..result_files import file_stem
from .folder_hold import FolderHold
from .left_alone import LeftAlone, list_folder

_log = logging.getLogger("cmdiad.line")
# A folder that takes long to list is listed the less often.
_MOST_SHARE_OF_TIME = 0.2


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
        own: real paths of folders that the line uses otherwise; nothing is said of those that lie in this one.
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
    own: frozenset[str] = frozenset()


@dataclass
class HotFolder:
    """One hot folder at work on a thread of its own.

    Attributes:
        settings: what was asked.
        journal: where arrivals are numbered and kept.
        accepted: called when there are new ones.
        failed: called with what ends the thread before its time.
        hold: keeps other lines out of the folder; shared by all hot folders of this line that look into it.
        problem: why nothing can be taken from the folder now; None: it can.
    """

    settings: FolderSettings
    journal: Journal
    accepted: Callable[[], None]
    failed: Callable[[Exception], None]
    hold: FolderHold
    problem: str | None = None
    _left_alone: LeftAlone = field(init=False)
    _unsettled: dict[str, tuple[FileVersion, float]] = field(default_factory=dict)
    _known: dict[str, FileVersion] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _stop: threading.Event = field(default_factory=threading.Event)
    _changed: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Nothing is left alone before the folder is listed."""
        self._left_alone = LeftAlone(self.settings.name, partial(self.journal.has_taken, self.settings.name))

    @property
    def name(self) -> str:
        """Of the source."""
        return self.settings.name

    def as_json(self) -> dict[str, Any]:
        """One object of `/v1/status`."""
        return {
            "name": self.name,
            "problem": self.problem,
            "path": str(self.settings.path),
            "is_alone": self.hold.is_sure or None,
            "left_alone": self._left_alone.as_json(),
        }

    def notices(self) -> list[str]:
        """What lies there and is not inspected, in words."""
        said = self._left_alone.problem()
        return [] if said is None else [said]

    def start(self) -> None:
        """Take up what the journal knows of the folder, and watch it from now on; it is created if it is missing.

        Raises:
            OutputError: the journal cannot be read or written.
            UsageError: another line takes the scans of this folder.
        """
        self._make()
        self.hold.take()
        self._known = self.journal.known_files(self.name)
        for version, number, is_rejected in self.journal.finished_files(self.name):
            self.finished(version, number, is_rejected)
        note = f"folder {self.name} began"
        if self.settings.skips_existing and self.journal.note(note) is None:
            self._skip_existing()
        self.journal.keep_notes({note: str(self.settings.path)})
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
                _log.warning("folder %r: %s was rejected and stays where it is: %s", self.name, path, error)
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
        listed = self._listed(now)
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

    def _listed(self, now: float) -> dict[str, FileVersion] | None:
        """Every scan below the folder; None where it cannot be listed, which is tried again."""
        settings = self.settings
        try:
            listed = list_folder(settings.path, settings.recursive, settings.suffixes, settings.own)
            problem = self.hold.problem()
        except OSError as error:
            problem = f"{settings.path}: cannot be listed: {error.strerror or error}: trying again"
        if problem is not None and problem != self.problem:
            _log.warning("folder %r: %s", self.name, problem)
        self.problem = problem
        if problem is not None:
            return None
        self._left_alone.hear(listed, now, settings.settle_seconds)
        return {name: FileVersion(name, status.st_size, status.st_mtime_ns) for name, status in listed.scans.items()}

    def _make(self) -> None:
        if self.settings.path.exists():
            return
        with suppress(OSError):  # listing it says why it cannot be
            self.settings.path.mkdir(parents=True, exist_ok=True)
            _log.warning(
                "folder %r: %s did not exist and was created: correct its path if scans arrive elsewhere",
                self.name,
                self.settings.path,
            )

    def _skip_existing(self) -> None:
        for version in (self._listed(time.monotonic()) or {}).values():
            self._known[version.name] = version
        self.journal.skip_files(self.name, self._known.values())

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


def _version_of(path: Path, name: str) -> FileVersion | None:
    try:
        status = path.lstat()
    except OSError:
        return None
    return FileVersion(name, status.st_size, status.st_mtime_ns)


def _by_age(versions: list[FileVersion]) -> list[FileVersion]:
    """The oldest first; those of one age in the natural order of their names."""
    by_path = {Path(version.name): version for version in versions}
    return sorted((by_path[path] for path in natural_order(by_path)), key=lambda version: version.mtime_ns)
