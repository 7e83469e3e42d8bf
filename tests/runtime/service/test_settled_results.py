"""Results by number, of which a reader that knows the highest it has misses none."""

from __future__ import annotations

from types import SimpleNamespace

from cmdiad.runtime.service.arrival import Accepted, Arrival, PartRecord
from cmdiad.runtime.service.journal import Journal
from cmdiad.runtime.service.settled_results import SettledResults


def finish(journal: Journal, result: SimpleNamespace, number: int, is_kept: bool = True) -> None:
    accepted = Accepted(number, Arrival("folder", "a.tiff"), 1.0, is_kept=is_kept)
    journal.finish(accepted, PartRecord(number=number, **vars(result)), [])


def numbers(records: list[PartRecord]) -> list[int]:
    return [record.number for record in records]


def test_results_come_in_their_order_after_a_number_and_as_many_as_asked_for(
    journal: Journal, result: SimpleNamespace
) -> None:
    settled = SettledResults(journal)
    assert settled(0, 10) == [] and settled.newest() is None
    for number in journal.accept([Arrival("folder", "a.tiff")] * 5, at=1.0):
        finish(journal, result, number)
    assert numbers(settled(0, 2)) == [1, 2] and numbers(settled(2, 10)) == [3, 4, 5] and settled(5, 10) == []
    assert numbers(settled(0, 0)) == [1]
    assert settled.newest() == PartRecord(number=5, **vars(result))


def test_a_file_that_is_tried_again_holds_back_those_that_overtook_it(
    journal: Journal, result: SimpleNamespace
) -> None:
    settled = SettledResults(journal)
    first, late, last = journal.accept([Arrival("folder", "a.tiff")] * 3)
    finish(journal, result, first)
    finish(journal, result, last)
    assert numbers(settled(0, 10)) == [first]
    finish(journal, result, late)
    assert numbers(settled(first, 10)) == [late, last]


def test_a_request_in_flight_holds_back_files_and_one_that_is_lost_does_not(
    journal: Journal, result: SimpleNamespace
) -> None:
    in_flight = [journal.reserve()]
    settled = SettledResults(journal, lambda: in_flight)
    (file,) = journal.accept([Arrival("folder", "a.tiff")])
    finish(journal, result, file)
    assert settled(0, 10) == []
    finish(journal, result, in_flight[0], is_kept=False)
    in_flight.clear()
    assert numbers(settled(0, 10)) == [1, 2]
    journal.reserve()
    (after,) = journal.accept([Arrival("folder", "a.tiff")])
    finish(journal, result, after)
    assert numbers(settled(2, 10)) == [4]


def test_a_request_that_comes_while_the_results_are_read_hides_none(journal: Journal, result: SimpleNamespace) -> None:
    (first,) = journal.accept([Arrival("folder", "a.tiff")])
    finish(journal, result, first)

    def in_flight() -> list[int]:
        """Right after they were listed a request comes, and a file overtakes it."""
        journal.reserve()
        (overtaking,) = journal.accept([Arrival("folder", "b.tiff")])
        finish(journal, result, overtaking)
        return []

    assert numbers(SettledResults(journal, in_flight)(0, 10)) == [first]
