"""Deliveries: in order, from the journal, and a sink that is down misses nothing."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cmdiad.runtime.service import delivery as delivery_module
from cmdiad.runtime.service.arrival import Accepted, Arrival, PartRecord
from cmdiad.runtime.service.delivery import Delivery
from cmdiad.runtime.service.journal import Journal

WAIT_SECONDS = 20.0


class FlakySink:
    """A sink that refuses some numbers the first time, and notes all calls."""

    name = "flaky"
    passed_over = 0
    is_server = False

    def __init__(self, refused: set[int], wanted: int) -> None:
        self.refused, self.wanted = refused, wanted
        self.got: list[int] = []
        self.opened = 0
        self.done = threading.Event()

    def open(self) -> None:
        """Count."""
        self.opened += 1

    def deliver(self, record: PartRecord) -> None:
        """Refuse what is to be refused, once."""
        if record.number in self.refused:
            self.refused.discard(record.number)
            raise ConnectionError("gone")
        self.got.append(record.number)
        if len(self.got) == self.wanted:
            self.done.set()

    def tell(self, status: dict[str, Any]) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Nothing to do."""


def finish(journal: Journal, result: SimpleNamespace, count: int) -> None:
    for _ in range(count):
        number = journal.reserve()
        accepted = Accepted(number, Arrival("http", "a"), 1.0, is_kept=False)
        journal.finish(accepted, PartRecord(number=number, **vars(result)), ["flaky"])


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery_module, "_FIRST_PAUSE_SECONDS", 0.001)


def test_results_are_delivered_in_order_though_the_sink_fails_now_and_then(
    journal: Journal, result: SimpleNamespace
) -> None:
    finish(journal, result, 150)
    sink = FlakySink({1, 70, 71, 150}, 150)
    delivery = Delivery(sink, journal, dict)
    delivery.start()
    assert sink.done.wait(WAIT_SECONDS)
    delivery.stop(1.0)
    assert sink.got == list(range(1, 151))
    assert sink.opened == 5
    assert delivery.as_json() == {"name": "flaky", "waiting": 0, "problem": None, "tries": 0, "passed_over": 0}


def test_what_was_not_delivered_waits_for_the_next_process(journal: Journal, result: SimpleNamespace) -> None:
    finish(journal, result, 3)
    folder: Path = journal.path.parent
    journal.close()
    again = Journal(folder)
    sink = FlakySink(set(), 3)
    delivery = Delivery(sink, again, dict)
    delivery.start()
    assert sink.done.wait(WAIT_SECONDS)
    delivery.stop(1.0)
    assert sink.got == [1, 2, 3]
    again.close()


def test_a_sink_that_is_down_says_why_and_how_much_waits(journal: Journal, result: SimpleNamespace) -> None:
    finish(journal, result, 2)
    told = threading.Event()

    class DeadSink(FlakySink):
        def open(self) -> None:
            self.opened += 1
            if self.opened == 3:
                told.set()
            raise ConnectionRefusedError("nobody there")

    delivery = Delivery(DeadSink(set(), 0), journal, dict)
    delivery.start()
    assert told.wait(WAIT_SECONDS)
    state = delivery.as_json()
    delivery.stop(0.0)
    assert state["waiting"] == 2 and state["problem"] == "ConnectionRefusedError: nobody there"


def test_the_first_status_after_a_break_has_no_problem_of_the_sink(journal: Journal, result: SimpleNamespace) -> None:
    finish(journal, result, 2)
    problems: list[str | None] = []
    heard = threading.Event()

    class TellingSink(FlakySink):
        def tell(self, status: dict[str, Any]) -> None:
            problems.append(delivery.problem)
            heard.set()

    sink = TellingSink({1, 2}, 2)
    delivery = Delivery(sink, journal, dict)
    delivery.start()
    assert heard.wait(WAIT_SECONDS)
    delivery.stop(1.0)
    assert problems[0] is None and sink.got == [1, 2] and sink.opened == 3
