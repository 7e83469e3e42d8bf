"""What the line graph's search could not prove is searched again, exactly, in NumPy.

The graph marks a query where the bound of its screen does not separate the nearest row from the others, or where two
rows are as near as rounding can tell. Both are rare (docs/search.md, section 7); how often is counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..banks.bank import Matches
from ..threads import single_threaded_blas
from .decision import BankMatch, Decision, scored_match

UNSURE = 1
# A measured row is nearer than its bound allows: the device does not compute as it should, and no bound is trusted.
OUT_OF_BOUND = 2

Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class GraphMatch:
    """What the line graph says of a part's n patches and one bank.

    Attributes:
        queries: (n, d) float32, as the bank holds its rows.
        distance: (n,) float32, in the bank's metric.
        index: (n,) int, the nearest row.
        again: (n,) int, 0, `UNSURE` or `OUT_OF_BOUND`.
    """

    queries: Array
    distance: Array
    index: npt.NDArray[np.integer]
    again: npt.NDArray[np.integer]

    @property
    def searched_again(self) -> npt.NDArray[np.intp]:
        """The patches to search again: those that are marked, or all where a bound did not hold."""
        wanted = np.ones(len(self.again), np.bool_) if (self.again == OUT_OF_BOUND).any() else self.again != 0
        return np.flatnonzero(wanted)


def decide_again(
    decision: Decision, foreground: npt.NDArray[np.bool_], matches: Sequence[GraphMatch]
) -> tuple[float, Array]:
    """Search marked patches again, and decide as the NumPy runtime does.

    Args:
        decision: the banks and the fusion.
        foreground: (3136,) bool, the patches.
        matches: one for each bank.

    Returns:
        The part's score, and its map of (224, 224) float32.

    Raises:
        NotFiniteError: a query has a value that is not finite.
    """
    return decision.decide(foreground, settled_matches(decision, matches))


@single_threaded_blas()
def settled_matches(decision: Decision, matches: Sequence[GraphMatch]) -> tuple[BankMatch, ...]:
    """The matches with each bank, marked patches searched again; arguments and errors are those of `decide_again`."""
    banks = [normalized.bank for normalized in (decision.main, decision.second) if normalized is not None]
    settled = []
    for bank, match in zip(banks, matches, strict=True):
        distance, index, marked = match.distance.copy(), match.index.astype(np.int64), match.searched_again
        if len(marked):
            bank.require_finite(match.queries[marked])
            exact = bank.search_prepared(match.queries[marked])
            distance[marked], index[marked] = exact.distance, exact.index
        settled.append(scored_match(bank, match.queries, Matches(distance, index)))
    return tuple(settled)
