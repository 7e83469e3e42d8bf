"""Slices of a bank: every row in one of them, none too large, and clusters by themselves."""

import numpy as np
import pytest
from cmdiad.calibration.line_graph import bank_slices
from cmdiad.calibration.line_graph.bank_slices import principal_direction, slice_bank
from hypothesis import given, settings
from hypothesis import strategies as st


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 400), st.integers(1, 9), st.integers(0, 3), st.sampled_from([2, 7, 50, 1000]))
def test_every_row_is_in_one_slice_and_can_be_put_together_again(rows, dims, decimals, most):
    points = np.random.default_rng(rows).normal(size=(rows, dims)).round(decimals).astype(np.float32)
    kept = np.arange(0, rows, 1 + decimals % 2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bank_slices, "SLICE_ROWS", most)
        slices = slice_bank(points, kept)
    assert sorted(np.concatenate([piece.index for piece in slices]).tolist()) == kept.tolist()
    for piece in slices:
        assert len(piece.index) <= most and (np.diff(piece.index) > 0).all()
        np.testing.assert_allclose(piece.center, points[piece.index].mean(axis=0), atol=1e-5)


def test_a_cluster_far_away_is_a_slice_of_its_own():
    rng = np.random.default_rng(0)
    near, far = rng.normal(size=(300, 6)), rng.normal(size=(90, 6)) * 1e-3 + 50.0
    rows = np.concatenate([near, far]).astype(np.float32)
    slices = slice_bank(rows, np.arange(len(rows)))
    assert sorted(len(piece.index) for piece in slices) == [90, 300]
    assert max(float(np.abs(rows[piece.index] - piece.center).max()) for piece in slices) < 10


def test_the_direction_is_that_of_the_largest_spread():
    points = np.random.default_rng(1).normal(size=(500, 5)) * [1, 1, 9, 1, 1]
    direction = principal_direction(points.astype(np.float32))
    assert abs(direction[2]) > 0.99 and np.linalg.norm(direction) == pytest.approx(1, rel=1e-6)
    assert np.isfinite(principal_direction(np.zeros((4, 3), np.float32))).all()
