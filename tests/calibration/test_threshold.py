"""Thresholds hold the rates and intervals that they state."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import numpy.typing as npt
import pytest
from cmdiad.calibration.threshold import far_threshold, scans_needed, threshold_from_good
from cmdiad.runtime.bundle.parameters import Placement
from cmdiad.runtime.errors import UsageError
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats


def log_normal(n: int, seed: int = 0) -> npt.NDArray[np.float64]:
    return np.exp(np.random.default_rng(seed).normal(1.0, 0.2, n))


@pytest.mark.parametrize(("rate", "n"), [(0.5, 1), (0.1, 9), (0.05, 19), (0.01, 99), (0.001, 999), (0.3, 3)])
def test_scans_needed_is_exact_for_rates_as_typed(rate: float, n: int) -> None:
    assert scans_needed(rate) == n


@given(st.integers(1, 400), st.sampled_from([0.5, 0.25, 0.1, 0.05, 0.03, 0.02, 0.01]))
def test_order_statistic_leaves_the_allowed_share_above_it(n: int, rate: float) -> None:
    if n < scans_needed(rate):
        return
    scores = np.random.default_rng(n).permutation(n).astype(float)
    threshold = threshold_from_good(scores, rate)
    above = int((scores > threshold.value).sum())
    assert threshold.method == "order-statistic"
    assert (above + 1) / (n + 1) <= rate + 1e-12 < (above + 2) / (n + 1)


def test_with_just_enough_scans_the_threshold_is_the_largest_score() -> None:
    scores = log_normal(99)
    threshold = threshold_from_good(scores, 0.01)
    assert (threshold.method, threshold.value, threshold.n_scans) == ("order-statistic", scores.max(), 99)


def test_order_of_the_scores_does_not_matter() -> None:
    scores = log_normal(120)
    assert threshold_from_good(scores, 0.05) == threshold_from_good(scores[::-1], 0.05)


@pytest.mark.parametrize(("n", "rate"), [(19, 0.05), (60, 0.05), (120, 0.01)])
def test_counted_interval_covers_the_realized_rate(n: int, rate: float) -> None:
    rng = np.random.default_rng(1)
    realized = np.empty(1500)
    for index in range(len(realized)):
        threshold = threshold_from_good(rng.random(n), rate)
        realized[index] = 1 - threshold.value
    covered = np.mean((realized >= threshold.rate_low) & (realized <= threshold.rate_high))
    assert covered == pytest.approx(0.95, abs=0.02)
    assert realized.mean() <= rate * 1.1


@pytest.mark.parametrize(("n", "rate"), [(3, 0.05), (10, 0.05), (39, 0.01)])
def test_extrapolated_bound_and_interval_hold_on_log_normal_scores(n: int, rate: float) -> None:
    rng = np.random.default_rng(2)
    logs = rng.normal(1.0, 0.2, (4000, n))
    factor = stats.t.isf(rate, n - 1) * math.sqrt(1 + 1 / n)
    realized = stats.norm.sf((logs.mean(1) + factor * logs.std(1, ddof=1) - 1.0) / 0.2)
    threshold = threshold_from_good(np.exp(logs[0]), rate)
    assert threshold.method == "extrapolated"
    assert threshold.value == pytest.approx(np.exp(logs[0].mean() + factor * logs[0].std(ddof=1)))
    assert realized.mean() == pytest.approx(rate, rel=0.15)
    assert np.mean(realized < threshold.rate_low) == pytest.approx(0.025, abs=0.01)
    assert np.mean(realized > threshold.rate_high) == pytest.approx(0.025, abs=0.01)


def test_extrapolated_threshold_scales_with_the_scores() -> None:
    scores = log_normal(39)
    threshold, thousandth = threshold_from_good(scores, 0.01), threshold_from_good(scores / 1000, 0.01)
    assert thousandth.value == pytest.approx(threshold.value / 1000)
    assert (thousandth.rate_low, thousandth.rate_high) == (threshold.rate_low, threshold.rate_high)


def test_a_rate_that_two_scans_cannot_tell_still_gives_finite_figures_or_an_error() -> None:
    threshold = threshold_from_good([1.0, 1.1], 0.01)
    assert threshold.value > 1.1
    assert 0 <= threshold.rate_low <= threshold.rate_high <= 1
    with pytest.raises(UsageError, match="too few for a false-reject rate"):
        threshold_from_good([1.0, 3.0], 1e-6)


@pytest.mark.parametrize(
    ("scores", "rate", "words"),
    [
        ([], 0.01, "0 good scans are too few"),
        ([1.0], 0.01, "1 good scans are too few"),
        ([1.0, np.nan, 2.0], 0.01, "1 of 3 good scores are not finite"),
        ([1.0, np.inf], 0.01, "not finite"),
        ([2.0, 2.0, 2.0], 0.01, "same score"),
        ([0.0, 1.0, 2.0], 0.01, "1 of 3 good scans score zero or less"),
        ([1.0, 2.0, 3.0], 0.0, "rate"),
        ([1.0, 2.0, 3.0], 1.0, "rate"),
        ([1.0, 2.0, 3.0], float("nan"), "rate"),
    ],
)
def test_degenerate_scores_are_refused_in_plain_words(scores: list[float], rate: float, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        threshold_from_good(scores, rate)


def test_copies_are_harmless_where_scores_are_counted() -> None:
    threshold = threshold_from_good([0.0] * 10 + [2.0] * 15, 0.05)
    assert (threshold.method, threshold.value) == ("order-statistic", 2.0)


def test_a_threshold_far_above_all_scores_is_said_until_defects_place_it() -> None:
    scores = [1.0, 2.0, 4.0]
    threshold = threshold_from_good(scores, 0.05)
    (sentence,) = far_threshold(scores, threshold)
    assert f"{threshold.value / 4:.1f} times" in sentence and "19 need no extrapolation" in sentence
    assert sentence.endswith("or place it with --defective")
    assert "--defective" not in far_threshold(scores, threshold, can_be_placed=False)[0]
    placed = msgspec.structs.replace(
        threshold,
        placement=Placement(rule="asked-rate", normal_value=threshold.value, lowest=3.0, n_known=1, n_missed=1),
    )
    assert far_threshold(scores, placed) == []


def test_a_threshold_near_the_scores_or_one_of_them_is_not_doubted() -> None:
    rng = np.random.default_rng(0)
    for n in (30, 150):
        scores = np.exp(rng.normal(0, 0.1, n))
        assert far_threshold(scores, threshold_from_good(scores, 0.01)) == []
