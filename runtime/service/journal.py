"""The journal: one SQLite file that says which parts were accepted, what became of them, and who was told.

Every change is a transaction that is on disk before anything is said about it (write-ahead log, `synchronous=FULL`): a
process that is killed, or a machine that loses its power, leaves each part either waiting or with its one result.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from ..errors import OutputError
from ..files.json_encoding import encode_json, escape_name
from .arrival import Accepted, Arrival, FileVersion, PartRecord
from .journal_lock import hold_alone, identity_of, require_in_place
from .journal_record import RECORD_COLUMNS, read_record

NAME = "journal.sqlite"
LOCK = "journal.lock"
_SCHEMA_VERSION = 1
_NO_PART = 0
_BUSY_SECONDS = 30.0
_LATEST = 1e11  # seconds since 1970: what a calendar still holds
T = TypeVar("T")
_SCHEMA = """
CREATE TABLE parts (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    source TEXT NOT NULL, scan TEXT NOT NULL, path BLOB, part_id TEXT, product TEXT, accepted_at REAL NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('waiting', 'running', 'done')),
    deaths INTEGER NOT NULL DEFAULT 0, tries INTEGER NOT NULL DEFAULT 0, not_before REAL NOT NULL DEFAULT 0,
    bundle TEXT, finished_at REAL, verdict TEXT, score REAL, threshold REAL, result TEXT
);
CREATE INDEX parts_unfinished ON parts (number) WHERE state != 'done';
CREATE INDEX parts_by_id ON parts (part_id, number);
CREATE INDEX parts_by_time ON parts (finished_at);
CREATE TABLE files (
    source TEXT NOT NULL, name BLOB NOT NULL, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, number INTEGER NOT NULL,
    PRIMARY KEY (source, name)
) WITHOUT ROWID;
CREATE INDEX files_by_number ON files (number);
CREATE TABLE deliveries (
    sink TEXT NOT NULL, number INTEGER NOT NULL, PRIMARY KEY (sink, number)
) WITHOUT ROWID;
CREATE TABLE notes (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""
# Journals of earlier versions get it too; they stay readable by those.
_FILES_BY_NAME = "CREATE INDEX IF NOT EXISTS parts_by_scan ON parts (source, scan) WHERE path IS NOT NULL"


class Journal:
    """The line's memory; one process writes it, any number read.

    Attributes:
        path: the SQLite file.
    """

    def __init__(self, folder: Path) -> None:
        """Open or begin the journal of a folder, for this process alone.

        Raises:
            OutputError: the folder or file cannot be written, or is damaged, or another process holds it.
        """
        self.path = folder / NAME
        self._lock = threading.RLock()
        self._idle, self._connections = list[sqlite3.Connection](), list[sqlite3.Connection]()
        self._held = hold_alone(folder / LOCK)
        try:
            with self._naming():
                self._writing = _connected(self.path)
                self._connections.append(self._writing)
                self._identity = identity_of(self.path)
                self._last = self._prepare()
        except BaseException:
            self.close()
            raise

    def accept(self, arrivals: Sequence[Arrival], at: float | None = None) -> list[int]:
        """Number arrivals, in their order, and keep them until each has its result: their numbers.

        Raises:
            OutputError: the journal cannot be written; then none is accepted.
        """
        now = time.time() if at is None else at
        with self._changing() as change:
            return [self._accept_one(change, arrival, now) for arrival in arrivals]

    def reserve(self) -> int:
        """A number for a part that is kept with its result alone."""
        with self._lock:
            self._last += 1
            return self._last

    def known_files(self, source: str) -> dict[str, FileVersion]:
        """The files of a source that were accepted and have not gone since, by name."""
        query = "SELECT name, size, mtime_ns FROM files WHERE source = ?"
        return {version.name: version for version in self._made(_version, query, (source,))}

    def finished_files(self, source: str) -> list[tuple[FileVersion, int, bool]]:
        """Those of them that have their result, each with its part's number, and whether it was rejected."""
        query = (
            "SELECT files.name, size, mtime_ns, files.number, verdict = 'error' FROM files JOIN parts USING (number) "
            "WHERE files.source = ? AND state = 'done' ORDER BY files.number"
        )
        return self._made(lambda *row: (_version(*row[:3]), int(row[3]), bool(row[4])), query, (source,))

    def skip_files(self, source: str, versions: Iterable[FileVersion]) -> None:
        """Know files of a source without accepting them."""
        with self._changing() as change:
            for version in versions:
                _note_file(change, source, version, _NO_PART)

    def forget_files(self, source: str, names: Iterable[str]) -> None:
        """Forget files that are gone from a source: one of that name is a new part."""
        with self._changing() as change:
            change.executemany(
                "DELETE FROM files WHERE source = ? AND name = ?", ((source, os.fsencode(name)) for name in names)
            )

    def has_taken(self, source: str, stem: str) -> bool:
        """Whether a file of a source was accepted that has this name, or this name and a suffix, and is not removed."""
        of_source = "SELECT 1 FROM parts WHERE source = :source AND path IS NOT NULL AND"
        # "/" comes next after "."; a suffix has one dot.
        with_suffix = "scan > :name || '.' AND scan < :name || '/' AND instr(substr(scan, length(:name) + 2), '.') = 0"
        query = f"SELECT EXISTS ({of_source} scan = :name) OR EXISTS ({of_source} {with_suffix})"
        return bool(self._read(query, {"source": source, "name": escape_name(stem)})[0][0])

    def waiting(self, limit: int, now: float | None = None) -> list[Accepted]:
        """The first parts that wait and may be tried, in the order of acceptance."""
        query = (
            "SELECT parts.number, parts.source, scan, path, part_id, product, accepted_at, deaths, tries, "
            "name, size, mtime_ns FROM parts LEFT JOIN files USING (number) "
            "WHERE state = 'waiting' AND not_before <= ? ORDER BY parts.number LIMIT ?"
        )
        return self._made(_accepted, query, (time.time() if now is None else now, limit))

    def count_unfinished(self) -> int:
        """How many accepted parts have no result yet."""
        return int(self._read("SELECT count(*) FROM parts WHERE state != 'done'", ())[0][0])

    def begin(self, numbers: Sequence[int]) -> None:
        """Mark parts as under way: should the process end now, they are suspected of it."""
        with self._changing() as change:
            change.executemany("UPDATE parts SET state = 'running' WHERE number = ?", ((n,) for n in numbers))

    def put_back(self, number: int, not_before: float) -> None:
        """Let a part that could not be inspected wait for its next try."""
        with self._changing() as change:
            change.execute(
                "UPDATE parts SET state = 'waiting', tries = tries + 1, not_before = ? WHERE number = ?",
                (not_before, number),
            )

    def finish(self, accepted: Accepted, record: PartRecord, sinks: Iterable[str]) -> None:
        """Give a part its one result, to be delivered to sinks.

        Raises:
            OutputError: the journal cannot be written; then the part has no result.
        """
        with self._changing() as change:
            if not accepted.is_kept:
                _insert(change, accepted.number, accepted.arrival, accepted.accepted_at)
            change.execute(
                "UPDATE parts SET state = 'done', product = ?, bundle = ?, finished_at = ?, verdict = ?, score = ?, "
                "threshold = ?, result = ? WHERE number = ?",
                (
                    *(record.product, record.bundle, record.finished_at, record.verdict, record.score),
                    *(record.threshold, encode_json(record.result).decode(), record.number),
                ),
            )
            change.executemany("INSERT INTO deliveries VALUES (?, ?)", ((sink, record.number) for sink in sinks))

    def undelivered(self, sink: str, limit: int) -> list[PartRecord]:
        """The oldest results that a sink has not taken yet."""
        return self.records(
            f"SELECT {RECORD_COLUMNS} FROM parts JOIN deliveries USING (number) WHERE sink = ? ORDER BY number LIMIT ?",
            (sink, limit),
        )

    def count_undelivered(self, sink: str) -> int:
        """How many results a sink has not taken yet."""
        return int(self._read("SELECT count(*) FROM deliveries WHERE sink = ?", (sink,))[0][0])

    def delivered(self, sink: str, numbers: Sequence[int]) -> None:
        """Note that a sink took results."""
        with self._changing() as change:
            change.executemany(
                "DELETE FROM deliveries WHERE sink = ? AND number = ?", ((sink, number) for number in numbers)
            )

    def records(self, query: str, values: Sequence[Any]) -> list[PartRecord]:
        """Results that a query of the columns of a record, in their order, gives."""
        return self._made(read_record, query, values)

    def note(self, name: str) -> str | None:
        """What was kept under a name; None: nothing was."""
        rows = self._read("SELECT value FROM notes WHERE name = ?", (name,))
        return str(rows[0][0]) if rows else None

    def keep_notes(self, values: Mapping[str, str]) -> None:
        """Keep texts by name, in place of what was kept before."""
        with self._changing() as change:
            change.executemany("INSERT OR REPLACE INTO notes VALUES (?, ?)", values.items())

    def remove(self, numbers: Sequence[int]) -> None:
        """Remove results for good; what the sources know of their files stays."""
        with self._changing() as change:
            for table in ("deliveries", "parts"):
                change.executemany(f"DELETE FROM {table} WHERE number = ?", ((n,) for n in numbers))

    def close(self) -> None:
        """Let another process have it."""
        with self._lock:
            for connection in self._connections:
                connection.close()
        self._held.close()

    def _prepare(self) -> int:
        """Begin or take up the tables: the last number that was given, which no part gets again."""
        version = self._writing.execute("PRAGMA user_version").fetchone()[0]
        require_version(self.path, version)
        with self._changing() as change:
            if version == 0:
                for statement in _SCHEMA.strip().split(";\n"):
                    change.execute(statement)
                change.execute(f"PRAGMA user_version = {_SCHEMA_VERSION}")
            change.execute(_FILES_BY_NAME)
            # Whatever was under way when the process before ended is suspected of it.
            change.execute("UPDATE parts SET state = 'waiting', deaths = deaths + 1 WHERE state = 'running'")
            given = change.execute("SELECT seq FROM sqlite_sequence WHERE name = 'parts'").fetchone()
        return int(given[0]) if given else 0

    def _accept_one(self, change: sqlite3.Connection, arrival: Arrival, at: float) -> int:
        if (written_on := _written_on(change, arrival)) is not None:
            return written_on
        number = self.reserve()
        _insert(change, number, arrival, at)
        if arrival.version is not None:
            _note_file(change, arrival.source, arrival.version, number)
        return number

    def _made(self, make: Callable[..., T], query: str, values: Sequence[Any]) -> list[T]:
        """What a function makes of the rows of a query."""
        with self._naming():
            return [make(*row) for row in self._read(query, values)]

    def _read(self, query: str, values: Sequence[Any] | Mapping[str, Any]) -> list[tuple[Any, ...]]:
        with self._naming():
            connection = self._idle_connection()
            try:
                return connection.execute(query, values).fetchall()
            finally:
                self._idle.append(connection)

    def _idle_connection(self) -> sqlite3.Connection:
        """One that nobody reads by; not one a thread, for a server's threads come and go."""
        try:
            return self._idle.pop()
        except IndexError:
            connection = _connected(self.path)
            with self._lock:
                self._connections.append(connection)
            return connection

    @contextmanager
    def _changing(self) -> Iterator[sqlite3.Connection]:
        """One transaction: all of the block, or nothing."""
        with self._lock, self._naming():
            self._writing.execute("BEGIN IMMEDIATE")
            try:
                yield self._writing
                require_in_place(self.path, self._identity)
                self._writing.execute("COMMIT")
            except BaseException:
                if self._writing.in_transaction:
                    self._writing.execute("ROLLBACK")
                raise

    @contextmanager
    def _naming(self) -> Iterator[None]:
        try:
            yield
        # What is no journal's: numbers that SQLite does not hold, or values of another kind than a line writes.
        except (sqlite3.Error, OSError, OverflowError, TypeError, ValueError) as cause:
            raise OutputError(
                f"{self.path}: the journal cannot be used ({cause}): free some space, check the disk, "
                "or move a damaged journal away"
            ) from cause


def require_version(path: Path, version: int) -> None:
    """Let a journal of this version pass, or one (0) that was not begun yet.

    Raises:
        OutputError: it is of another version.
    """
    if version not in (0, _SCHEMA_VERSION):
        raise OutputError(
            f"{path}: is a journal of version {version}, this cmdiad-rt reads and writes {_SCHEMA_VERSION}: "
            "give another folder, or install the version that wrote it"
        )


def _connected(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _insert(change: sqlite3.Connection, number: int, arrival: Arrival, at: float) -> None:
    # Names of files are bytes: not all of them are text.
    path = None if arrival.path is None else os.fsencode(arrival.path)
    change.execute(
        "INSERT INTO parts (number, source, scan, path, part_id, product, accepted_at, state) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, 'waiting')",
        (number, arrival.source, escape_name(arrival.scan), path, arrival.part_id, arrival.product, at),
    )


def _written_on(change: sqlite3.Connection, arrival: Arrival) -> int | None:
    """The part whose file was accepted too early, and was written on before anything was made of it."""
    version = arrival.version
    if version is None:
        return None
    row = change.execute(
        "SELECT parts.number FROM files JOIN parts USING (number) "
        "WHERE files.source = ? AND name = ? AND state = 'waiting'",
        (arrival.source, os.fsencode(version.name)),
    ).fetchone()
    if row is None:
        return None
    change.execute("UPDATE parts SET tries = 0, not_before = 0 WHERE number = ?", row)
    _note_file(change, arrival.source, version, row[0])
    return int(row[0])


def _note_file(change: sqlite3.Connection, source: str, version: FileVersion, number: int) -> None:
    change.execute(
        "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?)",
        (source, os.fsencode(version.name), version.size, version.mtime_ns, number),
    )


def _version(name: bytes, size: int, mtime_ns: int) -> FileVersion:
    return FileVersion(os.fsdecode(name), int(size), int(mtime_ns))


def _accepted(
    number: int,
    source: str,
    scan: str,
    path: bytes | None,
    part_id: str | None,
    product: str | None,
    accepted_at: float,
    deaths: int,
    tries: int,
    *version: Any,
) -> Accepted:
    whole, words = (number, deaths, tries), (scan, part_id or "", product or "")
    are_right = all(isinstance(count, int) for count in whole) and all(isinstance(word, str) for word in words)
    if not are_right or not isinstance(accepted_at, float) or not 0 <= accepted_at < _LATEST:
        raise ValueError(f"a waiting part, {number!r}, holds values of another kind")
    file = None if version[0] is None else _version(*version)
    arrival = Arrival(source, scan, None if path is None else Path(os.fsdecode(path)), None, part_id, product, file)
    return Accepted(number, arrival, accepted_at, deaths, tries)
