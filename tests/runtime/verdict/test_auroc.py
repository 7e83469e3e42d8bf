"""AUROC is that of scikit-learn, ties included, and the area under the evaluation's own curve."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from cmdiad.runtime.errors import UsageError
from cmdiad.runtime.verdict.auroc import auroc
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import trapezoid

LABELED = st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=2, max_size=40)


@settings(max_examples=60, deadline=None)
@given(LABELED)
def test_auroc_is_scikit_learns_with_ties(samples: list[tuple[int, bool]]) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    scores = [float(score) for score, _ in samples] + [0.0, 0.0]
    labels = [label for _, label in samples] + [True, False]
    assert auroc(scores, labels) == pytest.approx(metrics.roc_auc_score(labels, scores), abs=1e-12)


def test_auroc_of_many_pixels_is_the_area_under_the_curve() -> None:
    metrics = pytest.importorskip("cmdiad.calibration.detection_scores")
    rng = np.random.default_rng(0)
    labels = rng.random(300_000) < 0.01
    scores = np.round(rng.normal(size=labels.size) + labels, 3).astype(np.float32)
    fpr, tpr = metrics.roc_curve(scores, labels)
    assert auroc(scores, labels) == pytest.approx(trapezoid(tpr, fpr), abs=1e-12)


@pytest.mark.parametrize(
    ("scores", "labels", "words"),
    [
        ([1.0, 2.0], [0, 0], "0 anomalous"),
        ([1.0, 2.0], [1, 1], "0 normal"),
        ([], [], "0 normal"),
        ([1.0, 2.0, 3.0], [0, 1], r"\(3,\) but labels of shape \(2,\)"),
        (np.ones((2, 3)), np.ones((3, 2)), r"\(2, 3\) but labels of shape \(3, 2\)"),
        (np.ones((2, 2)), np.eye(2), r"give \(n,\)"),
        ([1.0, np.nan], [0, 1], "not finite"),
    ],
)
def test_what_has_no_auroc_is_refused_in_plain_words(scores: npt.ArrayLike, labels: npt.ArrayLike, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        auroc(scores, labels)
