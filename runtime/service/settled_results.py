"""Results by number, for a reader that remembers the highest number it has and must miss none.

Parts do not finish in the order of their numbers: a request overtakes files, and a part that is tried again is
overtaken by others. A reader that got part 6 and asks for what comes after it would never hear of part 5. So a result
is given only once every part before it has its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from .arrival import PartRecord
from .journal import Journal
from .journal_record import RECORD_COLUMNS

MOST_AT_ONCE = 1000


class SettledResults:
    """The results of a journal, in the order of their numbers, up to the first part that may still get one."""

    def __init__(self, journal: Journal, in_flight: Callable[[], Iterable[int]] = tuple) -> None:
        """Results of a journal.

        Args:
            journal: it knows of every part but the requests that are under way.
            in_flight: the numbers of those requests.
        """
        self._journal, self._in_flight = journal, in_flight

    def __call__(self, after: int, limit: int) -> list[PartRecord]:
        """The first results above a number.

        Args:
            after: the highest number that the reader has; 0: all.
            limit: how many, from 1 to `MOST_AT_ONCE`.

        Returns:
            In the order of their numbers; empty where nothing is settled above that number.

        Raises:
            OutputError: the journal cannot be read.
        """
        newest = self.newest()
        if newest is None:
            return []
        # In this order: whatever has a number up to that of `newest` is in flight, or in the journal, by now.
        last = min((newest.number, *(number - 1 for number in self._in_flight())))
        return self._journal.records(
            f"SELECT {RECORD_COLUMNS} FROM parts WHERE number > ? AND number <= ? AND number < "
            "coalesce((SELECT min(number) FROM parts WHERE state != 'done'), ? + 1) ORDER BY number LIMIT ?",
            (after, last, last, max(1, min(limit, MOST_AT_ONCE))),
        )

    def newest(self) -> PartRecord | None:
        """The result with the highest number; None: there is none yet."""
        records = self._journal.records(
            f"SELECT {RECORD_COLUMNS} FROM parts WHERE state = 'done' ORDER BY number DESC LIMIT 1", ()
        )
        return records[0] if records else None
