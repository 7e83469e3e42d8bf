"""What travels in a bundle: how scans are prepared and grouped, what calibration saw, and the words for routes."""

from __future__ import annotations

import math
from typing import Literal

import msgspec

from ..choices import Parts
from .bounds import require_finite, require_positive, require_share
from .region_of_interest import RegionOfInterest
from .scan_geometry import AS_STORED, ScanGeometry

TrainedRouteName = Literal["f2f", "f2i", "i2f"]
"""The routes that a network is trained for."""

RouteName = Literal[TrainedRouteName, "single", "dual"]
DEFAULT_ROUTE: RouteName = "f2f"
"""The route of whoever does not name one."""
Modality = Literal["pc", "rgb"]
Metric = Literal["l2", "l1", "cosine"]
Normalization = Literal["paper", "reference"]
ScoreName = Literal["paper", "map", "top5"]
"""How a part's score comes from its patches' distances; see `runtime.verdict.scoring`."""
NEIGHBORHOODS = (1, 3)
"""Patches on a side of the square that features may be averaged over before they are compared with banks."""
Plane = Literal["auto", "always", "never"]
Window = Literal["scan", "part"]
LEAST_WINDOW, GREATEST_WINDOW = 16, 16_384
Sensor = Literal["structured-light", "kinect", "eyecandies"]
FlavorName = Literal["tensorrt", "tensorrt-rtx"]

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
    """How one sensor's scans are prepared, lengths in meters; the defaults are the paper's, except `ransac_sample`.

    Attributes:
        metres_per_unit: the scan files' unit; None if the reader is to find it.
        geometry: how the scan files' numbers become an organized cloud, before anything else is done.
        plane: "always": scans are raw: remove the supporting plane and clean up. "never": they were preprocessed
            before: remove nothing. "auto": not decided yet; `settle` decides from all scans, and `prepare` has to
            decide from the one it is given.
        side: the side of the plane that the parts stand on. "origin": where the origin of the coordinates is, as in
            the frame of a camera. "grid": towards the viewer of a grid that is not mirrored. "mirrored": towards
            the viewer of one that is. "auto": not decided yet, as for `plane`.
        border_pixels: width of the border that the plane is found on.
        border_valid_share: if less of the image's border than this was measured, the outermost measured pixels are
            the border.
        ransac_threshold_m: a point this near a plane supports it.
        ransac_iterations: how many planes are tried.
        ransac_sample: how many points each plane is tried from. The paper takes 50; if a part fills much of the border,
            some of 50 always miss the plane, while three often do not.
        refine_on: where the plane is refined: "border" suits a border measured all around, "scan" one that is
            mostly missing, whose few points on one side say too little about the far end of the table.
        plane_distance_m: points this near the plane are removed.
        cluster_distance_m: neighbors this near belong together.
        cluster_min_points: the smallest piece that is more than noise.
        pad_multiple: the padded square's side is a multiple of this, pixels.
        roi: the pixels in which parts are looked for; None: all. The plane is found on the whole scan in either case.
        parts: "largest": one thing in view is the part, see `part_choice.choose_part`. "all": every thing that
            resembles the product is a part of its own, see `part_choice.choose_parts`.
        window: what the networks see of a scan. "scan": all of it. "part": a square around the part, so a part that
            fills a tenth of the field of view fills more than a tenth of the networks' pixels.
        window_pixels: the side of that square, the same for every scan of a product, so that a length is the same
            number of pixels in all of them; None: not decided yet, or the whole scan is seen.
        seed: of RANSAC.
    """

    metres_per_unit: float | None = None
    geometry: ScanGeometry = AS_STORED
    plane: Plane = "auto"
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
    roi: RegionOfInterest | None = None
    parts: Parts = "largest"
    window: Window = "scan"
    window_pixels: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse values that make no sense for any sensor; while decoding, msgspec adds where the value stands.

        Raises:
            ValueError: the message names the parameter.
        """
        # Written so that NaN, which compares as false, is refused too.
        for name, (least, greatest) in _INTEGERS.items():
            if not least <= getattr(self, name) <= greatest:
                raise ValueError(f"{name} is {getattr(self, name)}, must be from {least} to {greatest}")
        for name in _LENGTHS:
            if not 0 < getattr(self, name) <= _LONGEST_M:
                raise ValueError(f"{name} is {getattr(self, name)}, must be positive and at most {_LONGEST_M:g}")
        if self.window_pixels is not None and self.window != "part":
            raise ValueError(f"window_pixels is {self.window_pixels}, must be left out where window is {self.window}")
        if self.window_pixels is not None and not LEAST_WINDOW <= self.window_pixels <= GREATEST_WINDOW:
            raise ValueError(f"window_pixels is {self.window_pixels}, must be from {LEAST_WINDOW} to {GREATEST_WINDOW}")
        if not 0 <= self.border_valid_share <= 1:
            raise ValueError(f"border_valid_share is {self.border_valid_share}, must be from 0 to 1")
        if self.metres_per_unit is not None and not 0 < self.metres_per_unit < float("inf"):
            raise ValueError(f"metres_per_unit is {self.metres_per_unit}, must be positive and finite")

    @property
    def is_undecided(self) -> bool:
        """Whether anything is left for `settle` to decide; without a plane there is no side to decide on."""
        return self.plane != "never" and "auto" in (self.plane, self.side)

    def undecided(self) -> Preprocessing:
        """The same as before any `settle`: what was decided from some scans says nothing about others."""
        return msgspec.structs.replace(self, plane="auto", side="auto", window_pixels=None)


STRUCTURED_LIGHT = Preprocessing()
"""The paper's parameters, for sensors with noise far below a millimeter and a measured image border."""

KINECT = Preprocessing(ransac_threshold_m=0.008, refine_on="scan", plane_distance_m=0.008, cluster_distance_m=0.02)
"""For consumer RGB-D cameras (millimeters of noise, 2 mm per pixel): see benchmarks/studies/plane_removal.py."""

EYECANDIES = Preprocessing(ransac_threshold_m=0.002, plane_distance_m=0.002)
"""For the rendered scans of Eyecandies, which have no noise and flat sweets: points up to 2 mm above the belt are
removed, as in the published preprocessing."""

PRESETS: dict[Sensor, Preprocessing] = {
    "structured-light": STRUCTURED_LIGHT,
    "kinect": KINECT,
    "eyecandies": EYECANDIES,
}


PRESET_PITCH_M: dict[Sensor, float] = {"structured-light": 6e-4, "kinect": 2e-3, "eyecandies": 6e-4}
"""The distance between neighboring pixels, meters, that each preset's lengths suit: ten of them bridge a gap in a
part."""


class Grouping(msgspec.Struct, frozen=True, kw_only=True):
    """How points are grouped; it belongs to the point extractor and is stored in the manifest."""

    n_groups: int = 1024
    group_size: int = 128


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """The least and the greatest value among the parts of a calibration."""

    least: float
    greatest: float

    def __post_init__(self) -> None:
        """Refuse a range that no part can have. Raises ValueError."""
        # Written so that NaN, which compares as false, is refused too.
        if not 0 <= self.least <= self.greatest < math.inf:
            raise ValueError(f"from {self.least} to {self.greatest} is not a range of sizes")

    def allowed(self, factors: tuple[float, float]) -> Seen:
        """The range widened by two factors."""
        return Seen(least=self.least * factors[0], greatest=self.greatest * factors[1])

    def allows(self, value: float, factors: tuple[float, float]) -> bool:
        """Whether a value is in the range widened by two factors."""
        allowed = self.allowed(factors)
        return allowed.least <= value <= allowed.greatest

    def middle(self) -> float:
        """The geometric mean of both ends."""
        return math.sqrt(self.least * self.greatest)

    def distance(self, value: float) -> float:
        """How many times larger or smaller than the middle a value is, as the logarithm."""
        if not value > 0 or not self.middle() > 0:
            return math.inf
        return abs(math.log(value / self.middle()))


class PartRange(msgspec.Struct, frozen=True, kw_only=True):
    """What calibration saw of its parts; the attributes are those of `preparation.part_view.PartView`.

    Attributes:
        n_parts: how many parts were seen.
        diameter_m, area_m2, clearance_m: None for images; the last also None if no plane was removed.
        on_plane: whether all parts reached the plane.
        other_objects: the largest number of other objects seen beside a part.
        other_diameter: the largest diameter of such an object divided by its part's diameter; 0 without any.
        rows, columns: of the scans' grids; None in bundles of versions that did not record them.
    """

    n_parts: int
    part_pixels: Seen
    diameter_px: Seen
    diameter_m: Seen | None = None
    area_m2: Seen | None = None
    clearance_m: Seen | None = None
    measured_share: Seen
    inspected_share: Seen
    touches_border: Seen
    on_plane: bool = False
    other_objects: int = 0
    other_diameter: float = 0.0
    rows: Seen | None = None
    columns: Seen | None = None

    def __post_init__(self) -> None:
        """Refuse values that no calibration can have seen. Raises ValueError."""
        if self.n_parts < 1 or self.other_objects < 0 or not 0 <= self.other_diameter < math.inf:
            raise ValueError("n_parts, other_objects or other_diameter is not what a calibration can have seen")

    def misfit(self, diameter_m: float, area_m2: float) -> float:
        """How unlike the calibration's parts an object of this size is: 0 in the middle of their range."""
        if self.diameter_m is None or self.area_m2 is None:
            return 0.0
        return self.diameter_m.distance(diameter_m) + 0.5 * self.area_m2.distance(area_m2)


class Placement(msgspec.Struct, frozen=True, kw_only=True):
    """How known defects placed a threshold.

    Attributes:
        rule: "midpoint": all score above `normal_value`, and the threshold is halfway between it and the lowest of
            them, in the logarithm; "asked-rate": not all do, and the threshold stays where it was.
        normal_value: the threshold that the normal scans alone give.
        lowest: the smallest score of a known defect.
        n_known: how many were given.
        n_missed: how many of them score at or below the threshold.
        digests: SHA-256 of the scan of each.
    """

    rule: Literal["midpoint", "asked-rate"]
    normal_value: float
    lowest: float
    n_known: int
    n_missed: int
    digests: list[str] = []

    def __post_init__(self) -> None:
        """Refuse numbers that no placement can have; see `bounds`."""
        require_finite(self, "normal_value", "lowest")
        require_positive(self, "n_known")
        if not 0 <= self.n_missed <= self.n_known:
            raise ValueError(f"n_missed is {self.n_missed}: must be 0 to n_known, {self.n_known}")

    def describe(self) -> str:
        """One sentence for those who run the line."""
        if self.rule == "midpoint":
            return (
                f"known defects moved it: all {self.n_known} score above the {self.normal_value:.4g} that the normal "
                f"scans alone give, and it lies halfway to the lowest of them, {self.lowest:.4g}"
            )
        return (
            f"known defects did not move it: {self.n_missed} of {self.n_known} score at it or below (the lowest "
            f"{self.lowest:.4g}) and are missed, because the requested false-reject rate has priority"
        )


class Threshold(msgspec.Struct, frozen=True, kw_only=True):
    """A threshold: a part that scores above `value` is rejected.

    Attributes:
        value: in units of the score (or of the map).
        false_reject_rate: the share of good parts that may be rejected, as requested.
        method: "order-statistic": one of the good scans' own scores, whatever their distribution;
            "extrapolated": by a log-normal tail, because there are too few scans for the rate.
        n_scans: how many good scans it was learned from.
        rate_low, rate_high: the 95 % interval of the share of good parts that will really be rejected.
        scans_needed: how many good scans the order statistic needs for this rate.
        placement: how known defects placed it; None: the good scans alone did.
    """

    value: float
    false_reject_rate: float
    method: Literal["order-statistic", "extrapolated"]
    n_scans: int
    rate_low: float
    rate_high: float
    scans_needed: int
    placement: Placement | None = None

    def __post_init__(self) -> None:
        """Refuse numbers that no threshold can have, which would let every part pass; see `bounds`."""
        require_finite(self, "value")
        require_positive(self, "n_scans", "scans_needed")
        require_share(self, "false_reject_rate")
        if not 0 <= self.rate_low <= self.rate_high <= 1:
            raise ValueError(f"rate_low is {self.rate_low}, rate_high {self.rate_high}: must be in order, 0 to 1")

    def describe(self) -> str:
        """One sentence for those who run the line."""
        about = "about" if self.placement is None or self.placement.rule == "asked-rate" else "less than"
        expected = (
            f"parts scoring above {self.value:.4g} are rejected: {about} {_percent(self.false_reject_rate)} of "
            f"the good ones (95 % confidence: {_percent(self.rate_low)} to {_percent(self.rate_high)})"
        )
        if self.method == "order-statistic":
            return f"{expected}, counted on {self.n_scans} good scans"
        return (
            f"{expected}, extrapolated from {self.n_scans} good scans as if their scores were log-normal; "
            f"calibrate with {self.scans_needed} or more to count instead"
        )


def _percent(rate: float) -> str:
    return f"{100 * rate:.2g} %" if rate >= 1e-4 else "under 0.01 %"
