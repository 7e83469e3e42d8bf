"""Known defects place the threshold by the stated rule, and never against the false-reject rate that was asked for."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from cmdiad.calibration.calibrate import Calibrated
from cmdiad.calibration.known_defects import (
    KnownDefect,
    clearest,
    defect_warnings,
    halfway,
    place_threshold,
    rate_choices,
    with_known_defects,
)
from cmdiad.calibration.threshold import rate_interval, threshold_from_good
from cmdiad.runtime.bundle.parameters import Placement, Threshold
from cmdiad.runtime.bundle.reading import open_bundle
from cmdiad.runtime.errors import UsageError
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

GOOD = np.exp(np.random.default_rng(0).normal(0.5, 0.15, 120))


def defects(*scores: float) -> list[KnownDefect]:
    return [
        KnownDefect(Path(f"{number}.tiff"), f"{number:064x}", score, "", False) for number, score in enumerate(scores)
    ]


def test_apart_the_threshold_lies_halfway_in_the_logarithm() -> None:
    normal = threshold_from_good(GOOD, 0.05)
    placed = place_threshold(normal, GOOD, defects(9.0, 5.0, 7.0))
    assert placed.value == pytest.approx(math.exp((math.log(normal.value) + math.log(5.0)) / 2))
    assert placed.placement is not None and placed.placement.rule == "midpoint"
    assert (placed.placement.normal_value, placed.placement.lowest) == (normal.value, 5.0)
    assert (placed.placement.n_known, placed.placement.n_missed) == (3, 0)
    assert placed.placement.digests == [f"{number:064x}" for number in range(3)]
    assert "less than 5 % of the good ones" in placed.describe() and "all 3 score above" in placed.placement.describe()


def test_overlapping_the_asked_rate_wins_and_the_missed_are_counted() -> None:
    normal = threshold_from_good(GOOD, 0.05)
    placed = place_threshold(normal, GOOD, defects(9.0, 0.5, normal.value))
    assert msgspec.structs.replace(placed, placement=None) == normal
    assert placed.placement is not None and placed.placement.rule == "asked-rate"
    assert placed.placement.n_missed == 2 and "2 of 3 score at it or below" in placed.placement.describe()


@given(st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=6), st.sampled_from([0.01, 0.05, 0.2]))
def test_the_threshold_never_falls_and_known_defects_above_it_stay_above(scores: list[float], rate: float) -> None:
    normal = threshold_from_good(GOOD, rate)
    placed = place_threshold(normal, GOOD, defects(*scores))
    assert placed.value >= normal.value and placed.rate_high <= normal.rate_high
    assert placed.placement is not None
    assert placed.placement.n_missed == sum(score <= normal.value for score in scores)


@given(st.floats(1e-300, 1e300), st.floats(1, 1e6))
def test_halfway_lies_between(normal: float, factor: float) -> None:
    lowest = max(normal * factor, math.nextafter(normal, math.inf))
    assert normal <= halfway(normal, lowest) < lowest


def test_scores_that_have_no_logarithm_meet_in_the_middle() -> None:
    assert halfway(0.0, 3.0) == 1.5 and halfway(-1.0, 3.0) == 1.0


def test_the_counted_interval_above_all_scores_is_that_of_a_share_of_none() -> None:
    normal = threshold_from_good(GOOD, 0.05)
    low, high = rate_interval(GOOD, 10.0, normal)
    assert low == 0.0 and high == pytest.approx(1 - 0.025 ** (1 / len(GOOD)))


def test_the_extrapolated_interval_is_that_of_the_log_normal_tail() -> None:
    few = GOOD[:12]
    normal = threshold_from_good(few, 0.01)
    assert normal.method == "extrapolated"
    assert rate_interval(few, normal.value, normal) == pytest.approx((normal.rate_low, normal.rate_high), rel=1e-6)
    logs = np.log(few)
    value = float(np.exp(logs.mean() + 4 * logs.std(ddof=1)))
    low, high = rate_interval(few, value, normal)
    # The tolerance factor of Owen: where the true rate is `high`, 2.5 % of samples give a factor of 4 or more.
    quantile = stats.norm.isf(high)
    assert stats.nct.sf(4 * math.sqrt(12), 11, quantile * math.sqrt(12)) == pytest.approx(0.025, abs=1e-6)
    assert low < high < normal.rate_high


def test_other_rates_trade_missed_defects_for_rejected_parts() -> None:
    choices = rate_choices(GOOD, defects(1.9, 2.1, 2.4, 9.0), 0.03)
    assert [choice.false_reject_rate for choice in choices] == [0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2]
    missed = [choice.missed for choice in choices]
    assert missed == sorted(missed, reverse=True) and missed[0] > missed[-1]
    for choice in choices:
        assert choice.threshold == threshold_from_good(GOOD, choice.false_reject_rate).value


def test_a_defect_without_a_finite_score_is_refused() -> None:
    with pytest.raises(UsageError, match="1 of 2 known defects"):
        place_threshold(threshold_from_good(GOOD, 0.05), GOOD, defects(3.0, math.nan))


def test_defects_among_the_normal_scans_and_such_as_infer_refuses_are_warned_of() -> None:
    among = KnownDefect(Path("a.tiff"), "0", 1.0, "", True)
    foreign = KnownDefect(Path("b.tiff"), "1", 2.0, "it is 9 mm across", False)
    first, second = defect_warnings([among, foreign])
    assert first.startswith("1 of 2 known defects are normal scans too") and "a.tiff" in first
    assert "b.tiff: it is 9 mm across" in second
    assert defect_warnings(defects(1.0)) == [] and clearest([]) is None
    assert "do not place the threshold" in second
    assert clearest([among, foreign]) == Path("a.tiff") and clearest([foreign]) is None


def test_what_infer_refuses_moves_no_threshold_and_is_not_counted(calibrated_bundle: Path) -> None:
    calibration = open_bundle(calibrated_bundle).manifest.calibration
    assert calibration is not None
    before = Calibrated(None, calibration, GOOD, {})  # type: ignore[arg-type]
    foreign = KnownDefect(Path("b.tiff"), "1", 9.0 * calibration.threshold.value, "it is 9 mm across", False)
    assert with_known_defects(before, [foreign]) == before
    ours = replace(foreign, refusal="", score=2.0 * calibration.threshold.value)
    placed = with_known_defects(before, [foreign, ours]).calibration.threshold.placement
    assert placed is not None and (placed.n_known, placed.lowest) == (1, ours.score)
    assert [choice.missed for choice in rate_choices(GOOD, [replace(foreign, score=-1.0)], 0.05)] == [0] * len(
        rate_choices(GOOD, [], 0.05)
    )


def test_a_manifest_from_before_has_no_placement_and_a_wrong_one_is_refused() -> None:
    normal = threshold_from_good(GOOD, 0.05)
    before = {name: value for name, value in msgspec.to_builtins(normal).items() if name != "placement"}
    assert msgspec.convert(before, Threshold) == normal
    placed = place_threshold(normal, GOOD, defects(9.0))
    assert msgspec.json.decode(msgspec.json.encode(placed), type=Threshold) == placed
    with pytest.raises(ValueError, match="n_missed is 2"):
        Placement(rule="midpoint", normal_value=1.0, lowest=2.0, n_known=1, n_missed=2)
