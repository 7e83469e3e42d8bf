"""Journals with values that no line writes: one plain error, and never a crash on the station's thread."""

from __future__ import annotations

import sqlite3
import sys
import threading
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cmdiad.runtime.errors import OutputError
from cmdiad.runtime.service.arrival import Accepted, Arrival, FileVersion, PartRecord
from cmdiad.runtime.service.history import HistoryQuery, bundle_figures, part, read_history
from cmdiad.runtime.service.journal import NAME, Journal


@pytest.fixture
def filled(tmp_path: Path, result: SimpleNamespace) -> Path:
    """A folder with a journal of one finished part and one that waits."""
    with closing(Journal(tmp_path)) as journal:
        arrivals = [Arrival("folder", n, Path(n), version=FileVersion(n, 1, 2)) for n in ("a.tiff", "b.tiff")]
        first, _ = journal.accept(arrivals, at=1.0)
        journal.finish(Accepted(first, arrivals[0], 1.0), PartRecord(number=first, **vars(result)), ["mqtt"])
    return tmp_path


def change(folder: Path, statement: str, *values: Any) -> None:
    with closing(sqlite3.connect(folder / NAME)) as connection:
        connection.execute(statement, values)
        connection.commit()


def ask_everything(folder: Path) -> None:
    with closing(Journal(folder)) as journal:
        journal.waiting(9, now=1e10)
        journal.known_files("folder")
        journal.finished_files("folder")
        journal.undelivered("mqtt", 9)
        bundle_figures(journal)
    list(read_history(folder, HistoryQuery()))


def test_a_whole_journal_answers_everything(filled: Path) -> None:
    ask_everything(filled)


@pytest.mark.parametrize(
    ("statement", "value"),
    [
        pytest.param("UPDATE sqlite_sequence SET seq = ?", b"\xff", id="sequence of bytes"),
        pytest.param("UPDATE sqlite_sequence SET seq = ?", None, id="no sequence"),
        pytest.param("UPDATE parts SET result = ?", "[1", id="result cut"),
        pytest.param("UPDATE parts SET result = ?", "3", id="result a number"),
        pytest.param("UPDATE parts SET result = ?", "[" * 5000, id="result nested"),
        pytest.param("UPDATE parts SET result = ?", None, id="no result"),
        pytest.param("UPDATE parts SET result = ?", '{"files": 3}', id="files a number"),
        pytest.param("UPDATE parts SET result = ?", '{"error": "x"}', id="error a word"),
        pytest.param("UPDATE parts SET result = ?", '{"health": {"x": "y"}}', id="measure a word"),
        pytest.param("UPDATE parts SET verdict = ?", "maybe", id="another verdict"),
        pytest.param("UPDATE parts SET score = ?", "high", id="score in words"),
        pytest.param("UPDATE parts SET path = ?", 7, id="path a number"),
        pytest.param("UPDATE parts SET scan = ?", b"\xff", id="scan bytes"),
        pytest.param("UPDATE parts SET accepted_at = ?", "soon", id="time in words"),
        pytest.param("UPDATE parts SET accepted_at = ?", 1e300, id="time without end"),
        pytest.param("UPDATE parts SET deaths = ?", "many", id="deaths in words"),
        pytest.param("UPDATE files SET name = ?", 7, id="file a number"),
        pytest.param("UPDATE files SET size = ?", "large", id="size in words"),
    ],
)
def test_values_of_another_kind_are_one_plain_error(filled: Path, statement: str, value: Any) -> None:
    change(filled, statement.replace("UPDATE", "UPDATE OR REPLACE"), value)
    with pytest.raises(OutputError, match=r"journal cannot be used|cannot be read"):
        ask_everything(filled)


@pytest.mark.skipif(sys.platform != "linux", reason="it counts open files as Linux lists them")
def test_threads_that_come_and_go_leave_no_connections(filled: Path) -> None:
    """A server's threads read, end, and others take their place: for weeks."""
    with closing(Journal(filled)) as journal:
        for _ in range(50):
            reader = threading.Thread(target=journal.count_unfinished)
            reader.start()
            reader.join()
        held = [entry for entry in Path("/proc/self/fd").iterdir() if entry.is_file() and entry.samefile(filled / NAME)]
        assert len(held) == 2  # to write by, and to read by


def test_a_number_that_no_journal_holds_is_one_plain_error(filled: Path) -> None:
    with closing(Journal(filled)) as journal, pytest.raises(OutputError):
        part(journal, 10**30)
