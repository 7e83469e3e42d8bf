"""Episodes show normal parts and damaged ones of one family, and tell which tokens see the damage."""

import numpy as np
from cmdiad.pretraining.episodes import DAMAGED, EITHER, NORMAL, NORMAL_PARTS, episode
from cmdiad.runtime.bundle.parameters import Grouping

GROUPING = Grouping(n_groups=64, group_size=32)


def test_only_damaged_parts_have_damaged_tokens():
    drawn = episode(0, 0, GROUPING)
    assert drawn is not None
    assert drawn.groups.shape == (7, 64, 32, 3) and drawn.groups.dtype == np.float32
    assert drawn.images.shape == (7, 224, 224, 3) and drawn.patch_labels.shape == (7, 784)
    assert (drawn.group_labels[:NORMAL_PARTS] == NORMAL).all()
    assert not (drawn.patch_labels[:NORMAL_PARTS] == DAMAGED).any()
    for labels in drawn.group_labels[NORMAL_PARTS:]:
        assert (labels == DAMAGED).any() and (labels == EITHER).any() and (labels == NORMAL).any()


def test_patches_off_the_part_are_neither():
    drawn = episode(0, 0, GROUPING)
    patches = drawn.images.reshape(7, 28, 8, 28, 8, 3).any(axis=(2, 4, 5)).reshape(7, 784)
    assert (drawn.patch_labels[~patches] == EITHER).all()


def test_seed_and_number_fix_an_episode():
    first, again, other = episode(1, 2, GROUPING), episode(1, 2, GROUPING), episode(1, 3, GROUPING)
    assert np.array_equal(first.groups, again.groups) and np.array_equal(first.images, again.images)
    assert other is None or not np.array_equal(first.groups, other.groups)
