"""The recommended number of normal scans holds what it promises."""

from __future__ import annotations

import numpy as np
import pytest
from cmdiad.calibration.recommended_scans import recommendation, recommended_scans
from cmdiad.calibration.threshold import threshold_from_good
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats


@pytest.mark.parametrize("rate", [0.05, 0.1])
def test_the_real_rate_is_at_most_twice_the_one_asked_for(rate: float) -> None:
    """By simulation: uniform scores, of which the share above a threshold is one minus it."""
    n, rng = recommended_scans(rate), np.random.default_rng(2)
    kept = [1 - threshold_from_good(rng.random(n), rate).value <= 2 * rate for _ in range(3000)]
    assert np.mean(kept) >= 0.97
    fewer = recommended_scans(rate) * 2 // 3
    unkept = [1 - threshold_from_good(rng.random(fewer), rate).value <= 2 * rate for _ in range(3000)]
    assert np.mean(unkept) < np.mean(kept)


@settings(deadline=None, max_examples=40)
@given(st.sampled_from([0.3, 0.1, 0.07, 0.05, 0.03, 0.02, 0.01]), st.integers(0, 400))
def test_more_scans_than_recommended_never_do_worse(rate: float, more: int) -> None:
    """The binomial sum: fewer than m of n scores lie above the place that 2 * rate of all good parts exceed."""
    n = recommended_scans(rate) + more
    above = int((n + 1) * rate + 1e-9)
    assert stats.binom.cdf(above - 1, n, 2 * rate) <= 0.025 + 1e-9


def test_the_sentence_says_what_there_is_and_what_is_needed() -> None:
    few, enough = recommendation(32, 0.01), recommendation(700, 0.01)
    assert (few.to_count, few.recommended, few.smallest_counted_rate) == (99, 599, 1 / 33)
    assert few.describe() == (
        "recommended for a false-reject rate of 1 %: 599 normal scans (the real rate is then at most 2 times that with "
        "97.5 % confidence), 99 are enough to count it; these 32 count 3.03 % at best"
    )
    assert enough.describe().startswith("700 normal scans are enough for a false-reject rate of 1 %: from 599 on")
    assert "are enough to count it" not in recommendation(120, 0.01).describe()
