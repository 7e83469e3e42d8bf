"""What a metric is lies in one table, which bank and coreset read."""

from typing import Any, get_args

import numpy as np
import numpy.typing as npt
import pytest
from cmdiad.calibration.coreset import greedy_k_center
from cmdiad.runtime.banks.bank import build_bank
from cmdiad.runtime.banks.metrics import DISTANCES, Distance
from cmdiad.runtime.bundle.parameters import Metric
from scipy.spatial.distance import cdist


def _largest(differences: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    largest: npt.NDArray[np.float32] = np.abs(differences).max(axis=2)
    return largest


def test_every_metric_is_described() -> None:
    assert tuple(DISTANCES) == get_args(Metric)


def test_a_metric_is_added_by_its_description(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DISTANCES, "chebyshev", Distance(compare=_largest, direct="chebyshev"))  # type: ignore[arg-type]
    metric: Any = "chebyshev"
    rng = np.random.default_rng(0)
    rows, queries = (rng.normal(size=(n, 12)).astype(np.float32) for n in (200, 30))
    bank = build_bank(rows, metric)
    expected = cdist(queries, rows, metric)
    matches = bank.search(queries)
    np.testing.assert_array_equal(matches.index, expected.argmin(axis=1))
    np.testing.assert_allclose(matches.distance, expected.min(axis=1), rtol=1e-5)
    np.testing.assert_allclose(bank.distances(queries, matches.index[:, None])[:, 0], matches.distance, rtol=1e-5)
    start, farthest = greedy_k_center(rows, 2, metric=metric)
    assert farthest == cdist(rows[[start]], rows, metric).argmax()
