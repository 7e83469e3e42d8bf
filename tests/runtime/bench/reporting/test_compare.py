"""A slowdown is found, equal runs are called the same, and the machine's own drift is neither."""

import numpy as np
import pytest
from cmdiad.runtime.bench.measuring.driver import Call, Recording
from cmdiad.runtime.bench.measuring.report import make_result
from cmdiad.runtime.bench.measuring.scenarios import Scenario
from cmdiad.runtime.bench.reporting.compare import compare_reports, differences, rank_test
from cmdiad.runtime.errors import UsageError
from scipy.stats import mannwhitneyu

from ..outcomes import SILENT, outcome, report

SCANS = 3


def run(seed, slowdown=0.0, machine=1.0, drift=0.0, parts=200, parts_a_yardstick=1):
    """A single-stream run of three unlike scans on a machine whose speed wanders and whose neighbors interrupt."""
    generator = np.random.default_rng(seed)
    calls, marks, now, wander = [], [], 0.0, 0.0
    for number in range(parts):
        wander = 0.95 * wander + generator.normal(0, 0.01)
        speed = machine * (1 + drift * number / parts) * np.exp(wander)
        if number % parts_a_yardstick == 0:
            marks.append((now, 0.01 * speed * np.exp(generator.normal(0, 0.02))))
            now += marks[-1][1]
        interrupted = 0.05 * generator.exponential() if generator.random() < 0.3 else 0.0
        took = 0.1 * (1 + number % SCANS) * speed * (1 + slowdown) * np.exp(generator.normal(0, 0.03)) + interrupted
        calls.append(Call(first=number, parts=1, due_s=[now], begin_s=now, end_s=now + took, stages_s={"x": took}))
        now += took
    result = make_result(Scenario(name="single-stream"), Recording(calls=calls, yardstick_s=marks), SILENT)
    made = outcome([0.1])
    return report([type(made)(**{**as_fields(made), "n_scans": SCANS, "results": [result]})])


def as_fields(struct):
    return {name: getattr(struct, name) for name in struct.__struct_fields__}


def verdict(before, after):
    (found,) = compare_reports(before, after)
    return found


@pytest.mark.parametrize("seed", range(5))
def test_ten_percent_slower_is_found(seed):
    found = verdict(run(seed), run(seed + 100, slowdown=0.10))
    assert found.verdict == "slower" and found.ratio == pytest.approx(1.10, abs=0.04)
    assert found.interval[0] < found.ratio < found.interval[1]


@pytest.mark.parametrize("seed", range(5))
def test_equal_runs_are_the_same(seed):
    assert verdict(run(seed), run(seed + 200)).verdict == "same"


@pytest.mark.parametrize("seed", range(3))
def test_a_machine_that_became_slower_is_not_a_regression(seed):
    found = verdict(run(seed), run(seed + 300, machine=1.4, drift=0.3))
    assert found.verdict == "same" and found.machine > 1.3


def test_a_significant_change_below_five_percent_is_too_small_to_count():
    found = verdict(run(1, parts=1600), run(2, slowdown=0.025, parts=1600))
    assert found.p < 0.01 and found.verdict == "same"


def test_parts_that_are_faster_than_the_yardstick_comes():
    before = run(1, parts=1200, parts_a_yardstick=8)
    assert verdict(before, run(2, parts=1200, parts_a_yardstick=8)).verdict == "same"
    assert verdict(before, run(2, slowdown=0.10, parts=1200, parts_a_yardstick=8)).verdict == "slower"


def test_faster_is_said_too():
    assert verdict(run(1, slowdown=0.15), run(2)).verdict == "faster"


def test_a_run_against_itself_is_the_same():
    found = verdict(run(1), run(1))
    assert found.ratio == 1.0 and found.p == 1.0


def test_the_interval_covers_the_true_shift():
    generator = np.random.default_rng(0)
    covered = 0
    for _ in range(200):
        a, b = generator.normal(0, 1, 15), generator.normal(0.5, 1, 12)
        shift, low, high, p = rank_test(a, b)
        covered += low <= 0.5 <= high
        assert low <= shift <= high
        assert p == mannwhitneyu(a, b).pvalue
    assert 180 <= covered <= 199


@pytest.mark.parametrize("short", [{"parts": 23}, {"parts": 200, "parts_a_yardstick": 10}])
def test_too_short_a_run_is_refused(short):
    with pytest.raises(UsageError, match="--seconds"):
        verdict(run(1, **short), run(2))


def test_reports_without_a_common_configuration_are_refused():
    with pytest.raises(UsageError, match="in common"):
        compare_reports(report([outcome([0.1], threads=1)]), report([outcome([0.1], threads=2)]))


def test_what_else_differs_is_named():
    before, after = report([outcome([0.1])]), report([outcome([0.1])])
    assert differences(before, after) == []
    fields = as_fields(after.machine)
    fields.update(cores=8, versions={"numpy": "3"})
    changed = type(after)(**{**as_fields(after), "machine": type(after.machine)(**fields)})
    assert differences(before, changed) == ["cores: 2 before, 8 after", "numpy: absent before, 3 after"]
