"""How one sensor's scans are prepared: the parameters, which travel in the bundle, and the presets."""

from __future__ import annotations

from typing import Literal

import msgspec

_LENGTHS = ("ransac_threshold_m", "plane_distance_m", "cluster_distance_m")
_LONGEST_M = 1000.0
# Bounds of what is allocated: planes tried x points they are scored on, and rings wider than any scan.
_INTEGERS = {
    "border_pixels": (1, 10_000),
    "ransac_iterations": (1, 100_000),
    "ransac_sample": (3, 1000),
    "cluster_min_points": (1, 1_000_000),
    "pad_multiple": (1, 10_000),
    "seed": (0, 2**63 - 1),
}


class Preprocessing(msgspec.Struct, frozen=True, kw_only=True):
    """How one sensor's scans are prepared, lengths in metres; the paper's defaults but for `ransac_sample`.

    Attributes:
        metres_per_unit: the scan files' unit; None where the reader is to tell.
        plane: "always": scans are raw, remove the supporting plane and clean up. "never": they were
            preprocessed before, remove nothing. "auto": nobody decided yet; `settle` decides from all scans, and
            `prepare` has to decide from the one it is given.
        side: on which side of the plane the parts stand. "origin": where the origin of the coordinates is, as in
            the frame of a camera. "grid": towards the viewer of a grid that is not mirrored. "mirrored": towards
            the viewer of one that is. "auto": nobody decided yet, as for `plane`.
        border_pixels: width of the border the plane is found on.
        border_valid_share: where less of the image's border was measured, the outermost measured pixels are
            the border.
        ransac_threshold_m: a point this near a plane supports it.
        ransac_iterations: how many planes are tried.
        ransac_sample: points a plane is tried from. The paper takes 50, of which some always miss the plane
            where a part fills a good piece of the border; of three they often do not.
        refine_on: where the plane is refined: "border" suits a border measured all around, "scan" one that is
            mostly missing, whose few points on one side say too little about the far end of the table.
        plane_distance_m: points this near the plane are removed.
        cluster_distance_m: neighbors this near belong together.
        cluster_min_points: the smallest piece that is more than noise.
        pad_multiple: the padded square's side is a multiple of this, pixels.
        seed: of RANSAC.
    """

    metres_per_unit: float | None = None
    plane: Literal["auto", "always", "never"] = "auto"
    side: Literal["auto", "origin", "grid", "mirrored"] = "auto"
    border_pixels: int = 10
    border_valid_share: float = 0.15
    ransac_threshold_m: float = 0.004
    ransac_iterations: int = 1000
    ransac_sample: int = 3
    refine_on: Literal["border", "scan"] = "border"
    plane_distance_m: float = 0.005
    cluster_distance_m: float = 0.006
    cluster_min_points: int = 30
    pad_multiple: int = 100
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse values that no sensor can mean; while decoding, msgspec reports this with its place.

        Raises:
            ValueError: names the parameter.
        """
        # Written so that NaN, which compares as false, is refused too.
        for name, (least, greatest) in _INTEGERS.items():
            if not least <= getattr(self, name) <= greatest:
                raise ValueError(f"{name} is {getattr(self, name)}, must be from {least} to {greatest}")
        for name in _LENGTHS:
            if not 0 < getattr(self, name) <= _LONGEST_M:
                raise ValueError(f"{name} is {getattr(self, name)}, must be positive and at most {_LONGEST_M:g}")
        if not 0 <= self.border_valid_share <= 1:
            raise ValueError(f"border_valid_share is {self.border_valid_share}, must be from 0 to 1")
        if self.metres_per_unit is not None and not 0 < self.metres_per_unit < float("inf"):
            raise ValueError(f"metres_per_unit is {self.metres_per_unit}, must be positive and finite")

    @property
    def is_undecided(self) -> bool:
        """Whether something is left for `settle` to decide; without a plane there is no side of it."""
        return self.plane != "never" and "auto" in (self.plane, self.side)

    def undecided(self) -> Preprocessing:
        """The same before any `settle`: what was decided of some scans says nothing about others."""
        return msgspec.structs.replace(self, plane="auto", side="auto")


STRUCTURED_LIGHT = Preprocessing()
"""The paper's, for sensors with noise far below a millimetre and a measured image border."""

KINECT = Preprocessing(ransac_threshold_m=0.008, refine_on="scan", plane_distance_m=0.008, cluster_distance_m=0.02)
"""For consumer RGB-D cameras (millimetres of noise, 2 mm a pixel): see benchmarks/plane_removal.py."""

EYECANDIES = Preprocessing(ransac_threshold_m=0.002, plane_distance_m=0.002)
"""For the rendered scans of Eyecandies, which have no noise and flat sweets: removed up to 2 mm above the belt, as the
published preprocessing does."""
