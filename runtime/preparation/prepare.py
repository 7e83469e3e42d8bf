"""From a scan to what the networks see: supporting plane, padding, clean-up, resizing (paper, preprocessing).

Training, calibration and inspection all come through here; the parameters travel in the bundle.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ..bundle.parameters import EYECANDIES, KINECT, STRUCTURED_LIGHT, PartRange, Preprocessing
from ..errors import WITH_A_BUNDLE, ScanError
from ..sensor.missing import MAX_COORDINATE_M
from ..sensor.origin import NEAR, Vector
from ..sensor.units import unit_in_words
from .close_up import frame_of, view_within, within_frame
from .clusters import Clusters, find_clusters
from .frame import Frame, map_to_input, prepare_mask, prepare_rgb, sample_nearest, sample_part
from .part_choice import Beside, PiecesInView, bounds, choose_part, objects_among, things_in, view_of
from .part_view import PartView
from .repeated import refuse_repeated
from .several_parts import MOST_PARTS, choose_parts
from .supporting import PlaneEvidence, plane_evidence

__all__ = [
    "EYECANDIES",
    "KINECT",
    "STRUCTURED_LIGHT",
    "Frame",
    "PartView",
    "PreparedScan",
    "Preprocessing",
    "evidence_of",
    "map_to_input",
    "prepare",
    "prepare_all",
    "prepare_mask",
    "prepare_rgb",
    "without_plane",
]

# A raw scan shows what lies around the part. Of an image whose border has less than this, it was removed.
_EMPTY_BORDER = 0.02
_PREPROCESSED = (
    "no supporting plane: nothing was measured along the image's border, as in a preprocessed scan, whose background "
    "was removed, but raw scans are expected (preprocessing.plane is always): give the scan as the sensor saved it; if "
    f"all scans are preprocessed, give --set preprocessing.plane=never{WITH_A_BUNDLE}"
)

_Mask = npt.NDArray[np.bool_]
_Planes = npt.NDArray[np.float32]


@dataclass(frozen=True)
class PreparedScan:
    """A scan at the networks' resolution.

    Attributes:
        points: (224, 224, 3) float32, meters, (0, 0, 0) where there is no part.
        valid: (224, 224) bool, where there is.
        kept: (H, W) bool, the part in the input scan's own pixels.
        frame: how the two are related.
        view: what the scan shows of the part; None where it was not looked at.
    """

    points: npt.NDArray[np.float32]
    valid: _Mask
    kept: _Mask
    frame: Frame
    view: PartView | None = None


def prepare(
    points_hw3: npt.NDArray[np.float32],
    preprocessing: Preprocessing,
    expected: PartRange | None = None,
    origin: Vector = NEAR,
) -> PreparedScan:
    """Remove the supporting plane and what lies behind it, keep the part, pad or crop to its window, and resize.

    Args:
        points_hw3: (H, W, 3) float32, meters; missing points are zero or not finite.
        preprocessing: the sensor's parameters.
        expected: what calibration saw; of several things in view, the one most like that is the part. Whether it is
            like that is not judged here: see `preparation.part_range.outside`.
        origin: what was subtracted from the file's coordinates, meters; see `Scan`.

    Raises:
        ScanError: nothing was measured, or one thing again and again; no supporting plane can be found, nothing
            stands on it, or (with plane "auto") this scan alone does not tell whether it is raw; or the part does not
            fit into its window.
        UsageError: nobody has decided how large the window is.
    """
    pieces, evidence = _pieces(points_hw3, preprocessing, origin)
    if evidence is None:
        pieces = _whole(pieces)
    part = choose_part(pieces, expected)
    kept = pieces.mask if evidence is None else pieces.clusters.mask(part)
    return _framed(kept, pieces, _view(pieces, part, evidence, origin), part, preprocessing)


def prepare_all(
    points_hw3: npt.NDArray[np.float32],
    preprocessing: Preprocessing,
    expected: PartRange | None = None,
    origin: Vector = NEAR,
) -> list[PreparedScan | ScanError]:
    """The same for every thing that resembles the product, each as if it were alone in the scan, in reading order.

    Args:
        points_hw3, preprocessing, expected, origin: as `prepare` takes them.

    Returns:
        One a part; an error where one does not fit into its window.

    Raises:
        ScanError: as `prepare` does; also if more things are in view than are inspected, or none has the product's
            size.
        UsageError: nobody has decided how large the window is.
    """
    pieces, evidence = _pieces(points_hw3, preprocessing, origin)
    if not len(pieces.clusters.sizes):
        raise ScanError(_no_cluster(preprocessing))
    numbers = [thing.number for thing in choose_parts(things_in(pieces, MOST_PARTS + 1), expected)]
    prepared: list[PreparedScan | ScanError] = []
    beside = Beside.of(pieces, numbers)
    for part in numbers:
        view = _view(pieces, part, evidence, origin, beside)
        try:
            prepared.append(_framed(pieces.clusters.mask(part), pieces, view, part, preprocessing))
        except ScanError as error:
            prepared.append(error)
    return prepared


def _pieces(
    points_hw3: npt.NDArray[np.float32], preprocessing: Preprocessing, origin: Vector
) -> tuple[PiecesInView, PlaneEvidence | None]:
    """What stands in view in pieces, and the plane that was removed; None where there was none to remove."""
    planes, valid = _planar(points_hw3)
    refuse_repeated(planes, valid)
    evidence = _supporting_plane(planes, valid, preprocessing, origin)
    looked_at, field = _within_region(valid, preprocessing)
    if evidence is None:
        clusters = _clusters(planes, looked_at, preprocessing)
        return PiecesInView(planes, looked_at, looked_at, clusters, None, 0.0, field), None
    return _on(evidence, planes, looked_at, preprocessing), evidence


def _within_region(valid_hw: _Mask, preprocessing: Preprocessing) -> tuple[_Mask, tuple[slice, slice]]:
    """The measured pixels that are looked at, and the rows and columns that end them."""
    roi = preprocessing.roi
    if roi is None:
        return valid_hw, (slice(0, valid_hw.shape[0]), slice(0, valid_hw.shape[1]))
    looked_at = valid_hw & roi.mask(valid_hw.shape)
    if not looked_at.any():
        raise ScanError(
            f"no point was measured in the region of interest {roi}: check the view, or give another region"
            f"{WITH_A_BUNDLE}"
        )
    return looked_at, (slice(roi.row, roi.row + roi.height), slice(roi.column, roi.column + roi.width))


def _framed(
    kept: _Mask,
    pieces: PiecesInView,
    view: PartView,
    part: int,
    preprocessing: Preprocessing,
) -> PreparedScan:
    """A part at the networks' resolution."""
    frame = frame_of(pieces.clusters.mask(part), preprocessing)
    shown = within_frame(kept, frame)
    sampled = sample_nearest(shown, frame)
    points = sample_part(pieces.planes, sampled, frame)
    return PreparedScan(points, sampled, shown, frame, view_within(view, kept, shown))


def _view(
    pieces: PiecesInView,
    part: int,
    evidence: PlaneEvidence | None,
    origin: Vector,
    beside: Beside | None = None,
) -> PartView:
    """What the scan shows of the part, and of the plane that was removed."""
    if evidence is None or evidence.plane is None:
        return view_of(pieces, part, None, 0, beside)
    plane = evidence.plane
    x, y, z = plane.normal.tolist()
    view = view_of(pieces, part, evidence.rms_m, evidence.empty_margin, beside)
    return replace(view, plane_normal=(x, y, z), plane_origin_m=plane.offset - float(plane.normal @ np.array(origin)))


def without_plane(points_hw3: npt.NDArray[np.float32], preprocessing: Preprocessing) -> _Mask:
    """The first step alone: which points stand on the supporting plane's side of parts, (H, W) bool.

    Raises:
        ScanError: nothing was measured, no supporting plane can be found, or nothing is before it.
    """
    planes, valid = _planar(points_hw3)
    evidence = plane_evidence(planes, valid, preprocessing)
    if not evidence.is_surface:
        raise ScanError(_no_plane(evidence, preprocessing))
    return _before(evidence, planes, valid, preprocessing)[0]


def evidence_of(
    points_hw3: npt.NDArray[np.float32], preprocessing: Preprocessing, origin: Vector = NEAR
) -> PlaneEvidence:
    """What one scan says about being raw: what `preparation.raw_or_preprocessed.settle` decides from.

    Args:
        points_hw3, preprocessing, origin: as `prepare` takes them.

    Raises:
        ScanError: nothing was measured, or one thing again and again.
    """
    planes, valid = _planar(points_hw3)
    refuse_repeated(planes, valid)
    return plane_evidence(planes, valid, preprocessing, origin)


def _planar(points_hw3: npt.NDArray[np.float32]) -> tuple[_Planes, _Mask]:
    """The points as x, y and z planes (3, H, W), missing ones zero, and where they are not missing (H, W)."""
    if points_hw3.ndim != 3 or points_hw3.shape[2] != 3:
        raise ScanError(f"a scan has shape (height, width, 3), not {points_hw3.shape}")
    planes = np.ascontiguousarray(np.moveaxis(points_hw3, -1, 0), dtype=np.float32)
    with np.errstate(over="ignore"):
        # One sum tells both marks of a missing point, (0, 0, 0) and NaN.
        total = np.abs(planes[0])
        total += np.abs(planes[1])
        total += np.abs(planes[2])
    finite = total <= MAX_COORDINATE_M  # false for NaN
    if not finite.all():
        planes = np.where(finite, planes, np.float32(0))
    valid = (total > 0) & finite
    if not valid.any():
        raise ScanError("the scan has no measured point: check the sensor's exposure and range")
    return planes, valid


def _supporting_plane(
    planes_3hw: _Planes, valid_hw: _Mask, preprocessing: Preprocessing, origin: Vector
) -> PlaneEvidence | None:
    """The plane to remove; None where the scan was preprocessed."""
    if preprocessing.plane == "never":
        return None
    evidence = plane_evidence(planes_3hw, valid_hw, preprocessing, origin)
    verdict = "raw" if preprocessing.plane == "always" else evidence.verdict(preprocessing.border_valid_share)
    if verdict == "preprocessed":
        return None
    if not (evidence.is_surface if preprocessing.plane == "always" else evidence.supports):
        raise ScanError(_no_plane(evidence, preprocessing))
    if preprocessing.side == "origin" and evidence.origin_m == 0:
        raise ScanError(
            f"the origin of the coordinates is {math.hypot(*origin):.0f} m to the side of the supporting plane, but in "
            "calibration's scans it was in front of it: record scans in the same frame as those, or calibrate again, "
            "with --set preprocessing.side=grid (or mirrored) if scans come in any frame"
        )
    if verdict == "unclear":
        raise ScanError(
            f"{evidence.doubt()}: give --set preprocessing.plane=always if scans are raw, --set "
            f"preprocessing.plane=never if they are not{WITH_A_BUNDLE}"
        )
    return evidence


def _no_plane(evidence: PlaneEvidence, preprocessing: Preprocessing) -> str:
    if _looks_preprocessed(evidence, preprocessing):
        return _PREPROCESSED
    return (
        f"no supporting plane: {evidence.border_points} points were measured along the scan's border, and "
        f"{evidence.objection()}; give --set preprocessing.plane=never if scans were preprocessed before, --sensor for "
        "another kind of sensor (`cmdiad sensor fit` measures it; a noisy one needs a larger "
        "preprocessing.ransac_threshold_m), or --set sensor.metres_per_unit=UNIT if they are not in "
        f"{unit_in_words(preprocessing.metres_per_unit)}{WITH_A_BUNDLE}"
    )


def _looks_preprocessed(evidence: PlaneEvidence, preprocessing: Preprocessing) -> bool:
    """Whether a scan that should be raw shows no table: nothing was measured along the image's border."""
    return preprocessing.plane == "always" and evidence.border_share < _EMPTY_BORDER


def _before(
    evidence: PlaneEvidence, planes_3hw: _Planes, valid_hw: _Mask, preprocessing: Preprocessing
) -> tuple[_Mask, npt.NDArray[np.float32]]:
    """What stands on the plane, (H, W) bool, and all heights above it, (H, W), meters."""
    assert evidence.plane is not None
    heights = evidence.plane.distances(planes_3hw.reshape(3, -1).T).reshape(valid_hw.shape)
    standing: _Mask = (heights > preprocessing.plane_distance_m) & valid_hw
    if not standing.any() and _looks_preprocessed(evidence, preprocessing):
        raise ScanError(_PREPROCESSED)
    if not standing.any():
        raise ScanError(
            f"no measured point is more than {preprocessing.plane_distance_m * 1e3:g} mm above the supporting plane: "
            "no part is in view, or scans are in another frame than calibration's were (calibrate again), or scans "
            "were preprocessed before (give --set preprocessing.plane=never), or the part is flatter (give a smaller "
            f"--set preprocessing.plane_distance_m=METRES){WITH_A_BUNDLE}"
        )
    return standing, heights


def _on(evidence: PlaneEvidence, planes_3hw: _Planes, valid_hw: _Mask, preprocessing: Preprocessing) -> PiecesInView:
    """What stands on the plane, in clusters."""
    mask, heights = _before(evidence, planes_3hw, valid_hw, preprocessing)
    clusters = _clusters(planes_3hw, mask, preprocessing)
    if not len(clusters.sizes):
        raise ScanError(f"above the supporting plane {_no_cluster(preprocessing)}")
    within_m = preprocessing.plane_distance_m + preprocessing.cluster_distance_m
    return PiecesInView(planes_3hw, valid_hw, mask, clusters, heights, within_m, bounds(valid_hw))


def _no_cluster(preprocessing: Preprocessing) -> str:
    return (
        f"no {preprocessing.cluster_min_points} points are connected: no part is in "
        f"view, or pixels are farther apart than {preprocessing.cluster_distance_m * 1e3:g} mm, or parts smaller: "
        "give a larger --set preprocessing.cluster_distance_m=METRES, a smaller --set "
        "preprocessing.cluster_min_points=PIXELS, --sensor for another kind of sensor, or --set "
        "sensor.metres_per_unit=UNIT if scans are not in "
        f"{unit_in_words(preprocessing.metres_per_unit)}{WITH_A_BUNDLE}"
    )


def _whole(pieces: PiecesInView) -> PiecesInView:
    """A preprocessed scan, of which everything is part; strays do not count for its size."""
    clusters = pieces.clusters
    body = pieces.mask
    if len(clusters.sizes):
        body = (clusters.labels > 0) & (clusters.labels <= objects_among(clusters))
    return replace(pieces, clusters=Clusters(body.astype(np.int32), np.array([np.count_nonzero(body)])))


def _clusters(planes_3hw: _Planes, mask_hw: _Mask, preprocessing: Preprocessing) -> Clusters:
    high, wide = bounds(mask_hw)
    clusters = find_clusters(
        planes_3hw[:, high, wide],
        mask_hw[high, wide],
        preprocessing.cluster_distance_m,
        preprocessing.cluster_min_points,
    )
    labels = np.zeros(mask_hw.shape, np.int32)
    labels[high, wide] = clusters.labels
    return Clusters(labels, clusters.sizes)
