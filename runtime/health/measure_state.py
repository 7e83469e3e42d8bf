"""What is remembered of one measure from part to part."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache

import msgspec

from .drift_alarm import DriftDirection
from .measures import REJECT_SHARE
from .rank_reference import RankReference, ShareReference, lot
from .sequential import LARGEST, SHARE_BETS, STAKES, Evidence, Moments, no_evidence, share_bets, shift_bets

_SIGNS: dict[DriftDirection, int] = {"rises": 1, "falls": -1}
_RECENT = 0.05  # the newest part's weight in the moving mean


class MeasureState(msgspec.Struct, kw_only=True):
    """One measure's past.

    Attributes:
        reference: what new values are ranked among.
        moments: of the same values.
        evidence: by direction.
        alarmed: whether there was an alarm that nobody has acknowledged; nothing is learned then.
        value: the latest part's.
        ewma: the moving mean.
        n_not_measured: parts without a finite value.
    """

    reference: RankReference | ShareReference
    moments: Moments
    evidence: dict[DriftDirection, Evidence]
    alarmed: bool = False
    value: float | None = None
    ewma: float | None = None
    n_not_measured: int = 0

    def fits(self, name: str) -> bool:
        """Whether this can be the past of a measure of that name: what was saved may have been changed since."""
        is_share = name == REJECT_SHARE
        bets, sides = (len(SHARE_BETS), {"rises"}) if is_share else (len(STAKES), set(_SIGNS))
        shapes = [len(evidence.sums) == bets for evidence in self.evidence.values()]
        return (
            isinstance(self.reference, ShareReference) == is_share
            and set(self.evidence) == sides
            and all(shapes)
            and 0 <= self.n_not_measured <= LARGEST
            and all(abs(number) <= LARGEST for number in (self.value, self.ewma) if number is not None)
        )

    @classmethod
    def begun(cls, name: str, values: Sequence[float] = (), number: int = 0) -> MeasureState:
        """Before the first part, or after the one of that number: with calibration's values as the reference."""
        reference = ShareReference() if name == REJECT_SHARE else RankReference()
        state = cls(reference=reference, moments=Moments(), evidence={})
        for value in values:
            state._rank(value, 0.5)
        state.begin_evidence(number)
        return state

    def begin_evidence(self, number: int) -> None:
        """Forget what spoke for a change, as after a part of that number; the reference stays."""
        if isinstance(self.reference, ShareReference):
            self.evidence = {"rises": no_evidence(len(SHARE_BETS), number, self.moments)}
        else:
            self.evidence = {side: no_evidence(len(STAKES), number, self.moments) for side in _SIGNS}
        self.alarmed = False

    def add(self, name: str, value: float, number: int) -> None:
        """The next part's value, finite."""
        self.value = value
        self.ewma = value if self.ewma is None else self.ewma + _RECENT * (value - self.ewma)
        if self.alarmed:
            return
        share = self.moments.mean
        rank = self._rank(value, lot(_stream(name), number))
        for direction, evidence in self.evidence.items():
            is_share = isinstance(self.reference, ShareReference)
            bets = share_bets(rank, share) if is_share else shift_bets(rank, _SIGNS[direction])
            evidence.add(*bets, number, self.moments)

    def _rank(self, value: float, drawn: float) -> float:
        self.moments.add(value)
        if isinstance(self.reference, ShareReference):
            return self.reference.place(value > 0, drawn)
        return self.reference.place(value, drawn)


@lru_cache(maxsize=64)
def _stream(name: str) -> int:
    """Of a measure's lots: its own."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
