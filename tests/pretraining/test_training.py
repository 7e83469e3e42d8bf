"""Training learns something within a few steps, and the seed fixes the scans."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from cmdiad.pretraining import points
from cmdiad.pretraining.scans import TrainingScan, training_scans
from cmdiad.runtime.bundle.parameters import Grouping
from cmdiad.training.extractors.point_transformer import POINT_EMBEDDED


@pytest.fixture(scope="module")
def scans() -> list[TrainingScan]:
    return list(training_scans(4, POINT_EMBEDDED.grouping, seed=0))


def test_the_seed_fixes_the_scans(scans: list[TrainingScan]) -> None:
    again = next(training_scans(1, POINT_EMBEDDED.grouping, seed=0))
    for name in ("points", "center_idx", "members", "targets"):
        np.testing.assert_array_equal(getattr(again, name), getattr(scans[0], name))


def test_groups_are_those_of_the_line(scans: list[TrainingScan]) -> None:
    grouping = Grouping(n_groups=POINT_EMBEDDED.grouping.n_groups, group_size=POINT_EMBEDDED.grouping.group_size)
    for scan in scans:
        assert scan.members.shape == (grouping.n_groups, grouping.group_size)
        assert scan.members.max() < len(scan.points)
        np.testing.assert_array_equal(scan.members[:, 0], scan.center_idx)


@pytest.mark.slow
def test_training_is_repeatable(scans: list[TrainingScan], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(points, "GROUPS_PER_SCAN", 16)
    first, second = (points.train_describer(scans, steps=12, seed=3) for _ in range(2))
    for one, other in zip(first.parameters(), second.parameters(), strict=True):
        torch.testing.assert_close(one, other)
