"""A dataset's scans of several parts: each part is a sample of its own, with a label of its own."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from scipy.ndimage import distance_transform_edt

from ..bundle.parameters import Modality, PartRange, Preprocessing
from ..errors import UsageError, naming_scan
from ..sensor.dataset import GOOD, Sample
from ..sensor.image import read_defect_mask
from ..sensor.part import read_sample
from ..timing import StageTimes
from .prepared_part import PreparedPart, prepare_parts, require_parts

_Mask = npt.NDArray[np.bool_]


def prepare_sample(
    sample: Sample,
    measured: AbstractSet[Modality],
    preprocessing: Preprocessing,
    expected: PartRange | None = None,
    times: StageTimes | None = None,
) -> list[PreparedPart]:
    """Read and prepare the parts of a sample: the one it is about, or all of its scan.

    Args:
        sample: of a dataset.
        measured, preprocessing, expected: as `prepare_parts` takes them.
        times: is told how long it took.

    Raises:
        ScanError: a file cannot be read, or nothing is left of one of its parts. The message names the scan.
    """
    times = times or StageTimes()
    with naming_scan(sample.scan):
        with times.stage("read"):
            part = read_sample(sample, measured, preprocessing)
        with times.stage("preprocess"):
            prepared = require_parts(prepare_parts(part, measured, preprocessing, expected))
    return prepared if sample.part is None else [prepared[sample.part - 1]]


def split_samples(
    samples: Sequence[Sample], measured: AbstractSet[Modality], preprocessing: Preprocessing
) -> list[Sample]:
    """The parts of every sample's scan; the samples themselves where each scan is one part.

    Raises:
        ScanError: as `prepare_sample` does; also if a mask cannot be read.
        UsageError: a defective scan has no mask.
    """
    if preprocessing.parts == "largest":
        return list(samples)
    return [
        part for sample in samples for part in labeled_parts(sample, prepare_sample(sample, measured, preprocessing))
    ]


def labeled_parts(sample: Sample, prepared: Sequence[PreparedPart]) -> list[Sample]:
    """A sample of each part of a scan: defective where the mask marks a pixel that belongs to it.

    Args:
        sample: of the whole scan.
        prepared: its parts.

    Raises:
        ScanError: the mask cannot be read, marks nothing, or is of another size.
        UsageError: a defective scan of several parts has no mask.
    """
    parts = [replace(sample, part=number) for number in range(1, 1 + len(prepared))]
    if not sample.is_defect or len(parts) == 1:
        return parts
    if sample.mask is None:
        raise UsageError(
            f"{sample.scan}: shows {len(parts)} parts and is labeled {sample.defect}, but has no mask in gt/ that says "
            "which of them is: add the mask"
        )
    marked = read_defect_mask(sample.mask)
    owners = [bool(own.any()) for own in own_pixels(marked, prepared)]
    return [part if is_defect else replace(part, defect=GOOD) for part, is_defect in zip(parts, owners, strict=True)]


def own_pixels(marked_hw: _Mask, prepared: Sequence[PreparedPart]) -> list[_Mask]:
    """The pixels of a mask (H, W) that belong to each part: those that no other part is nearer to.

    Material that is missing is marked where the part is not, so that its own pixels alone would not tell.

    Raises:
        ScanError: the mask is of another size than the scan.
    """
    if len(prepared) == 1:
        return [marked_hw]
    prepared[0].frame.check(marked_hw, "mask")
    owner = np.zeros(marked_hw.shape, np.int32)
    for number, part in enumerate(prepared, 1):
        owner[part.kept] = number
    rows, columns = distance_transform_edt(owner == 0, return_distances=False, return_indices=True)
    nearest = owner[rows, columns]
    return [marked_hw & (nearest == number) for number in range(1, 1 + len(prepared))]
