"""From a scan to what the networks see: supporting plane, padding, clean-up, resizing (paper, preprocessing).

Training, calibration and inspection all come through here; the parameters travel in the bundle.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import msgspec
import numpy as np
import numpy.typing as npt
from scipy.ndimage import binary_propagation

from .clusters import largest_cluster
from .errors import ScanError
from .plane import Plane, find_plane, refine_plane, thinned
from .resizing import Frame, map_to_input, prepare_mask, prepare_rgb, sample_nearest

__all__ = [
    "EYECANDIES",
    "KINECT",
    "STRUCTURED_LIGHT",
    "Frame",
    "PreparedScan",
    "Preprocessing",
    "map_to_input",
    "prepare",
    "prepare_image",
    "prepare_mask",
    "prepare_rgb",
    "without_plane",
]

_Mask = npt.NDArray[np.bool_]


class Preprocessing(msgspec.Struct, frozen=True, kw_only=True):
    """How one sensor's scans are prepared, lengths in metres; the paper's defaults but for `ransac_sample`.

    Attributes:
        size: side of the map the networks see, pixels.
        metres_per_unit: the scan files' unit; None where the reader is to tell.
        plane: "always": scans are raw, remove the supporting plane and clean up. "never": they were
            preprocessed before, remove nothing. "auto": a scan is raw where at least `border_valid_share` of
            its border was measured.
        border_pixels: width of the image border the plane is found on.
        border_valid_share: see `plane`; preprocessed scans have next to nothing there, raw ones the table.
            A preprocessed part that fills more of the border than this needs "never".
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

    size: int = 224
    metres_per_unit: float | None = None
    plane: Literal["auto", "always", "never"] = "auto"
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
        least = {"size": 1, "border_pixels": 1, "ransac_iterations": 1, "ransac_sample": 3, "pad_multiple": 1}
        for name, minimum in least.items():
            if getattr(self, name) < minimum:
                raise ValueError(f"{name} is {getattr(self, name)}, must be at least {minimum}")
        if self.metres_per_unit is not None and not 0 < self.metres_per_unit < np.inf:
            raise ValueError(f"metres_per_unit is {self.metres_per_unit}, must be positive")
        for name in ("ransac_threshold_m", "plane_distance_m", "cluster_distance_m"):
            if not 0 < getattr(self, name) < np.inf:
                raise ValueError(f"{name} is {getattr(self, name)}, must be positive")


STRUCTURED_LIGHT = Preprocessing()
"""The paper's, for sensors with noise far below a millimetre and a measured image border."""

KINECT = Preprocessing(ransac_threshold_m=0.008, refine_on="scan", plane_distance_m=0.008, cluster_distance_m=0.02)
"""For consumer RGB-D cameras (millimetres of noise, 2 mm a pixel): see benchmarks/plane_removal.py."""

EYECANDIES = Preprocessing(ransac_threshold_m=0.002, plane_distance_m=0.002)
"""For the rendered scans of Eyecandies, which have no noise and flat sweets: removed up to 2 mm above the belt, as the
published preprocessing does."""


@dataclass(frozen=True)
class PreparedScan:
    """A scan at the networks' resolution.

    Attributes:
        points: (size, size, 3) float32, metres, (0, 0, 0) where there is no part.
        valid: (size, size) bool, where there is.
        kept: (H, W) bool, the part in the input scan's own pixels.
        frame: how the two are related.
    """

    points: npt.NDArray[np.float32]
    valid: _Mask
    kept: _Mask
    frame: Frame


def prepare(points_hw3: npt.NDArray[np.float32], preprocessing: Preprocessing) -> PreparedScan:
    """Remove the supporting plane, keep the largest cluster, pad and resize.

    Args:
        points_hw3: (H, W, 3) float32, metres; missing points are zero or not finite.
        preprocessing: the sensor's parameters.

    Raises:
        ScanError: nothing was measured, no supporting plane can be found, or nothing stands on it.
    """
    planes, valid = _planar(points_hw3)
    kept = valid
    if _is_raw(valid, preprocessing):
        kept = _without_plane(planes, valid, preprocessing)
        kept = _without_strays(planes, kept, preprocessing)
    frame = Frame.of(kept.shape[0], kept.shape[1], preprocessing.pad_multiple, preprocessing.size)
    sampled = sample_nearest(kept, frame)
    points = sample_nearest(points_hw3, frame).astype(np.float32, copy=False)
    points[~sampled] = 0
    return PreparedScan(points=points, valid=sampled, kept=kept, frame=frame)


def without_plane(points_hw3: npt.NDArray[np.float32], preprocessing: Preprocessing) -> _Mask:
    """The first step alone: which points are measured and not of the supporting plane, (H, W) bool.

    Raises:
        ScanError: nothing was measured, no supporting plane can be found, or nothing is beside it.
    """
    return _without_plane(*_planar(points_hw3), preprocessing)


def prepare_image(
    rgb_hw3: npt.NDArray[np.uint8], preprocessing: Preprocessing
) -> tuple[npt.NDArray[np.uint8], _Mask, _Mask, Frame]:
    """Prepare an image that no scan came with.

    Without points the part is everything but the black that reaches the image's edge, which is what
    preprocessing leaves of the background; a camera's image without such black is all part.

    Returns:
        The padded image (side, side, 3) uint8, where there is part (size, size) bool and in the input's own
        pixels (H, W) bool, and the frame.

    Raises:
        ScanError: the image is black.
    """
    black = ~rgb_hw3.any(axis=2)
    if black.all():
        raise ScanError("the image is black: check the camera's exposure")
    edge = np.ones_like(black)
    edge[1:-1, 1:-1] = False
    kept = ~binary_propagation(black & edge, mask=black)
    frame = Frame.of(black.shape[0], black.shape[1], preprocessing.pad_multiple, preprocessing.size)
    return prepare_rgb(rgb_hw3, kept, frame), sample_nearest(kept, frame), kept, frame


def _planar(points_hw3: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.float32], _Mask]:
    """The points as x, y and z planes (3, H, W), missing ones zero, and where they are not missing (H, W)."""
    if points_hw3.ndim != 3 or points_hw3.shape[2] != 3:
        raise ScanError(f"a scan has shape (height, width, 3), not {points_hw3.shape}")
    planes = np.array(np.moveaxis(points_hw3, -1, 0), dtype=np.float32, order="C")
    with np.errstate(over="ignore"):
        # One sum tells both marks of a missing point, (0, 0, 0) and NaN.
        total = np.abs(planes[0])
        total += np.abs(planes[1])
        total += np.abs(planes[2])
    finite = np.isfinite(total)
    if not finite.all():
        planes[:, ~finite] = 0
    valid = (total > 0) & finite
    if not valid.any():
        raise ScanError("the scan has no measured point: check the sensor's exposure and range")
    return planes, valid


def _border(shape_hw: tuple[int, int], pixels: int) -> _Mask:
    ring = np.ones(shape_hw, dtype=bool)
    ring[pixels:-pixels, pixels:-pixels] = False
    return ring


def _is_raw(valid_hw: _Mask, preprocessing: Preprocessing) -> bool:
    if preprocessing.plane != "auto":
        return preprocessing.plane == "always"
    ring = _border(valid_hw.shape, preprocessing.border_pixels)
    return bool(np.mean(valid_hw[ring]) >= preprocessing.border_valid_share)


def _without_plane(planes_3hw: npt.NDArray[np.float32], valid_hw: _Mask, preprocessing: Preprocessing) -> _Mask:
    plane = _supporting_plane(planes_3hw, valid_hw, preprocessing)
    distances = plane.distances(planes_3hw.reshape(3, -1).T).reshape(valid_hw.shape)
    kept: _Mask = (np.abs(distances) > preprocessing.plane_distance_m) & valid_hw
    if not kept.any():
        raise ScanError(
            f"every measured point lies within {preprocessing.plane_distance_m} m of the supporting plane: "
            "no part is in view, or plane_distance_m is too large for it"
        )
    return kept


def _supporting_plane(planes_3hw: npt.NDArray[np.float32], valid_hw: _Mask, preprocessing: Preprocessing) -> Plane:
    points_3n = planes_3hw.reshape(3, -1)
    on_border = np.flatnonzero(_border(valid_hw.shape, preprocessing.border_pixels) & valid_hw)
    plane = find_plane(
        points_3n[:, on_border].T,
        preprocessing.ransac_threshold_m,
        preprocessing.ransac_iterations,
        preprocessing.ransac_sample,
        preprocessing.seed,
    )
    if plane is not None and preprocessing.refine_on == "scan":
        plane = refine_plane(points_3n[:, thinned(np.flatnonzero(valid_hw))].T, plane, preprocessing.ransac_threshold_m)
    if plane is None:
        raise ScanError(
            f"no supporting plane: {len(on_border)} points were measured on the image border, "
            f"{preprocessing.border_pixels} pixels wide, and most of them lie on no common plane; widen "
            "border_pixels or ransac_threshold_m, or set plane to never if scans were preprocessed before"
        )
    return plane


def _without_strays(planes_3hw: npt.NDArray[np.float32], kept_hw: _Mask, preprocessing: Preprocessing) -> _Mask:
    rows, columns = np.flatnonzero(kept_hw.any(axis=1)), np.flatnonzero(kept_hw.any(axis=0))
    high, wide = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    cluster = np.zeros_like(kept_hw)
    cluster[high, wide] = largest_cluster(
        planes_3hw[:, high, wide],
        kept_hw[high, wide],
        preprocessing.cluster_distance_m,
        preprocessing.cluster_min_points,
    )
    if not cluster.any():
        raise ScanError(
            f"beside the supporting plane no {preprocessing.cluster_min_points} points hang together: "
            "no part is in view, or cluster_distance_m is too small for it"
        )
    return cluster
