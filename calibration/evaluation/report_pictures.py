"""A test part as a picture in a report: what the camera saw with the labeled defect, and beside it the anomaly map."""

from __future__ import annotations

from ...runtime.bundle.manifest import Manifest
from ...runtime.bundle.parameters import PartRange
from ...runtime.sensor.image import read_mask
from ...runtime.sensor.part import BOTH, POINTS, read_sample
from ...runtime.timing import StageTimes
from ..part_pictures import side_by_side
from .contenders import prepare
from .outcomes import Example


def example_picture(example: Example, manifest: Manifest, part_range: PartRange, pixel_threshold: float) -> str:
    """A JPEG as a data URI: the photograph (or else the surface), the labeled defect outlined, and the heat map.

    Args:
        example: the part and its map.
        manifest: of the bundle that made the map.
        part_range: what its calibration saw of such parts.
        pixel_threshold: the map value above which a pixel is marked.

    Raises:
        ScanError: the part's files cannot be read any more.
    """
    sample = example.sample
    (prepared,) = prepare(sample, manifest, StageTimes(), part_range)
    part = read_sample(sample, POINTS if sample.rgb is None else BOTH, manifest.preprocessing)
    truth = None if sample.mask is None else read_mask(sample.mask)
    whole = prepared.frame.whole(manifest.preprocessing.pad_multiple)
    return side_by_side(part, prepared, example.map_224, pixel_threshold, truth, whole)
