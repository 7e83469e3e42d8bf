"""Digests of everything that a product's results depend on: its scans, its networks and the machine."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from contextlib import suppress
from pathlib import Path

from ..runtime.bundle.parameters import Modality
from ..runtime.errors import ScanError
from ..runtime.sensor.dataset import Sample, data_digest
from ..runtime.sensor.eyecandies import companion, is_depth_map
from ..runtime.sensor.part import registered_image

_DEPTH_COMPANIONS = ("info_depth.yaml", "pose.txt")


def part_digests(parts: Iterable[Path], measured: AbstractSet[Modality]) -> list[str]:
    """SHA-256 of each part: its scan, what describes that beside it, and its image where the route looks at it.

    Args:
        parts: files, as `find_normal_parts` gives them.
        measured: what the route measures.

    Raises:
        ScanError: a file cannot be read.
    """
    return [data_digest(_files_of(part, "rgb" in measured and "pc" in measured)) for part in parts]


def sample_digests(samples: Iterable[Sample], measured: AbstractSet[Modality]) -> list[str]:
    """The same of labeled parts, their masks and labels included."""
    digests = []
    for sample in samples:
        image = [sample.rgb] if "rgb" in measured and sample.rgb is not None else []
        mask = [] if sample.mask is None else [sample.mask]
        digests.append(f"{sample.defect} {data_digest([*_files_of(sample.scan, False), *image, *mask])}")
    return digests


def _files_of(scan: Path, with_image: bool) -> list[Path]:
    files = [scan]
    if is_depth_map(scan):
        beside = (companion(scan, item) for item in _DEPTH_COMPANIONS)
        files += [file for file in beside if file.is_file()]
    if with_image:
        with suppress(ScanError):  # the scan's own file holds it, or calibration will say what is wrong
            files.append(registered_image(scan))
    return files
