"""Episodes show normal parts and damaged ones of one family, and tell which tokens see the damage."""

import numpy as np
from cmdiad.pretraining.episodes import DAMAGED, EITHER, NORMAL, NORMAL_PARTS, episode
from cmdiad.runtime.bundle.parameters import Grouping

GROUPING = Grouping(n_groups=64, group_size=32)


def test_only_damaged_parts_have_damaged_tokens():
    drawn = episode(0, 0, GROUPING)
    assert drawn is not None
    assert drawn.groups.shape == (7, 64, 32, 3) and drawn.groups.dtype == np.float32
    assert (drawn.group_labels[:NORMAL_PARTS] == NORMAL).all()
    for labels in drawn.group_labels[NORMAL_PARTS:]:
        assert (labels == DAMAGED).any() and (labels == EITHER).any() and (labels == NORMAL).any()


def test_seed_and_number_fix_an_episode():
    first, again, other = episode(1, 2, GROUPING), episode(1, 2, GROUPING), episode(1, 3, GROUPING)
    assert np.array_equal(first.groups, again.groups) and np.array_equal(first.group_labels, again.group_labels)
    assert other is None or not np.array_equal(first.groups, other.groups)
