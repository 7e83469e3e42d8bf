"""Ranks among all values so far are uniform and independent, whatever the distribution, in bounded memory."""

import msgspec
import numpy as np
import pytest
from cmdiad.runtime.bundle.health_baseline import MOST_VALUES
from cmdiad.runtime.health.rank_reference import RankReference, ShareReference, lot
from scipy import stats

SIZE = 4000


def placed(values, seed=1):
    reference = RankReference()
    return np.array(
        [reference.place(float(value), lot(seed, number)) for number, value in enumerate(values)]
    ), reference


def draws(name, rng):
    return {
        "normal": rng.normal(size=SIZE),
        "lognormal": rng.lognormal(sigma=1.5, size=SIZE),
        "t4": rng.standard_t(4, size=SIZE),
        "discrete": rng.integers(3, size=SIZE).astype(float),
        "constant": np.zeros(SIZE),
    }[name]


@pytest.mark.parametrize("name", ["normal", "lognormal", "t4", "discrete", "constant"])
def test_ranks_are_uniform_and_one_does_not_tell_the_next(name):
    ranks, reference = placed(draws(name, np.random.default_rng(3)))
    assert reference.total == SIZE and len(reference.edges) <= MOST_VALUES
    assert stats.kstest(ranks, "uniform").pvalue > 1e-3
    assert abs(np.corrcoef(ranks[1:], ranks[:-1])[0, 1]) < 4 / np.sqrt(SIZE)
    # Over a hundred parts too: an error of the reference that stays would show here.
    means = ranks.reshape(-1, 100).mean(axis=1)
    assert means.std() == pytest.approx(np.sqrt(1 / 12 / 100), rel=0.35)


def test_before_the_memory_is_full_ranks_are_exact():
    values = np.random.default_rng(0).normal(size=MOST_VALUES)
    reference = RankReference()
    for count, value in enumerate(values):
        rank = reference.place(float(value), 0.5)
        assert rank == pytest.approx((np.sum(values[:count] < value) + 0.5) / (count + 1))


def test_afterwards_they_are_known_to_the_gap_between_two_values_that_are_kept():
    values = np.random.default_rng(0).normal(size=SIZE)
    ranks, _ = placed(values)
    exact = np.array([np.mean(values[:count] < values[count]) for count in range(1, SIZE)])
    # A gap holds a share of about 1/128 of all values, at random: hardly ever twelve times as much.
    error = np.abs(ranks[1:] - exact)[1000:]
    assert error.max() < 12 / MOST_VALUES and error.mean() < 1 / MOST_VALUES


def test_shares_rank_rejected_parts_above_all_others():
    reference = ShareReference()
    rejected = np.random.default_rng(1).random(SIZE) < 0.03
    ranks = np.array([reference.place(bool(value), lot(2, number)) for number, value in enumerate(rejected)])
    assert stats.kstest(ranks, "uniform").pvalue > 1e-3
    assert ranks[1000:][rejected[1000:]].min() > ranks[1000:][~rejected[1000:]].max() - 0.02
    assert reference.rejected == rejected.sum()


def test_lots_are_uniform_and_each_measure_has_its_own():
    first, second = (np.array([lot(stream, number) for number in range(SIZE)]) for stream in (1, 2))
    assert stats.kstest(first, "uniform").pvalue > 1e-3 and abs(np.corrcoef(first, second)[0, 1]) < 0.06
    assert first.min() > 0 and first.max() < 1


def test_counts_that_do_not_fit_are_refused():
    _, reference = placed([1.0, 2.0, 2.0])
    told = msgspec.to_builtins(reference)
    assert msgspec.convert(told, RankReference) == reference
    for change in ({"total": 5}, {"equal": [1]}, {"edges": [2.0, 1.0]}, {"equal": [-1, 4]}):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert({**told, **change}, RankReference)
