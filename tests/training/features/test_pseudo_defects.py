"""A painted defect is on the part, seen by both sensors at the same pixels, and always the same."""

import numpy as np
import pytest
from cmdiad.training.features.pseudo_defects import HEIGHT, with_pseudo_defect
from hypothesis import given, settings
from hypothesis import strategies as st


@pytest.fixture(scope="module")
def pair(made_up_pair):
    return made_up_pair(3)


@settings(max_examples=15)
@given(st.integers(0, 10_000))
def test_it_lies_on_the_part_and_changes_both_modalities_there_alone(pair, seed):
    points, image, mask = with_pseudo_defect(pair.points, pair.image, pair.valid, seed)
    assert mask.any() and not mask[~pair.valid].any() and mask.sum() < pair.valid.sum() / 2
    moved = np.linalg.norm(points - pair.points, axis=2)
    recolored = (image != pair.image).any(axis=2)
    assert moved[mask].min() > 0 and recolored[mask].mean() > 0.9
    assert not moved[~pair.valid].any() and not recolored[~pair.valid].any()
    inside = pair.points[pair.valid]
    diagonal = np.linalg.norm(inside.max(axis=0) - inside.min(axis=0))
    assert HEIGHT[0] * diagonal * 0.99 <= moved.max() <= HEIGHT[1] * diagonal * 1.01


def test_points_move_along_their_line_of_sight(pair):
    points, _, mask = with_pseudo_defect(pair.points, pair.image, pair.valid, 5)
    before, after = pair.points[mask].astype(np.float64), points[mask].astype(np.float64)
    cosine = (before * after).sum(axis=1) / np.linalg.norm(before, axis=1) / np.linalg.norm(after, axis=1)
    np.testing.assert_allclose(cosine, 1, atol=1e-9)


def test_the_seed_decides(pair):
    first, again, other = (with_pseudo_defect(pair.points, pair.image, pair.valid, seed) for seed in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[2], other[2])
