"""What falsifies the figures of a class: copies, masks and folders that cannot be right, thresholds that say little."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.ndimage import distance_transform_edt

from ...runtime.bundle.manifest import Manifest
from ...runtime.errors import ScanError
from ...runtime.patches.routes import route_of
from ...runtime.preparation.frame import Frame, sample_nearest
from ...runtime.preparation.prepared_part import PreparedPart
from ...runtime.sensor.dataset import Sample, label_doubts
from ...runtime.sensor.file_copies import listed, scans_in_both
from ...runtime.sensor.image import read_mask
from ..calibrate import Calibrated
from ..copies import KnownParts
from ..held_out import suspicions
from ..threshold import far_threshold
from .outcomes import name_of

# A mask with good and bad the wrong way round marks all but the defect. Masks of MVTec 3D-AD mark up to a fifth of the
# image, and where parts are small, or bent or worn as a whole, that may be half of the part, but not nearly all of it.
_MOST_OF_PART, _MOST_OF_IMAGE = 0.75, 0.5
# Missing material is marked where the part is not, and often where nothing was measured: there a mask need not touch
# the part. But it begins beside it, within a tenth of its size, and reaches at most about once its size beyond.
_NEAR, _LEAST_NEAR = 0.1, 0.05

_Mask = npt.NDArray[np.bool_]
_Kind = tuple[list[str], str, str]
"""The names of scans, what is wrong with them, and why that matters and what to do."""


class PartDoubts:
    """Fed with every test part in order."""

    def __init__(self, known: KnownParts) -> None:
        """Remember the normal parts, by what was measured of them."""
        self._known, self._seen, self._labels = known, KnownParts(), dict[str, str]()
        self._learned, self._twice, self._contradictory = list[str](), list[str](), list[str]()
        self._covering, self._beside, self._n_masks = list[str](), list[str](), 0

    def add(self, sample: Sample, prepared: PreparedPart) -> None:
        """A part, prepared as the normal ones were."""
        name = f"test/{name_of(sample)}"
        if (twin := self._known.like(prepared)) is not None:
            self._learned.append(f"{name} ({twin})")
        if (twin := self._seen.like(prepared)) is None:
            self._seen.add(prepared, name)
            self._labels[name] = sample.defect
        else:
            is_same = self._labels[str(twin)] == sample.defect
            (self._twice if is_same else self._contradictory).append(f"{name} ({twin})")

    def add_mask(self, sample: Sample, prepared: PreparedPart, mask_224: _Mask, whole: Frame) -> None:
        """A part, and what of it is marked as defective: (224, 224) bool in the frame of the whole scan."""
        if not mask_224.any():
            return
        self._n_masks += 1
        name, part = f"test/{name_of(sample)}", sample_nearest(prepared.kept, whole)
        if not part.any():
            return
        of_part = float(mask_224[part].mean())
        of_image = float(mask_224.mean()) * whole.side**2 / (whole.height * whole.width)
        if of_part > _MOST_OF_PART or of_image > _MOST_OF_IMAGE:
            self._covering.append(f"{name} ({of_part:.0%} of the part)")
        elif _share_near(part, mask_224) < _LEAST_NEAR:
            self._beside.append(name)

    def doubts(self, n_test: int) -> list[str]:
        """What was found, one sentence for each kind.

        Args:
            n_test: how many scans there are.
        """
        kinds = [*self._copies(n_test), *self._masks()]
        return [_sentence(*kind) for kind in kinds if kind[0]]

    def _copies(self, n_test: int) -> list[_Kind]:
        tests = f"of {n_test} test scans are"
        return [
            (
                self._learned,
                f"{tests} among the normal scans too",
                "the banks know them, so their scores are lower than those of parts never seen: take them out of one "
                "of the two",
            ),
            (
                self._twice,
                f"{tests} the same measurement as another test scan",
                "such a part counts several times in every figure: remove the copies",
            ),
            (
                self._contradictory,
                f"{tests} the same measurement as another test scan that is labeled otherwise",
                "one of the labels is wrong, so no detector could be right: remove the wrong one",
            ),
        ]

    def _masks(self) -> list[_Kind]:
        masks = f"of {self._n_masks} masks mark"
        return [
            (
                self._covering,
                f"{masks} most of the part or of the scan",
                "pixel scores then take the good part for the defect: a mask is 0 where the part is good, so check "
                "whether these are inverted",
            ),
            (
                self._beside,
                f"{masks} next to nothing on the part or beside it",
                "pixel scores then take what is not the part for the defect: check whether the mask belongs to the "
                "scan and lies as the scan does",
            ),
        ]


def _share_near(part: _Mask, marked: _Mask) -> float:
    """The share of the marked pixels that belong to the part or are near it."""
    rows, columns = np.nonzero(part)
    reach = _NEAR * (1 + max(np.ptp(rows), np.ptp(columns)))
    return float(np.mean(distance_transform_edt(~part)[marked] <= reach))


def class_doubts(samples: Sequence[Sample], validation: Sequence[Sample]) -> list[str]:
    """What the files of a class tell: folders that look good and count as defects, masks of good parts, and validation
    scans that are test scans too.

    Args:
        samples: of its test.
        validation: of its validation.

    Raises:
        ScanError: a scan cannot be read.
    """
    masks = [(name_of(sample), sample.unused_mask) for sample in samples if sample.unused_mask is not None]
    marking = [f"test/{name} ({remark})" for name, mask in masks if (remark := _marked(mask))]
    kinds: list[_Kind] = [
        (
            marking,
            f"of {len(masks)} masks of good test parts are not empty",
            "they are not used, and these parts count as good: move them to the folders of their defects, or remove "
            "the masks",
        ),
        (
            scans_in_both("validation", validation, "test", samples),
            f"of {len(validation)} validation scans are test scans too",
            "`train` chooses its checkpoint with validation scans, so figures of a run that was trained with these are "
            "better than those of parts never seen: take them out of one of the two",
        ),
    ]
    return [*label_doubts("test", samples), *(_sentence(*kind) for kind in kinds if kind[0])]


def threshold_doubts(learned: Sequence[tuple[Manifest, Sequence[str], Calibrated]]) -> list[str]:
    """What makes the thresholds doubtful, as `calibrate` says it: once for a route, whatever its scores.

    Args:
        learned: of every contender its bundle, the names of the normal parts, and what they gave.
    """
    told: dict[tuple[str, str], str] = {}
    for manifest, names, calibrated in learned:
        title, threshold = route_of(manifest.route, manifest.main).title, calibrated.calibration.threshold
        kinds = {
            "suspicions": suspicions(names, calibrated.scores),
            "far out": far_threshold(calibrated.scores, threshold, can_be_placed=False),
        }
        for kind, sentences in kinds.items():
            for sentence in sentences:
                told.setdefault((title, kind), f"{title}: {sentence}")
    return list(told.values())


def _marked(mask: Path) -> str:
    """What a mask that should be empty marks; empty if it marks nothing."""
    try:
        share = float(read_mask(mask).mean())
    except ScanError:
        return "it cannot be read"
    return f"{share:.2%} of the pixels" if share else ""


def _sentence(named: Sequence[str], what: str, why: str) -> str:
    return f"{len(named)} {what}: {listed(named)}: {why}"
