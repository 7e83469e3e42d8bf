"""A merged bank has the size of the old one, holds rows of both, and leaves a part's own rows out."""

import numpy as np
import pytest
from cmdiad.calibration.bank_merging import merged_side
from cmdiad.calibration.calibrate import PATCHLESS_GROUP, CalibrationSettings, build_normalized_bank

N_PATCHES, DIM, OLD_SCANS = 60, 8, 4


def features(rng, n_scans, shift=0.0):
    return [(rng.normal(size=(N_PATCHES, DIM)) + shift).astype(np.float32) for _ in range(n_scans)]


def old_bank(rng, settings):
    # 0.01 of 3136 patches a scan.
    patchless = np.zeros((1, DIM), np.float32)
    return build_normalized_bank(features(rng, OLD_SCANS), patchless, settings, lambda *_: None)


@pytest.mark.parametrize("metric", ["l2", "l1", "cosine"])
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_the_size_and_the_row_without_points_stay_and_rows_of_both_are_held(metric, precision):
    settings = CalibrationSettings(coreset_ratio=0.01, metric=metric, bank_precision=precision)
    rng = np.random.default_rng(0)
    old, recent = old_bank(rng, settings), features(rng, 3, shift=1.0)
    side = merged_side(old, recent, settings, lambda *_: None)
    bank = side.bank.bank
    assert bank.rows.shape == old.bank.rows.shape and bank.rows.dtype == old.bank.rows.dtype
    assert (side.bank.feature_mean, side.bank.feature_std) == (old.feature_mean, old.feature_std)
    groups = set(bank.row_groups.tolist())
    assert PATCHLESS_GROUP in groups and groups & set(range(OLD_SCANS)) and groups >= {4, 5, 6}
    assert len(side.matches) == len(recent)


def test_a_part_is_scored_without_its_own_rows():
    settings = CalibrationSettings(coreset_ratio=0.01)
    rng = np.random.default_rng(1)
    old, recent = old_bank(rng, settings), features(rng, 3)
    recent[1] = recent[1] + 30
    side = merged_side(old, recent, settings, lambda *_: None)
    assert side.matches[1].distances.min() > 3 * side.matches[0].distances.max()


def test_the_groups_of_the_next_update_follow_and_the_same_input_gives_the_same_rows():
    settings = CalibrationSettings(coreset_ratio=0.01)
    rng = np.random.default_rng(2)
    old, first, second = old_bank(rng, settings), features(rng, 3, 1.0), features(rng, 2, 2.0)
    once = merged_side(old, first, settings, lambda *_: None).bank
    twice, again = (merged_side(once, second, settings, lambda *_: None).bank.bank for _ in range(2))
    assert twice.row_groups.max() == OLD_SCANS + 3 + 2 - 1
    assert np.array_equal(twice.rows, again.rows) and np.array_equal(twice.row_groups, again.row_groups)


def test_old_rows_without_groups_are_never_left_out():
    settings = CalibrationSettings(coreset_ratio=0.01)
    rng = np.random.default_rng(3)
    old = old_bank(rng, settings)
    bare = type(old)(type(old.bank)(**{**old.bank.arrays(), "row_groups": None}, metric="l2"), 0.0, 1.0)
    side = merged_side(bare, features(rng, 3, 1.0), settings, lambda *_: None)
    assert set(side.bank.bank.row_groups.tolist()) == {PATCHLESS_GROUP, 0, 1, 2}
