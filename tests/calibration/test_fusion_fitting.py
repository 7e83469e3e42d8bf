"""The learned fusion is the one-class SVM's optimum, positive, and deterministic."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from cmdiad.calibration.fusion_fitting import MAX_PIXELS, fit_fusion
from cmdiad.runtime.errors import UsageError
from cmdiad.runtime.verdict.auroc import auroc
from cmdiad.runtime.verdict.fusion import Combination, encode_fusion

Pairs = npt.NDArray[np.float64]


def distances(n: int, means: tuple[float, float], spread: float = 0.2, seed: int = 0) -> Pairs:
    """Positively correlated log-normal pairs."""
    rng = np.random.default_rng(seed)
    logs = rng.multivariate_normal([0, 0], [[1, 0.5], [0.5, 1]], n)
    return np.asarray(means) * np.exp(spread * logs)


def optimum(pairs: Pairs, nu: float = 0.5) -> Pairs:
    """The linear one-class SVM's weights by Frank-Wolfe: the mean of the share nu nearest to the origin."""
    weights, count = pairs.mean(axis=0), int(nu * len(pairs))
    for step in range(500):
        nearest = np.argsort(pairs @ weights)[:count]
        weights = weights + 2 / (step + 2) * (pairs[nearest].mean(axis=0) - weights)
    return weights


def balanced(pairs: Pairs, part: Combination) -> Pairs:
    return pairs * [part.alpha, part.beta]


@pytest.mark.parametrize("means", [(20.0, 5.0), (1.0, 1.0), (0.03, 40.0)])
def test_weights_are_the_optimum_of_the_one_class_svm_at_any_scale(means: tuple[float, float]) -> None:
    pairs = distances(400, means)
    part = fit_fusion(pairs, pairs[:50]).score
    np.testing.assert_allclose(part.coefficients, optimum(balanced(pairs, part)), rtol=0.03)


def test_alpha_and_beta_bring_both_means_to_one() -> None:
    scores, pixels = distances(60, (20.0, 5.0)), distances(500, (9.0, 1.0), seed=1)
    fusion = fit_fusion(scores, pixels)
    for part, pairs in ((fusion.score, scores), (fusion.map, pixels)):
        np.testing.assert_allclose(balanced(pairs, part).mean(axis=0), 1.0)


def test_offset_leaves_half_of_the_normal_values_outside() -> None:
    scores = distances(400, (20.0, 5.0))
    part = fit_fusion(scores, scores).score
    outside = np.mean(balanced(scores, part) @ part.coefficients < part.offset)
    assert outside == pytest.approx(0.5, abs=0.03)


def test_a_defect_in_either_modality_raises_the_fused_score() -> None:
    good = distances(60, (20.0, 5.0))
    fusion = fit_fusion(good, good)
    typical = fusion.fuse_scores(20.0, 5.0)
    assert fusion.fuse_scores(30.0, 5.0) > typical
    assert fusion.fuse_scores(20.0, 7.5) > typical


def test_the_fused_score_separates_as_well_as_the_balanced_mean() -> None:
    train, good = distances(60, (20.0, 5.0)), distances(300, (20.0, 5.0), seed=1)
    defective = distances(300, (25.0, 6.5), seed=2)
    fusion = fit_fusion(train, train)
    tested, labels = np.concatenate([good, defective]), np.repeat([0, 1], 300)
    fused = [fusion.fuse_scores(main, second) for main, second in tested]
    mean = (tested / train.mean(axis=0)).sum(axis=1)
    assert auroc(fused, labels) == pytest.approx(auroc(mean, labels), abs=0.005)


def test_the_same_values_and_seed_give_the_same_bytes() -> None:
    scores, pixels = distances(20, (3.0, 4.0)), distances(MAX_PIXELS + 10, (3.0, 4.0))
    first, again = (encode_fusion(fit_fusion(scores, pixels, max_iter=3, seed=5)) for _ in range(2))
    other = encode_fusion(fit_fusion(scores, pixels, max_iter=3, seed=6))
    assert first == again != other


def test_one_scan_is_enough() -> None:
    fusion = fit_fusion(np.array([[20.0, 5.0]]), distances(50, (9.0, 1.0)))
    assert min(fusion.score.coefficients) > 0


@pytest.mark.parametrize(
    ("scores", "words"),
    [
        (np.zeros((0, 2)), "shape"),
        (np.ones((4, 3)), "shape"),
        (np.array([[1.0, np.nan]]), "not finite"),
        (np.array([[1.0, 0.0], [2.0, 0.0]]), "second modality are zero"),
        (np.array([[0.0, 1.0], [0.0, 2.0]]), "main modality are zero"),
    ],
)
def test_values_that_cannot_be_fused_are_refused(scores: Pairs, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        fit_fusion(scores, distances(50, (9.0, 1.0)))
