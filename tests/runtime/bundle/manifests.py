"""The least that a bundle can say of itself."""

from __future__ import annotations

from cmdiad.runtime.bundle.manifest import Manifest
from cmdiad.runtime.bundle.parameters import Grouping, Preprocessing


def least_manifest(product: str = "flange") -> Manifest:
    """Of a bundle without networks and calibration."""
    return Manifest(
        product=product,
        route="single",
        main="pc",
        precision="fp32",
        preprocessing=Preprocessing(),
        grouping=Grouping(),
        networks={},
    )
