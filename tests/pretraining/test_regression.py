"""Tokens are descriptors in another frame: distances stay what they are, up to one factor."""

from __future__ import annotations

import numpy as np
import torch
from cmdiad.pretraining.regression import TOKEN_SCALE, Isometry, optimize
from scipy.spatial.distance import pdist
from torch import nn

DIM = 24


def descriptors(n: int, k: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    return (rng.standard_normal((n, k)) * np.linspace(0.1, 2, k) + 5).astype(np.float32)


def test_distances_are_kept_up_to_one_factor() -> None:
    found = descriptors(60, 10)
    ratios = pdist(Isometry.fit(found, DIM, seed=1)(found)) / pdist(found)
    np.testing.assert_allclose(ratios, ratios[0], rtol=1e-3)


def test_tokens_have_zero_mean_and_the_wanted_norm() -> None:
    found = descriptors(200, 10)
    tokens = Isometry.fit(found, DIM, seed=1)(found)
    np.testing.assert_allclose(tokens.mean(axis=0), 0, atol=1e-3)
    np.testing.assert_allclose((tokens**2).sum(axis=1).mean(), TOKEN_SCALE**2 * DIM, rtol=1e-3)


def test_of_a_wide_descriptor_the_principal_components_stay() -> None:
    found = descriptors(500, 40)
    tokens = Isometry.fit(found, DIM, seed=1)(found)
    kept = (tokens**2).sum(axis=1).mean() / (TOKEN_SCALE**2 * DIM)
    variances = np.sort(np.linalg.eigvalsh(np.cov(found.T)))[::-1]
    np.testing.assert_allclose(kept, variances[: DIM - 1].sum() / variances.sum(), rtol=2e-2)


def test_a_token_that_knows_nothing_leaves_everything_unexplained() -> None:
    found = descriptors(300, 10)
    isometry = Isometry.fit(found, DIM, seed=1)
    wanted = torch.from_numpy(isometry(found))
    assert abs(float(isometry.unexplained(torch.zeros_like(wanted), wanted).mean()) - 1) < 1e-3
    assert float(isometry.unexplained(wanted, wanted).max()) == 0


def test_optimize_lowers_the_loss() -> None:
    torch.manual_seed(0)
    model = nn.Linear(4, 1)
    x = torch.randn(64, 4)
    y = x @ torch.tensor([[1.0], [-2.0], [0.5], [3.0]])
    losses = optimize(model, lambda: (model(x) - y).square().mean(), steps=200, rate=0.05)
    assert losses[-1] < 0.05 * losses[0]
