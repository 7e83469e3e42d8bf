"""Scores and maps follow the paper's formulas, computed here anew from the features."""

from dataclasses import replace

import numpy as np
import pytest
from cmdiad.runtime.banks.bank import build_bank
from cmdiad.runtime.patches.features import PartFeatures
from cmdiad.runtime.verdict.decision import Decision, NormalizedBank, match_bank, patch_map
from cmdiad.runtime.verdict.fusion import Combination, Fusion
from scipy.ndimage import gaussian_filter

MEAN, STD = 0.7, 2.5


def plain_score(rows, queries, n_neighbors=2):
    """PatchCore's image score on raw arrays."""
    distances = np.linalg.norm(queries[:, None].astype(np.float64) - rows, axis=-1)
    nearest = distances.min(axis=1)
    worst = int(nearest.argmax())
    anchor = int(distances[worst].argmin())
    around = np.argsort(np.linalg.norm(rows - rows[anchor], axis=1), kind="stable")[1 : 1 + n_neighbors]
    scale = np.sqrt(rows.shape[1])
    weight = 1 - np.exp(nearest[worst] / scale) / np.exp(distances[worst, around] / scale).sum()
    return weight * nearest[worst], nearest


@pytest.fixture
def banks():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(60, 8)).astype(np.float32)
    groups = np.repeat(np.arange(6), 10)
    return rows, NormalizedBank(build_bank(rows, row_groups=groups), MEAN, STD)


def test_score_and_distances_equal_the_formula(banks):
    rows, bank = banks
    features = (np.random.default_rng(1).normal(size=(20, 8)) * 3).astype(np.float32)
    expected, distances = plain_score(rows, (features - MEAN) / STD)
    match = match_bank(bank, features)
    np.testing.assert_allclose(match.distances, distances, rtol=1e-5)
    assert match.score == pytest.approx(expected, rel=1e-5)


def test_a_scan_is_not_compared_with_its_own_rows(banks):
    rows, bank = banks
    own = rows[20:30] * np.float32(STD) + np.float32(MEAN)
    assert match_bank(bank, own).distances == pytest.approx(np.zeros(10), abs=1e-5)
    others = np.delete(rows, np.s_[20:30], axis=0)
    _, expected = plain_score(others, rows[20:30])
    np.testing.assert_allclose(match_bank(bank, own, without_group=2).distances, expected, rtol=1e-4)


def test_two_banks_are_fused_at_the_patches_and_blurred_once(banks):
    torch = pytest.importorskip("torch")
    rows, bank = banks
    second = NormalizedBank(build_bank(rows[:30] * 2), 0.0, 1.0)
    map_weights = Combination(coefficients=(0.4, 0.8), offset=0.3, alpha=2.0, beta=0.5)
    score_weights = Combination(coefficients=(0.9, 0.1), offset=-0.2, alpha=1.5, beta=3.0)
    decision = Decision(bank, second, Fusion(score=score_weights, map=map_weights))
    rng = np.random.default_rng(2)
    foreground = np.zeros(3136, bool)
    foreground[rng.choice(3136, 40, replace=False)] = True
    features = PartFeatures(foreground, *rng.normal(size=(2, 40, 8)).astype(np.float32))
    matches = decision.match(features)
    score, map_224 = decision.decide(foreground, matches)
    assert score == pytest.approx(0.9 * 1.5 * matches[0].score + 0.1 * 3.0 * matches[1].score)
    fused = 0.8 * patch_map(foreground, matches[0].distances) + 0.4 * patch_map(foreground, matches[1].distances)
    up = torch.nn.functional.interpolate(torch.from_numpy(fused)[None, None], (224, 224), mode="bilinear")
    np.testing.assert_allclose(map_224, gaussian_filter(up[0, 0].numpy(), 4.0, mode="reflect"), atol=1e-4)


def decision_and_features(bank, n_banks, n_patches=40):
    """A decision by the paper's score, and a part's features."""
    combination = Combination(coefficients=(0.4, 0.8), offset=0.3, alpha=2.0, beta=0.5)
    by_paper = Decision(bank, None, None)
    if n_banks == 2:
        by_paper = Decision(bank, bank, Fusion(score=combination, map=combination))
    foreground = np.zeros(3136, bool)
    foreground[100 : 100 + n_patches] = True
    main, second = np.random.default_rng(3).normal(size=(2, n_patches, 8)).astype(np.float32)
    return by_paper, PartFeatures(foreground, main, second if n_banks == 2 else None)


@pytest.mark.parametrize("n_banks", [1, 2])
def test_the_score_map_is_the_largest_value_of_the_map(banks, n_banks):
    by_paper, features = decision_and_features(banks[1], n_banks)
    score, map_224 = replace(by_paper, score="map").judge(features)
    other_score, same_map = by_paper.judge(features)
    np.testing.assert_array_equal(map_224, same_map)
    assert score == map_224.max() != other_score


@pytest.mark.parametrize("n_patches", [40, 3])
@pytest.mark.parametrize("n_banks", [1, 2])
def test_the_score_top5_is_the_mean_of_the_five_largest_fused_distances(banks, n_banks, n_patches):
    by_paper, features = decision_and_features(banks[1], n_banks, n_patches)
    score, map_224 = replace(by_paper, score="top5").judge(features)
    distances = [match.distances for match in by_paper.match(features)]
    fused = distances[0] if n_banks == 1 else by_paper.fusion.fuse_maps(*distances)
    largest = sorted(fused.tolist(), reverse=True)[:5]
    assert score == pytest.approx(sum(largest) / 5, rel=1e-6)  # of fewer patches the others are where no part is: zero
    np.testing.assert_array_equal(map_224, by_paper.judge(features)[1])


def test_no_part_means_no_anomaly():
    foreground = np.zeros(3136, bool)
    foreground[5] = True
    assert patch_map(foreground, np.array([2.0], np.float32)).sum() == 2.0
