"""No disk ever fills: old results go, and where space is short the heat maps go first."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import OutputError
from .arrival import PartRecord
from .journal import Journal
from .journal_record import RECORD_COLUMNS
from .line_file import HistoryTable
from .result_files import NOTHING_WANTED, REJECTED, WantedFiles, file_stem

_AT_ONCE = 500
_DAY_SECONDS = 86400.0

_log = logging.getLogger("cmdiad.line")


@dataclass
class Retention:
    """How long the results of a folder are kept, and what is written while space is short.

    Attributes:
        out: the folder of results.
        limits: of the line file.
        problem: what is no longer written, and why; None: everything is written.
    """

    out: Path
    journal: Journal
    limits: HistoryTable
    problem: str | None = None
    removed: int = field(default=0)

    def wanted(self, asked: WantedFiles) -> WantedFiles:
        """Which files may be written now: those that were asked for, or none."""
        return asked if self.problem is None else NOTHING_WANTED

    def enforce(self, now: float | None = None) -> None:
        """Remove what is too old or too much, and see how much space is left.

        Raises:
            OutputError: the journal cannot be written.
        """
        now = time.time() if now is None else now
        self._remove_older_than(now - self.limits.keep_days * _DAY_SECONDS)
        excess = _size_of(self.out) - self.limits.max_gb * 1e9
        while excess > 0 and (records := self._oldest(_AT_ONCE)):
            freed = self._remove(records, until=excess)
            excess -= freed
        self._look_at_free_space()

    def _remove_older_than(self, moment: float) -> None:
        while records := self._oldest(_AT_ONCE, moment):
            self._remove(records)

    def _oldest(self, limit: int, before: float = float("inf")) -> list[PartRecord]:
        """Finished parts, the oldest first, that every sink has taken."""
        return self.journal.records(
            f"SELECT {RECORD_COLUMNS} FROM parts WHERE state = 'done' AND finished_at < ? "
            "AND number NOT IN (SELECT number FROM deliveries) ORDER BY number LIMIT ?",
            (min(before, 1e18), limit),
        )

    def _remove(self, records: list[PartRecord], until: float = float("inf")) -> float:
        """Remove results, the first ones until so many bytes are free: the bytes that they had."""
        freed, numbers = 0.0, []
        for record in records:
            if freed >= until:
                break
            for path in _files_of(self.out, record):
                freed += _removed_bytes(path)
            numbers.append(record.number)
        self.journal.remove(numbers)
        self.removed += len(numbers)
        for record in records[: len(numbers)]:
            with suppress(OSError):  # others are in it still
                (self.out / file_stem(record.number, record.scan, record.accepted_at)).parent.rmdir()
        # A row of the journal has bytes too, or a folder without files would never be small enough.
        return freed + 1000.0 * len(numbers)

    def _look_at_free_space(self) -> None:
        free = shutil.disk_usage(self.out).free / 1e9
        if free >= self.limits.min_free_gb:
            self.problem = None
            return
        if self.problem is None:
            _log.warning("heat maps are not written: %.2f GB are free, %g are required", free, self.limits.min_free_gb)
        self.problem = (
            f"{self.out}: {free:.2f} GB are free, {self.limits.min_free_gb:g} must be: heat maps and maps are not "
            "written until there is space"
        )


def _files_of(out: Path, record: PartRecord) -> Iterator[Path]:
    stem = file_stem(record.number, record.scan, record.accepted_at)
    yield from (out / stem).parent.glob(f"{Path(stem).name}_*")
    yield from (out / REJECTED).glob(f"{Path(stem).name}*")


def _removed_bytes(path: Path) -> float:
    try:
        size = path.stat().st_size
        path.unlink()
    except FileNotFoundError:
        return 0.0
    except OSError as cause:
        raise OutputError(f"{path}: cannot be removed: {cause.strerror or cause}") from cause
    return float(size)


def _size_of(folder: Path) -> float:
    total = 0.0
    for path in folder.rglob("*"):
        with suppress(OSError):
            total += path.stat().st_size
    return total
