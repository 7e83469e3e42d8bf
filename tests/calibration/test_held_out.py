"""Normal scans that score far above the others are named; clean ones rarely are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from cmdiad.calibration.held_out import ranked, robust_sigmas, suspicion_limit, suspicions
from hypothesis import given
from hypothesis import strategies as st


def scans(n: int) -> list[Path]:
    return [Path(f"normal/{number:03}.tiff") for number in range(n)]


@pytest.mark.parametrize("n", [5, 8, 12, 32, 100])
def test_about_one_clean_calibration_in_twenty_has_a_suspicious_scan(n: int) -> None:
    rng, limit = np.random.default_rng(3), suspicion_limit(n)
    sigmas = [robust_sigmas(np.exp(rng.normal(1, 0.2, n))) for _ in range(3000)]
    called = np.mean([values is not None and values.max() > limit for values in sigmas])
    assert 0.02 < called < 0.08


def test_the_sigmas_are_those_of_the_median_absolute_deviation_of_the_logarithms() -> None:
    scores = np.array([1.0, 2.0, 4.0, 8.0, 1024.0])
    logs = np.log2(scores)
    spread = 1.482602218505602 * np.median(np.abs(logs - 2))
    assert robust_sigmas(scores) == pytest.approx((logs - 2) / spread)


@given(st.lists(st.floats(0.5, 2), min_size=4, max_size=40, unique=True), st.floats(0.1, 1000))
def test_the_unit_of_the_scores_changes_nothing(scores: list[float], unit: float) -> None:
    values = np.array(scores)
    before, after = robust_sigmas(values), robust_sigmas(values * unit)
    if before is not None and after is not None and np.ptp(np.log(values)) > 1e-3:
        assert after == pytest.approx(before, rel=1e-3, abs=1e-3)


def test_a_bad_scan_among_the_normal_ones_is_named_with_its_figures() -> None:
    scores = np.append(np.exp(np.random.default_rng(0).normal(0, 0.1, 20)), [3.0, 2.5])
    first, second, *others = ranked(scans(22), scores)
    assert [first.scan.name, second.scan.name] == ["020.tiff", "021.tiff"]  # type: ignore[union-attr]
    assert first.is_suspicious and second.is_suspicious and not any(scan.is_suspicious for scan in others)
    (sentence,) = suspicions(scans(22), scores)
    assert sentence.startswith("2 of 22 normal scans score far above the others (median ")
    assert "normal/020.tiff (3, " in sentence and "normal/021.tiff (2.5, " in sentence


def test_of_few_scans_next_to_no_spread_gives_no_absurd_figure() -> None:
    (sentence,) = suspicions(scans(5), np.array([1.0, 1.001, 0.999, 1.002, 3.0]))
    assert "normal/004.tiff (3, over 20 sigma)" in sentence


def test_scores_without_a_spread_name_nobody() -> None:
    assert robust_sigmas([1.0, 1.0, 1.0, 5.0]) is None
    assert suspicions(scans(4), np.array([1.0, 1.0, 1.0, 5.0])) == []
    assert [scan.sigmas for scan in ranked(scans(4), np.array([1.0, 1.0, 1.0, 5.0]))] == [None] * 4


def test_a_score_of_zero_is_no_logarithm() -> None:
    sigmas = robust_sigmas([0.0, 1.0, 2.0, 3.0, 50.0])
    assert sigmas is not None and np.isfinite(sigmas).all()
    assert sigmas[4] == pytest.approx(48 / 1.482602218505602)
