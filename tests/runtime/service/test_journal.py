"""The journal: everything accepted gets one result, whatever ends the process."""

from __future__ import annotations

import os
import socket
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from cmdiad.runtime.child_python import child_environment
from cmdiad.runtime.errors import OutputError
from cmdiad.runtime.service.arrival import Accepted, Arrival, FileVersion, PartRecord, RawPoints
from cmdiad.runtime.service.journal import Journal


def arrival(name: str, mtime_ns: int = 1) -> Arrival:
    return Arrival("folder", name, Path("in") / name, version=FileVersion(name, 4, mtime_ns))


def record(result: SimpleNamespace, number: int, **changes: Any) -> PartRecord:
    return PartRecord(number=number, **{**vars(result), **changes})


def reopened(journal: Journal) -> Journal:
    """The same journal by a new process: the old one is gone without a word."""
    folder = journal.path.parent
    journal.close()
    return Journal(folder)


def test_parts_wait_in_the_order_of_their_acceptance(journal: Journal) -> None:
    assert journal.accept([arrival("b"), arrival("a")]) == [1, 2]
    assert journal.accept([arrival("c")]) == [3]
    waiting = journal.waiting(10)
    assert [accepted.arrival.scan for accepted in waiting] == ["b", "a", "c"]
    assert waiting[0].arrival == arrival("b")
    assert [accepted.number for accepted in journal.waiting(2)] == [1, 2]


def test_a_finished_part_waits_no_more_and_its_record_is_what_was_given(
    journal: Journal, result: SimpleNamespace
) -> None:
    journal.accept([arrival("a.tiff")], at=1.0)
    (accepted,) = journal.waiting(1)
    written = record(result, 1)
    journal.finish(accepted, written, ["mqtt"])
    assert journal.waiting(10) == []
    assert journal.count_unfinished() == 0
    assert journal.undelivered("mqtt", 10) == [written]
    journal.delivered("mqtt", [1])
    assert journal.count_undelivered("mqtt") == 0


def test_what_was_under_way_when_the_process_ended_waits_again_and_is_suspected(journal: Journal) -> None:
    journal.accept([arrival("a"), arrival("b")])
    journal.begin([1])
    again = reopened(journal)
    assert [(accepted.number, accepted.deaths) for accepted in again.waiting(10)] == [(1, 1), (2, 0)]
    again.close()


def test_a_part_that_is_put_back_waits_until_its_time(journal: Journal) -> None:
    journal.accept([arrival("a")])
    journal.begin([1])
    journal.put_back(1, not_before=100.0)
    assert journal.waiting(10, now=99.0) == []
    (accepted,) = journal.waiting(10, now=100.0)
    assert accepted.tries == 1


def test_it_tells_of_which_names_a_source_took_scans(journal: Journal) -> None:
    journal.accept([arrival("a.tiff"), arrival("day/b.1.TIFF"), arrival("\udcff.tiff")])
    journal.accept([Arrival("http", "sent.tiff", content=RawPoints(np.zeros((1, 1, 3))))])
    again = reopened(journal)
    names = ("a", "a.tiff", "day/b.1", "\udcff", "day/b", "b.1", "A", "", "a.tif", "sent", "%")
    assert [again.has_taken("folder", name) for name in names] == [True] * 4 + [False] * 7
    assert not again.has_taken("other", "a")
    again.remove([1])
    assert not again.has_taken("folder", "a")
    again.close()


def test_a_journal_of_an_earlier_version_learns_to_tell_of_names(journal: Journal) -> None:
    journal.accept([arrival("a.tiff")])
    folder = journal.path.parent
    journal.close()
    with closing(sqlite3.connect(folder / "journal.sqlite")) as earlier:
        earlier.execute("DROP INDEX parts_by_scan")
    again = Journal(folder)
    assert again.has_taken("folder", "a")
    plan = again._read("EXPLAIN QUERY PLAN SELECT 1 FROM parts WHERE source = 's' AND path NOT NULL AND scan = 'a'", ())
    assert "parts_by_scan (source=? AND scan=?)" in str(plan)
    again.close()


def test_a_file_that_was_written_on_while_it_waited_is_still_one_part(journal: Journal) -> None:
    assert journal.accept([arrival("a", 1)]) == [1]
    assert journal.accept([arrival("a", 2)]) == [1]
    (accepted,) = journal.waiting(10)
    assert accepted.arrival.version == FileVersion("a", 4, 2)
    assert journal.known_files("folder") == {"a": FileVersion("a", 4, 2)}


def test_a_file_that_is_written_anew_after_its_result_is_another_part(
    journal: Journal, result: SimpleNamespace
) -> None:
    journal.accept([arrival("a", 1)])
    journal.finish(journal.waiting(1)[0], record(result, 1), [])
    assert journal.accept([arrival("a", 2)]) == [2]


def test_finished_files_say_which_were_rejected(journal: Journal, result: SimpleNamespace) -> None:
    journal.accept([arrival("a"), arrival("b"), arrival("c")])
    first, second, _ = journal.waiting(3)
    journal.finish(first, record(result, 1), [])
    journal.finish(second, record(result, 2, verdict="error", score=None), [])
    finished = [(version.name, number, rejected) for version, number, rejected in journal.finished_files("folder")]
    assert finished == [("a", 1, False), ("b", 2, True)]
    journal.forget_files("folder", ["a"])
    assert set(journal.known_files("folder")) == {"b", "c"}


def test_numbers_of_requests_and_files_are_one_series_and_are_not_given_twice(
    journal: Journal, result: SimpleNamespace
) -> None:
    journal.accept([arrival("a")])
    number = journal.reserve()
    assert number == 2
    journal.finish(Accepted(number, Arrival("http", "x"), 1.0, is_kept=False), record(result, number), [])
    assert journal.accept([arrival("b")]) == [3]
    journal.remove([2, 3])
    again = reopened(journal)
    assert again.reserve() == 4
    again.close()


@pytest.mark.skipif(os.name == "nt", reason="names there are text")
def test_names_that_are_not_text_come_back_as_they_were(journal: Journal) -> None:
    name = os.fsdecode(b"teil_\xfc.tiff")
    journal.accept([arrival(name)])
    (accepted,) = journal.waiting(1)
    assert accepted.arrival.path == Path("in") / name
    assert set(journal.known_files("folder")) == {name}
    assert accepted.arrival.scan == "teil_\\xfc.tiff"


def test_notes_are_kept_by_name(journal: Journal) -> None:
    assert journal.note("drift") is None
    journal.keep_notes({"drift": "1"})
    journal.keep_notes({"drift": "2"})
    assert journal.note("drift") == "2"


def test_a_second_process_is_refused_with_the_first_ones_number(journal: Journal) -> None:
    code = (
        "from pathlib import Path; import sys; from cmdiad.runtime.service.journal import Journal\n"
        "from cmdiad.runtime.errors import UsageError\n"
        "try: Journal(Path(sys.argv[1]))\n"
        "except UsageError as error: print(error)"
    )
    command = [sys.executable, "-c", code, str(journal.path.parent)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, env=child_environment()).stdout
    assert f"process {os.getpid()} on {socket.gethostname()} works in this folder already" in printed


def test_a_damaged_journal_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "journal.sqlite").write_bytes(b"not a database, " * 100)
    with pytest.raises(OutputError, match="move a damaged journal away"):
        Journal(tmp_path)


def test_a_journal_of_another_version_is_refused(journal: Journal) -> None:
    folder = journal.path.parent
    journal.close()
    connection = sqlite3.connect(journal.path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(OutputError, match="version 99"):
        Journal(folder)


def test_a_transaction_that_fails_leaves_nothing(journal: Journal, result: SimpleNamespace) -> None:
    journal.accept([arrival("a")])
    (accepted,) = journal.waiting(1)
    with pytest.raises(OutputError):
        journal.finish(accepted, record(result, 1), ["mqtt", "mqtt"])  # one delivery twice
    assert [waiting.number for waiting in journal.waiting(10)] == [1]
    assert journal.count_undelivered("mqtt") == 0


@pytest.mark.skipif(sys.platform == "win32", reason="files in use stay in their place there")
def test_a_journal_that_was_taken_from_its_place_is_not_written_unnoticed(journal: Journal, tmp_path: Path) -> None:
    arrival = Arrival("folder", "a.tiff", tmp_path / "a.tiff")
    assert journal.accept([arrival]) == [1]
    (tmp_path / "out").rename(tmp_path / "elsewhere")
    with pytest.raises(OutputError, match="was moved, removed or replaced while the line worked"):
        journal.accept([arrival])
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / journal.path.name).write_bytes(b"")
    with pytest.raises(OutputError, match="replaced"):
        journal.accept([arrival])
    (tmp_path / "out" / journal.path.name).unlink()
    (tmp_path / "out").rmdir()
    (tmp_path / "elsewhere").rename(tmp_path / "out")
    assert journal.accept([arrival])[0] > 1
