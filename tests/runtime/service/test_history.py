"""Questions to the history."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from cmdiad.runtime.errors import OutputError, UsageError
from cmdiad.runtime.service.arrival import Accepted, Arrival, PartRecord
from cmdiad.runtime.service.history import (
    CSV_COLUMNS,
    HistoryQuery,
    as_row,
    bundle_figures,
    csv_line,
    part,
    read_history,
)
from cmdiad.runtime.service.journal import Journal


@pytest.fixture
def filled(journal: Journal, result: SimpleNamespace) -> Journal:
    """Five results: A-1 and A-2 good, B[1] a defect by another bundle, one error, and one without an ID."""
    for changes in (
        {"part_id": "A-1", "finished_at": 10.0, "score": 0.4},
        {"part_id": "A-2", "finished_at": 20.0, "score": 0.6},
        {"part_id": "B[1]", "finished_at": 30.0, "verdict": "defect", "score": 2.0, "bundle": "e" * 64},
        {
            "part_id": "A-10",
            "finished_at": 40.0,
            "verdict": "error",
            "score": None,
            "result": {"error": {"message": "no"}},
        },
        {"finished_at": 50.0, "scan": "=cmd()", "score": 0.5},
    ):
        number = journal.reserve()
        record = PartRecord(number=number, **{**vars(result), **changes})
        arrival = Arrival("http", record.scan, part_id=record.part_id)
        journal.finish(Accepted(number, arrival, 1.0, is_kept=False), record, [])
    return journal


@pytest.mark.parametrize(
    ("asked", "numbers"),
    [
        ({}, [5, 4, 3, 2, 1]),
        ({"part_id": "A-1"}, [1]),
        ({"part_id": "A-1*"}, [4, 1]),
        ({"part_id": "B[1]"}, [3]),
        ({"part_id": "B[*"}, [3]),
        ({"part_id": "*"}, [4, 3, 2, 1]),
        ({"verdict": "error"}, [4]),
        ({"bundle": "ee"}, [3]),
        ({"since": 20.0, "until": 40.0}, [3, 2]),
        ({"before": 3, "limit": 1}, [2]),
        ({"product": "other"}, []),
    ],
)
def test_what_is_asked_for_is_found_and_nothing_else(
    filled: Journal, asked: dict[str, Any], numbers: list[int]
) -> None:
    query = HistoryQuery(**asked)
    assert [record.number for record in filled.records(*query.as_sql())] == numbers
    assert [record.number for record in read_history(filled.path.parent, query)] == numbers


def test_one_result_by_its_number(filled: Journal) -> None:
    record = part(filled, 3)
    assert record is not None and record.part_id == "B[1]"
    assert part(filled, 99) is None


def test_a_spreadsheet_takes_no_name_for_a_formula(filled: Journal) -> None:
    record = part(filled, 5)
    assert record is not None
    cells = dict(zip(CSV_COLUMNS, as_row(record), strict=True))
    assert (cells["scan"], cells["part_id"]) == ("'=cmd()", "")
    formula = msgspec.structs.replace(record, part_id="-1+1", score=-0.25)
    cells = dict(zip(CSV_COLUMNS, as_row(formula), strict=True))
    assert (cells["part_id"], cells["score"]) == ("'-1+1", "-0.25")
    assert csv_line(['a"b', "c,d"]) == '"a""b","c,d"'
    assert csv_line(["two\nlines", "return\r", "plain"]) == '"two\nlines","return\r",plain'


def test_every_bundle_has_the_figures_of_its_parts(filled: Journal) -> None:
    one, other = sorted(bundle_figures(filled), key=lambda figures: figures["bundle"])
    assert (one["parts"], one["defects"], one["score_mean"]) == (3, 0, pytest.approx(0.5))
    assert (other["parts"], other["defects"], other["bundle"]) == (1, 1, "e" * 64)


def test_without_a_journal_and_with_a_damaged_one(tmp_path: Any) -> None:
    with pytest.raises(UsageError, match=r"there is no journal\.sqlite here"):
        list(read_history(tmp_path, HistoryQuery()))
    (tmp_path / "journal.sqlite").write_bytes(b"rubbish " * 200)
    with pytest.raises(OutputError, match="cannot be read"):
        list(read_history(tmp_path, HistoryQuery()))


def test_the_journal_of_another_version_is_refused_and_not_called_damaged(filled: Journal) -> None:
    filled.close()
    with closing(sqlite3.connect(filled.path)) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(OutputError, match="is a journal of version 99, this cmdiad-rt reads and writes 1") as refusal:
        list(read_history(filled.path.parent, HistoryQuery()))
    assert refusal.value.exit_code == 74
