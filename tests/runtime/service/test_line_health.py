"""Drift on a line: what a restart and a new bundle do to what the monitors know."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import pytest
from cmdiad.runtime.errors import UsageError
from cmdiad.runtime.service.arrival import Accepted, Arrival, PartRecord
from cmdiad.runtime.service.journal import Journal
from cmdiad.runtime.service.line_health import LineHealth


@pytest.fixture
def loaded(word_products: Any) -> Any:
    """The bundle at work, whose manifest has no baseline."""
    manifest = SimpleNamespace(digest="d" * 64, calibration=None)
    word_products.inspector.bundle = SimpleNamespace(manifest=manifest)
    return word_products.product.loaded


def inspect(journal: Journal, health: LineHealth, loaded: Any, result: SimpleNamespace, score: float) -> PartRecord:
    number = journal.reserve()
    inspection = loaded.inspector.finish("good")
    inspection = type(inspection)(**{**vars(inspection), "score": score})
    record = PartRecord(number=number, **{**vars(result), "score": score})
    record = health.judged(record, inspection, loaded)
    journal.finish(Accepted(number, Arrival("http", "a"), 1.0, is_kept=False), record, [])
    return record


def test_a_result_says_what_was_measured(journal: Journal, loaded: Any, result: SimpleNamespace) -> None:
    record = inspect(journal, LineHealth(journal), loaded, result, 0.5)
    assert record.result["health"]["part_diameter_m"] == 0.01
    assert record.result["drift_alarms"] == []


def test_a_change_is_an_alarm_in_the_result_and_stays_a_problem_until_it_is_acknowledged(
    journal: Journal, loaded: Any, result: SimpleNamespace
) -> None:
    health = LineHealth(journal)
    scores = [0.5 + 0.001 * (number % 7) for number in range(150)] + [0.9 + 0.001 * number for number in range(60)]
    records = [inspect(journal, health, loaded, result, score) for score in scores]
    alarms = [alarm for record in records for alarm in record.result["drift_alarms"]]
    assert [(alarm["measure"], alarm["direction"]) for alarm in alarms] == [("score", "rises")]
    assert 145 <= alarms[0]["since_part"] <= 155
    assert "score has drifted" in health.problems()[0]
    health.acknowledge("thing", "score", is_new_normal=True)
    assert health.problems() == []
    with pytest.raises(UsageError, match="no part of product 'other'"):
        health.acknowledge("other", "score", is_new_normal=True)


@pytest.mark.parametrize("count", [7, 50, 120])
def test_after_a_restart_a_monitor_knows_what_it_knew(
    journal: Journal, loaded: Any, result: SimpleNamespace, count: int
) -> None:
    health = LineHealth(journal)
    for number in range(count):
        inspect(journal, health, loaded, result, 0.5 + 0.01 * (number % 11))
    again = LineHealth(journal)
    again.begin("thing", loaded.inspector.bundle.manifest)
    assert again.lamps() == health.lamps()


def test_a_new_bundle_begins_anew(journal: Journal, loaded: Any, result: SimpleNamespace) -> None:
    health = LineHealth(journal)
    for _ in range(60):
        inspect(journal, health, loaded, result, 0.5)
    loaded.inspector.bundle.manifest.digest = "e" * 64
    health.begin("thing", loaded.inspector.bundle.manifest)
    assert health.lamps() == []
    again = LineHealth(journal)
    again.begin("thing", loaded.inspector.bundle.manifest)
    assert again.lamps() == []


def test_a_part_that_was_not_inspected_is_no_evidence(journal: Journal, loaded: Any, result: SimpleNamespace) -> None:
    health = LineHealth(journal)
    record = PartRecord(number=1, **vars(result))
    assert health.judged(record, None, loaded) is record
    assert health.lamps() == []


@pytest.mark.parametrize("note", ["many {}", "\u00b2 {}", "9" * 5000 + " {}", "", " "])
def test_a_damaged_note_begins_a_new_monitor(journal: Journal, loaded: Any, note: str) -> None:
    journal.keep_notes({"drift thing": note})
    health = LineHealth(journal)
    health.begin("thing", loaded.inspector.bundle.manifest)
    assert health.problems() == []


def test_a_bundle_that_says_nothing_of_its_calibration_is_named(
    journal: Journal, loaded: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "cmdiad.line"):
        LineHealth(journal).begin("thing", loaded.inspector.bundle.manifest)
    assert "thing: its bundle does not say" in caplog.text and "calibrate it again" in caplog.text
