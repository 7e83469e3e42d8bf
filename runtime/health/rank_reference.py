"""Where a value ranks among all of its measure so far, in bounded memory: a p-value that needs no distribution.

If parts are exchangeable (their order says nothing), the rank of the newest among all so far is uniform and independent
of the ranks before it, whatever the distribution and however few values there were (Barndorff-Nielsen 1963; with ties
drawn by lot: Vovk, Gammerman, Shafer 2005, "smoothed conformal p-values"). Nothing is estimated, so nothing has to be
corrected for a small calibration.

The first 128 distinct values are kept; of later ones, only which two of these they lie between. Within a gap the rank
is drawn: values in one gap are exchangeable, so the drawn ranks are distributed as the true ones are.
"""

from __future__ import annotations

from bisect import bisect_left

import msgspec

from ..bundle.health_baseline import MOST_VALUES

_WORD = (1 << 64) - 1
_MOST_VALUES = 1 << 53  # a float64 counts no further


class RankReference(msgspec.Struct, kw_only=True, tag=True):
    """The values of one measure so far.

    Attributes:
        edges: the first distinct values, ascending, at most `MOST_VALUES`.
        equal: how many values are equal to each edge.
        between: how many lie below the first edge, between each two, and above the last.
        total: all values.
    """

    edges: list[float] = []
    equal: list[int] = []
    between: list[int] = msgspec.field(default_factory=lambda: [0])
    total: int = 0

    def __post_init__(self) -> None:
        """Refuse counts that do not fit; while decoding, msgspec reports this with its place."""
        counts = [*self.equal, *self.between]
        fits = len(self.edges) == len(self.equal) == len(self.between) - 1 <= MOST_VALUES
        is_counted = fits and min(counts) >= 0 and sum(counts) == self.total <= _MOST_VALUES
        if not is_counted or sorted(set(self.edges)) != self.edges:
            raise ValueError("edges, equal, between and total do not fit each other")

    def place(self, value: float, lot: float) -> float:
        """The share of all values so far that lie below this one, itself added, in (0, 1); the value is kept.

        Args:
            value: the newest, finite.
            lot: in (0, 1), draws the place among those that cannot be told from it.

        Example:
            >>> reference = RankReference()
            >>> [round(reference.place(value, 0.5), 2) for value in (3.0, 1.0, 2.0)]
            [0.5, 0.25, 0.5]
        """
        place = bisect_left(self.edges, value)
        is_edge = place < len(self.edges) and self.edges[place] == value
        below = sum(self.equal[:place]) + sum(self.between[:place])
        if is_edge:
            below, among = below + self.between[place], self.equal[place]
            self.equal[place] += 1
        else:
            among = self.between[place]
            self._add(place, value)
        self.total += 1
        return (below + lot * (among + 1)) / self.total

    def _add(self, place: int, value: float) -> None:
        if len(self.edges) == MOST_VALUES:
            self.between[place] += 1
            return
        # No value lies between edges as long as they are not complete.
        self.edges.insert(place, value)
        self.equal.insert(place, 1)
        self.between.append(0)


class ShareReference(msgspec.Struct, kw_only=True, tag=True):
    """The same for yes and no: how many of all parts so far were rejected."""

    rejected: int = 0
    total: int = 0

    def __post_init__(self) -> None:
        """Refuse counts that do not fit."""
        if not 0 <= self.rejected <= self.total <= _MOST_VALUES:
            raise ValueError(f"{self.rejected} of {self.total} parts cannot have been rejected")

    def place(self, is_rejected: bool, lot: float) -> float:
        """The rank of the newest part, rejected ones above all others; the part is counted."""
        self.total += 1
        self.rejected += is_rejected
        share = self.rejected / self.total
        return 1 - share * (1 - lot) if is_rejected else lot * (1 - share)


def lot(stream: int, number: int) -> float:
    """A number in (0, 1) that looks drawn by chance, always the same for the same arguments (SplitMix64, Steele 2014).

    Example:
        >>> lot(1, 2) == lot(1, 2) != lot(1, 3)
        True
    """
    word = (stream + (number + 1) * 0x9E3779B97F4A7C15) & _WORD
    word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) & _WORD
    word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & _WORD
    return float(((word ^ (word >> 31)) >> 11) + 0.5) / float(1 << 53)
