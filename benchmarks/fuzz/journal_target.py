"""Damaged journals: wrong bytes, and tables with values that no line writes."""

from __future__ import annotations

import random
import sqlite3
import tempfile
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from cmdiad.benchmarks.fuzz.mutation import damage_bytes

_VALUES = (
    None,
    -1,
    2**62,
    1.5,
    float("inf"),
    "",
    "text",
    "[1]",
    '{"files": 3}',
    '{"health": {"x": "y"}}',
    '{"ms": 3}',
    "[" * 5000,
    b"\xff\x00",
    "good",
    "done",
    0,
)
_TABLES = {
    "parts": [
        *("number", "source", "scan", "path", "part_id", "product", "accepted_at", "state", "deaths", "tries"),
        *("not_before", "bundle", "finished_at", "verdict", "score", "threshold", "result"),
    ],
    "files": ["source", "name", "size", "mtime_ns", "number"],
    "deliveries": ["sink", "number"],
    "notes": ["name", "value"],
    "sqlite_sequence": ["seq", "name"],
}
_STATEMENTS = (
    "PRAGMA user_version = 7",
    "DROP TABLE deliveries",
    "DELETE FROM sqlite_sequence",
    "ALTER TABLE parts DROP COLUMN tries",
    "CREATE TRIGGER t AFTER UPDATE ON parts BEGIN DELETE FROM parts; END",
    "DROP TABLE notes",
    "CREATE VIEW v AS SELECT 1",
)


class JournalTarget:
    """A journal is opened, asked everything, and one part goes through it."""

    def __init__(self) -> None:
        """The folder is removed by `close`."""
        self._folder = tempfile.TemporaryDirectory(prefix="cmdiad-fuzz-")
        self._out = Path(self._folder.name)

    def mutator(self, chance: random.Random, data: bytes, others: Sequence[bytes], /) -> bytes:
        """Bytes, mostly near the headers of pages, or values in the tables."""
        if chance.random() < 0.4:
            return damage_bytes(chance, data, others)
        if chance.random() < 0.3:
            changed = bytearray(data)
            pages = max(1, len(data) // 4096)
            place = 4096 * chance.randrange(pages) + chance.randrange(120)
            if place < len(changed):
                changed[place] = chance.randrange(256)
            return bytes(changed)
        return _with_other_values(chance, data)

    def feed(self, data: bytes) -> None:
        """See `Target`."""
        from cmdiad.runtime.service.arrival import Arrival, FileVersion, PartRecord
        from cmdiad.runtime.service.history import HistoryQuery, as_row, bundle_figures, csv_line, read_history
        from cmdiad.runtime.service.journal import Journal

        for file in self._out.iterdir():
            file.unlink()
        (self._out / "journal.sqlite").write_bytes(data)
        with closing(Journal(self._out)) as journal:
            waiting = journal.waiting(10)
            journal.known_files("folder")
            journal.finished_files("folder")
            journal.count_unfinished()
            journal.undelivered("mqtt", 10)
            journal.records(*HistoryQuery(part_id="A*", since=0.0).as_sql())
            bundle_figures(journal)
            journal.note("drift thing")
            version = FileVersion("new.tiff", 1, 2)
            arrival = Arrival("folder", "new.tiff", Path("new.tiff"), version=version)
            numbers = journal.accept([arrival], at=1.0)
            journal.begin(numbers)
            journal.put_back(numbers[0], 5.0)
            for accepted in waiting[:1]:
                record = PartRecord(
                    number=accepted.number,
                    source="folder",
                    scan="a",
                    part_id=None,
                    product="thing",
                    bundle=None,
                    accepted_at=1.0,
                    finished_at=2.0,
                    verdict="error",
                    score=None,
                    threshold=None,
                    result={},
                )
                journal.finish(accepted, record, ["mqtt"])
        for row in read_history(self._out, HistoryQuery()):
            csv_line(as_row(row))

    def close(self) -> None:
        """See `Target`."""
        self._folder.cleanup()


def _with_other_values(chance: random.Random, data: bytes) -> bytes:
    try:
        with closing(sqlite3.connect(":memory:")) as connection:
            connection.deserialize(data)
            connection.execute("PRAGMA writable_schema = ON")
            for _ in range(chance.choice((1, 1, 2, 3))):
                table = chance.choice(list(_TABLES))
                column = chance.choice(_TABLES[table])
                if chance.random() < 0.1:
                    connection.execute(chance.choice(_STATEMENTS))
                else:
                    connection.execute(f"UPDATE OR IGNORE {table} SET {column} = ?", (chance.choice(_VALUES),))
            connection.commit()
            return connection.serialize()
    except (sqlite3.Error, OverflowError):
        return damage_bytes(chance, data)
