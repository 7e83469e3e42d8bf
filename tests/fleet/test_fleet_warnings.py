"""What is said of several products at once."""

from __future__ import annotations

import msgspec
import pytest
from cmdiad.fleet.fleet_warnings import fleet_warnings
from cmdiad.fleet.product_task import ProductOutcome

from .test_fleet_page import moved, report


def with_shift(sigmas: float | None) -> ProductOutcome:
    (product, _) = report().products
    assert product.calibrated is not None and product.calibrated.drift is not None
    drift = msgspec.structs.replace(product.calibrated.drift, measures=[moved("part_z_m", sigmas)])
    return msgspec.structs.replace(product, calibrated=msgspec.structs.replace(product.calibrated, drift=drift))


@pytest.mark.parametrize(("sigmas", "is_said"), [(-66.0, True), (7.0, True), (5.0, False), (None, False)])
def test_normal_scans_far_from_the_last_bundles_are_named(sigmas: float | None, is_said: bool) -> None:
    said = [warning for warning in fleet_warnings(["calibrate"], [], [with_shift(sigmas)]) if "have moved" in warning]
    assert len(said) == is_said
    if is_said:
        assert f"cap (part_z_m by {sigmas:+.0f} sigma)" in said[0]
