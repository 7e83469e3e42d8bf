"""Features are averaged over the patches around that carry part, and over nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from cmdiad.runtime.patches.features import PartFeatures
from cmdiad.runtime.patches.neighborhood import neighborhood_mean
from hypothesis import given, settings
from hypothesis import strategies as st


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.001, 0.1, 0.4]), st.sampled_from([1, 3]))
def test_it_is_the_mean_over_the_part_around(seed: int, share: float, size: int) -> None:
    rng = np.random.default_rng(seed)
    foreground = rng.random(3136) < share
    features = rng.normal(size=(int(foreground.sum()), 5)).astype(np.float32)
    places = np.argwhere(foreground.reshape(56, 56))
    near = np.abs(places[:, None] - places[None]).max(axis=2) <= size // 2
    expected = np.array([features[others].mean(axis=0, dtype=np.float64) for others in near]).reshape(-1, 5)
    averaged = neighborhood_mean(features, foreground, size)
    assert averaged.dtype == np.float32
    np.testing.assert_allclose(averaged, expected, atol=1e-6)


def test_one_patch_alone_is_its_own_mean_and_size_one_changes_nothing() -> None:
    foreground = np.zeros(3136, np.bool_)
    foreground[[0, 3135]] = True
    features = np.array([[1.0, 2.0], [3.0, 4.0]], np.float32)
    np.testing.assert_array_equal(neighborhood_mean(features, foreground, 3), features)
    assert neighborhood_mean(features, foreground, 1) is features


@pytest.mark.parametrize("has_second", [False, True])
def test_both_banks_features_are_averaged_and_what_networks_see_is_not(has_second: bool) -> None:
    foreground = np.zeros(3136, np.bool_)
    foreground[:3] = True
    main, second = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32)
    part = PartFeatures(foreground, main, second if has_second else None)
    averaged = part.averaged(3)
    np.testing.assert_allclose(averaged.main[1], main.mean(axis=0), atol=1e-6)
    assert (averaged.second is not None) == has_second
    if averaged.second is not None:
        np.testing.assert_allclose(averaged.second[0], second[:2].mean(axis=0), atol=1e-6)
    np.testing.assert_array_equal(part.main, main)
