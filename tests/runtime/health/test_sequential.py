"""Bets are fair while nothing changes, evidence grows after a change, and the change point is near the change."""

import numpy as np
import pytest
from cmdiad.runtime.health.sequential import (
    SHARE_BETS,
    STAKES,
    Moments,
    no_evidence,
    share_bets,
    shift_bets,
)

GRID = (np.arange(20_000) + 0.5) / 20_000


@pytest.mark.parametrize("direction", [1, -1])
def test_bets_on_a_shift_have_mean_one_and_are_never_negative(direction):
    bets = np.array([[*several, middle] for several, middle in (shift_bets(rank, direction) for rank in GRID)])
    assert bets.min() > 0 and bets.mean(axis=0) == pytest.approx(np.ones(len(STAKES) + 1))


def test_bets_on_a_share_have_mean_one_and_are_never_negative():
    bets = np.array([share_bets(rank, 0.1)[0] for rank in GRID])
    assert bets.min() > 0 and bets.mean(axis=0) == pytest.approx(np.ones(len(SHARE_BETS)), abs=1e-3)


def test_evidence_grows_by_one_a_part_on_average():
    """So that it takes C parts to C by chance, and that within N parts is N / C likely at most."""
    rng = np.random.default_rng(0)
    length = 20
    ends = []
    for _ in range(4000):
        moments, evidence = Moments(), no_evidence(len(STAKES), 0, Moments())
        for number in range(1, length + 1):
            evidence.add(*shift_bets(rng.random(), 1), number, moments)
        ends.append(evidence.mean)
    assert np.mean(ends) == pytest.approx(length, abs=4 * np.std(ends) / np.sqrt(len(ends)))


def test_where_a_change_began_is_told_with_the_means_before_and_since():
    rng = np.random.default_rng(2)
    moments = Moments()
    evidence = no_evidence(len(STAKES), 0, moments)
    for number in range(1, 301):
        value = rng.random() if number <= 200 else 1 - rng.random() ** 3
        moments.add(value)
        evidence.add(*shift_bets(value, 1), number, moments)
    assert 190 <= evidence.since <= 215
    assert evidence.before.mean == pytest.approx(0.5, abs=0.06)
    assert moments.mean_since(evidence.before) == pytest.approx(0.75, abs=0.06)
    assert moments.mean_since(moments.copy()) is None


def test_evidence_stays_finite():
    evidence = no_evidence(len(STAKES), 0, Moments())
    for number in range(5000):
        evidence.add(*shift_bets(0.999, 1), number, Moments())
    assert np.isfinite(evidence.sums).all() and np.isfinite(evidence.change)


def test_moments_are_those_of_the_values():
    values = np.random.default_rng(0).normal(7, 2, size=50)
    moments = Moments()
    assert moments.std is None
    for value in values:
        moments.add(float(value))
    assert (moments.mean, moments.std) == pytest.approx((values.mean(), values.std(ddof=1)))
