"""Generic damage changes a part where it says, and nowhere else."""

import numpy as np
import pytest
from cmdiad.pretraining import damage as damage_module
from cmdiad.pretraining.damage import KINDS, SHARES, damaged
from cmdiad.pretraining.scans import posed, random_camera
from cmdiad.pretraining.shapes import LOWEST_M, RandomPart
from scipy import ndimage


def part(seed):
    rng = np.random.default_rng(seed)
    return posed(RandomPart.of_family(rng), random_camera(rng), rng)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__.strip("_"))
def test_every_kind_changes_the_part_where_it_says(kind, monkeypatch):
    monkeypatch.setattr(damage_module, "KINDS", (kind,))
    monkeypatch.setattr(damage_module, "SHARES", (1.0,))
    whole = part(3)
    found = [damaged(whole, np.random.default_rng(seed)) for seed in range(4)]
    assert any(each.in_shape.any() for each in found)
    for each in found:
        assert not (each.in_image & ~whole.footprint).any()
        # Blurred and tapered borders reach a little beyond the cells that count.
        reach = ndimage.binary_dilation(each.in_image, iterations=12)
        assert np.array_equal(each.surface.height[~reach], whole.height[~reach])
        untouched = whole.footprint & ~reach
        assert np.allclose(each.surface.albedo[untouched], np.clip(whole.albedo[untouched], 0.02, 0.95), atol=1e-3)
        assert each.surface.height[each.surface.footprint].min() >= np.float32(LOWEST_M)
        assert (each.surface.height[~each.surface.footprint] == 0).all()


def test_the_seed_fixes_a_damage_and_shares_sum_to_one():
    assert sum(SHARES) == pytest.approx(1)
    first, again, other = (damaged(part(0), np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(first.surface.height, again.surface.height)
    assert not np.array_equal(first.surface.height, other.surface.height)


def test_siblings_are_alike_but_not_the_same():
    rng = np.random.default_rng(5)
    family, camera = RandomPart.of_family(rng), random_camera(rng)
    heights = [posed(family.sibling(rng), camera, np.random.default_rng(0)).height for _ in range(2)]
    stranger = posed(RandomPart.of_family(rng), camera, np.random.default_rng(0)).height
    assert not np.array_equal(*heights)
    assert np.abs(heights[0] - heights[1]).mean() < 0.5 * np.abs(heights[0] - stranger).mean()
