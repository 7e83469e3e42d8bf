"""The product behind the screened search: a hand-written ONNX graph."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from cmdiad.runtime.scores import _model, half_distance_scores


def test_the_graph_is_valid_onnx() -> None:
    model = onnx.load_from_string(_model())
    onnx.checker.check_model(model, full_check=True)
    assert [each.op_type for each in model.graph.node] == ["Gemm"]


@pytest.mark.parametrize(("n", "m", "d"), [(1, 1, 1), (7, 300, 5), (300, 7, 130)])
def test_scores_are_half_the_squared_distances_less_half_the_querys_norm(n: int, m: int, d: int) -> None:
    rng = np.random.default_rng(0)
    queries, rows = rng.standard_normal((n, d)).astype(np.float32), rng.standard_normal((m, d)).astype(np.float32)
    half_norms = 0.5 * np.square(rows).sum(axis=1)
    scores = half_distance_scores(queries, rows, half_norms)
    difference = queries[:, None].astype(np.float64) - rows
    expected = 0.5 * (np.square(difference).sum(axis=2) - np.square(queries, dtype=np.float64).sum(axis=1)[:, None])
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, expected, atol=1e-6 * d)


def test_an_infinite_norm_gives_an_infinite_score() -> None:
    scores = half_distance_scores(
        np.ones((2, 3), np.float32), np.ones((2, 3), np.float32), np.array([1.5, np.inf], np.float32)
    )
    np.testing.assert_array_equal(scores, [[-1.5, np.inf]] * 2)
