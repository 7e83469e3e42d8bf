"""Figures are order statistics of all samples, and are given only where the sample carries them."""

from math import comb

import numpy as np
import pytest
from cmdiad.runtime.bench.measuring.durations import in_ms, parse_duration
from cmdiad.runtime.bench.measuring.statistics import (
    median_interval,
    percentile,
    rate_bound,
    samples_needed,
    summarize,
    summarize_takt,
    tail,
)
from cmdiad.runtime.errors import UsageError
from hypothesis import given, settings
from hypothesis import strategies as st


def at_most_one_beyond(n, share):
    return share**n + n * (1 - share) * share ** (n - 1)


@pytest.mark.parametrize(("q", "n"), [(90, 64), (99, 662)])
def test_a_percentile_needs_as_many_samples_as_loadgens_early_stopping(q, n):
    assert samples_needed(q) == n
    assert at_most_one_beyond(n, q / 100) <= 0.01 < at_most_one_beyond(n - 1, q / 100)


@pytest.mark.parametrize(
    ("n", "p90", "p99"), [(63, False, False), (64, True, False), (661, True, False), (662, True, True)]
)
def test_percentiles_appear_from_their_sample_size_on(n, p90, p99):
    summary = summarize(np.arange(1.0, n + 1).tolist())
    assert (summary.p90_s is not None, summary.p99_s is not None) == (p90, p99)


@settings(deadline=None)
@given(st.lists(st.floats(1e-6, 1e3), min_size=1, max_size=200), st.sampled_from([50, 90, 99]))
def test_a_percentile_is_a_sample_that_enough_samples_do_not_exceed(values, q):
    found = percentile(np.sort(values), q)
    assert found in values
    assert sum(value <= found for value in values) >= q / 100 * len(values)
    smaller = [value for value in values if value < found]
    assert not smaller or sum(value <= max(smaller) for value in values) < q / 100 * len(values)


def test_nothing_is_clipped():
    summary = summarize([0.1] * 99 + [60.0])
    assert summary.max_s == 60.0 and summary.n == 100 and summary.mean_s == pytest.approx((9.9 + 60) / 100)


@pytest.mark.parametrize("n", [6, 7, 20, 64, 101])
def test_the_medians_interval_holds_at_least_95_percent_and_no_needless_sample(n):
    low, high = (int(end) for end in median_interval(np.arange(n, dtype=float)))
    assert low == n - 1 - high

    def confidence(outside):
        return 1 - 2 * sum(comb(n, k) for k in range(outside)) / 2**n

    assert confidence(low + 1) >= 0.95 > confidence(low + 2)


def test_five_samples_carry_no_interval():
    assert median_interval(np.arange(5.0)) is None


def test_the_tail_is_the_strictest_that_the_sample_carries():
    values = np.arange(1.0, 701.0)
    assert tail(values[:10]) == ("worst", 10.0)
    assert tail(values[:100]) == ("p90", 90.0)
    assert tail(values) == ("p99", 693.0)


def test_deadlines_are_counted_with_streak_and_recovery():
    due = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    end = [0.5, 2.5, 3.6, 4.2, 4.5, 6.5]
    summary = summarize_takt(due, end, 1.0)
    assert (summary.missed, summary.longest_streak, summary.recovered) == (4, 3, False)
    assert summary.worst_s == pytest.approx(1.6)
    # Part 1 missed its deadline at 2.0, and part 4 was in time at 4.5.
    assert summary.recovery_s == pytest.approx(2.5)


def test_a_line_in_time_has_no_recovery():
    summary = summarize_takt([0.0, 1.0], [0.5, 1.5], 1.0)
    assert (summary.missed, summary.recovery_s, summary.recovered) == (0, None, True)


@pytest.mark.parametrize(("events", "n"), [(0, 10), (0, 64), (3, 50)])
def test_the_rate_bound_leaves_five_percent(events, n):
    bound = rate_bound(events, n)
    assert sum(comb(n, k) * bound**k * (1 - bound) ** (n - k) for k in range(events + 1)) == pytest.approx(0.05)


def test_all_missed_has_no_bound_below_one():
    assert rate_bound(7, 7) == 1.0


@pytest.mark.parametrize(("text", "seconds"), [("800ms", 0.8), ("1.5s", 1.5), (" 2 min", 120.0), ("50us", 5e-5)])
def test_durations_have_units(text, seconds):
    assert parse_duration(text, "--takt") == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["800", "ms", "0ms", "-1s", "1h", "1e3ms", ""])
def test_a_duration_without_meaning_is_refused(text):
    with pytest.raises(UsageError, match="--takt"):
        parse_duration(text, "--takt")


@pytest.mark.parametrize(("seconds", "text"), [(1.2345, "1234"), (0.0123, "12.3"), (1.2e-4, "0.120"), (0.0, "0")])
def test_milliseconds_have_three_digits(seconds, text):
    assert in_ms(seconds) == text
