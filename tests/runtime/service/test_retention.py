"""Retention: what goes, what stays, and that no disk fills."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from cmdiad.runtime.service import retention as retention_module
from cmdiad.runtime.service.arrival import Accepted, Arrival, PartRecord
from cmdiad.runtime.service.history import HistoryQuery
from cmdiad.runtime.service.journal import Journal
from cmdiad.runtime.service.line_file import HistoryTable
from cmdiad.runtime.service.result_files import NOTHING_WANTED, WantedFiles, file_stem
from cmdiad.runtime.service.retention import Retention

DAY = 86400.0


def finish(journal: Journal, result: SimpleNamespace, at: float, size: int = 10, sinks: tuple[str, ...] = ()) -> Path:
    """A result of some moment with a heat map of some size: its file."""
    number = journal.reserve()
    vars(result).update(accepted_at=at, finished_at=at)
    record = PartRecord(number=number, **vars(result))
    journal.finish(Accepted(number, Arrival("http", "a.tiff"), at, is_kept=False), record, sinks)
    path = journal.path.parent / f"{file_stem(number, record.scan, at)}_heatmap.png"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(bytes(size))
    return path


def numbers(journal: Journal) -> list[int]:
    return [record.number for record in reversed(journal.records(*HistoryQuery(limit=1000).as_sql()))]


def test_results_older_than_the_limit_go_with_their_files_and_folders(
    journal: Journal, result: SimpleNamespace
) -> None:
    paths = [finish(journal, result, at) for at in (1 * DAY, 5 * DAY, 9 * DAY)]
    Retention(journal.path.parent, journal, HistoryTable(keep_days=3, min_free_gb=0)).enforce(now=10 * DAY)
    assert numbers(journal) == [3]
    assert [path.exists() for path in paths] == [False, False, True]
    assert not paths[0].parent.exists()


def test_the_oldest_go_where_there_is_too_much(journal: Journal, result: SimpleNamespace) -> None:
    paths = [finish(journal, result, DAY, size=400_000) for _ in range(5)]
    limits = HistoryTable(keep_days=1e6, max_gb=0.001, min_free_gb=0)
    Retention(journal.path.parent, journal, limits).enforce(now=2 * DAY)
    kept = [path.exists() for path in paths]
    assert kept == sorted(kept) and kept[-1] and not kept[0]
    assert sum(path.stat().st_size for path in journal.path.parent.rglob("*") if path.is_file()) <= 1e6


def test_what_a_sink_has_not_taken_stays(journal: Journal, result: SimpleNamespace) -> None:
    finish(journal, result, DAY, sinks=("mqtt",))
    finish(journal, result, DAY)
    Retention(journal.path.parent, journal, HistoryTable(keep_days=1, min_free_gb=0)).enforce(now=10 * DAY)
    assert numbers(journal) == [1]


def test_heat_maps_are_not_written_while_space_is_short(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    retention = Retention(journal.path.parent, journal, HistoryTable(min_free_gb=1))
    monkeypatch.setattr(retention_module.shutil, "disk_usage", lambda path: SimpleNamespace(free=5e8))
    retention.enforce()
    assert retention.wanted(WantedFiles("all", "all")) == NOTHING_WANTED
    assert retention.problem is not None and "0.50 GB are free, 1 must be" in retention.problem
    monkeypatch.setattr(retention_module.shutil, "disk_usage", lambda path: SimpleNamespace(free=5e9))
    retention.enforce()
    assert (retention.wanted(WantedFiles("all")), retention.problem) == (WantedFiles("all"), None)
