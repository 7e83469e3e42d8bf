"""Every number of the preprocessing is finite and bounded, whoever gives it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from cmdiad.runtime.bundle.parameters import Preprocessing

LENGTHS = ("ransac_threshold_m", "plane_distance_m", "cluster_distance_m")
INTEGERS = ("border_pixels", "ransac_iterations", "ransac_sample", "cluster_min_points", "pad_multiple", "seed")


@pytest.mark.parametrize("name", [*LENGTHS, "metres_per_unit", "border_valid_share"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), -0.1])
def test_floats_are_finite_and_in_range(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=name):
        Preprocessing(**{name: value})


@pytest.mark.parametrize(
    "name, value", [*((name, 10**18 * 10) for name in INTEGERS), *((name, -1) for name in INTEGERS), ("seed", 2**63)]
)
def test_integers_are_bounded(name: str, value: int) -> None:
    with pytest.raises(ValueError, match=name):
        Preprocessing(**{name: value})


@pytest.mark.parametrize(
    "changes",
    [
        {"plane": "maybe"},
        {"side": "left"},
        {"metres_per_unit": 0},
        {"border_valid_share": 1.5},
        {"plane_distance_m": 0},
        {"ransac_sample": 2},
        {"ransac_iterations": 10**12},
        {"border_pixels": 2.5},
    ],
)
def test_files_are_checked_when_they_are_read(changes: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError, match=next(iter(changes))):
        msgspec.json.decode(msgspec.json.encode(changes), type=Preprocessing)
