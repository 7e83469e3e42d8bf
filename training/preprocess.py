"""A dataset preprocessed once, into a new folder: what the line does on every scan, written down.

Whether scans are raw is decided once, from all of them; preprocessed ones pass through unchanged. A killed run goes on
where it stopped.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from warnings import warn

import numpy as np
import numpy.typing as npt
import tifffile
from PIL import Image

from ..runtime.bundle.parameters import Preprocessing
from ..runtime.errors import UsageError, naming_scan
from ..runtime.files.atomic import atomic_write, atomic_write_bytes
from ..runtime.files.atomic_folder import holds_something
from ..runtime.files.json_encoding import encode_json_file, encode_text
from ..runtime.preparation.frame import Frame, prepare_rgb
from ..runtime.preparation.prepared_part import kept_in_all, prepare_parts, require_parts
from ..runtime.preparation.settling import settle_scans
from ..runtime.progress import StepProgress
from ..runtime.sensor.dataset import (
    SPLITS,
    Sample,
    class_name,
    file_digests,
    find_classes,
    find_samples,
    has_split,
    joint_digest,
)
from ..runtime.sensor.image import read_defect_mask
from ..runtime.sensor.missing import valid_mask
from ..runtime.sensor.part import BOTH, POINTS, Part, read_sample
from ..runtime.sensor.scan import read_scan

SETTINGS = "preprocessing.json"
REPORT = "preprocessing.csv"


@dataclass(frozen=True)
class Removal:
    """How many pixels of a scan were measured, and how many of them are part.

    Attributes:
        was_renewed: whether there was a copy, of another scan, image or mask than now.
    """

    scan: str
    measured: int
    kept: int
    was_renewed: bool = False


def preprocess_dataset(
    data: Path,
    out: Path,
    class_names: Sequence[str],
    preprocessing: Preprocessing,
    workers: int,
    progress: StepProgress,
) -> list[Removal]:
    """Write a preprocessed copy of a dataset, and a CSV of what was removed from each scan.

    Args:
        data: a dataset root, MVTec 3D-AD's or Eyecandies'; the copy is in the layout of the first.
        out: a new folder, or one that the same command began.
        class_names: which classes; empty: all.
        preprocessing: the sensor's parameters.
        workers: processes.
        progress: called with (done, all).

    Raises:
        UsageError: `out` is the dataset itself, was begun with other parameters, or holds parts of another dataset.
        ScanError: a scan cannot be read or holds no part.
    """
    if out.resolve() == data.resolve() or data.resolve() in out.resolve().parents:
        raise UsageError(f"{out}: is inside the dataset, which is never changed: choose another folder")
    everything = _jobs(data, out, ())
    jobs = _jobs(data, out, class_names) if class_names else everything
    _claim(out, preprocessing, {_target(*job) for job in everything})
    settled = settle_scans(preprocessing, [sample.scan for sample, _ in jobs])
    for warning in settled.warnings:
        warn(warning, stacklevel=2)
    removals = []
    with ProcessPoolExecutor(workers) as pool:
        for removal in pool.map(partial(_preprocess_sample, preprocessing=settled.preprocessing), jobs):
            removals.append(removal)
            progress(len(removals), len(jobs))
    atomic_write_bytes(out / REPORT, _encode_report(removals))
    for warning in _renewed(removals):
        warn(warning, stacklevel=2)
    return removals


def _renewed(removals: Sequence[Removal]) -> list[str]:
    """What is said of parts that have changed; nothing where none has."""
    renewed = [removal.scan for removal in removals if removal.was_renewed]
    changed = f"{len(renewed)} of {len(removals)} parts have changed since they were preprocessed"
    return [f"{changed}, and were preprocessed again, such as {renewed[0]}"] if renewed else []


def _claim(out: Path, preprocessing: Preprocessing, targets: Collection[Path]) -> None:
    """Refuse a folder that this dataset with these parameters did not begin."""
    settings = encode_json_file(preprocessing)
    file = out / SETTINGS
    if holds_something(out) and (not file.exists() or file.read_bytes() != settings):
        raise UsageError(f"{out}: holds something else, or was begun with other parameters: choose a new folder")
    others = sorted(path for path in out.glob("*/*/*/xyz/*.tiff") if path not in targets)
    if others:
        raise UsageError(
            f"{out}: holds {len(others)} parts that are not of this dataset, such as {others[0].relative_to(out)}: "
            "choose a new folder"
        )
    atomic_write_bytes(file, settings)


def _jobs(data: Path, out: Path, class_names: Sequence[str]) -> list[tuple[Sample, Path]]:
    """Every part, and the folder that its copy goes to."""
    return [
        (sample, out / class_name(folder) / split / sample.defect)
        for folder in find_classes(data, class_names)
        for split in SPLITS
        if has_split(folder, split)
        for sample in find_samples(folder, split)
    ]


def _preprocess_sample(job: tuple[Sample, Path], preprocessing: Preprocessing) -> Removal:
    sample, folder = job
    part = read_sample(sample, POINTS if sample.rgb is None else BOTH, preprocessing)
    assert part.points is not None
    name = f"{folder.parent.parent.name}/{folder.parent.name}/{folder.name}/{sample.name}"
    target, digest = _target(sample, folder), _source_digest(sample)
    # The points are the last of a part's files.
    was_there = target.exists()
    if was_there and _copied_digest(target) == digest:
        kept = valid_mask(read_scan(target).points)
        return Removal(name, int(valid_mask(part.points).sum()), int(kept.sum()))
    with naming_scan(sample.scan):
        kept = _write_part(sample, folder, part, digest, *_prepared(part, preprocessing))
    return Removal(name, int(valid_mask(part.points).sum()), int(kept.sum()), was_renewed=was_there)


def _target(sample: Sample, folder: Path) -> Path:
    """Where the copy of a part's points goes."""
    return folder / "xyz" / f"{sample.name}.tiff"


def _source_digest(sample: Sample) -> str:
    """Of a part's scan, image and mask."""
    return joint_digest(file_digests(file for file in (sample.scan, sample.rgb, sample.mask) if file is not None))


def _copied_digest(target: Path) -> str:
    """The digest of what a copy was made of, which its points carry."""
    try:
        with tifffile.TiffFile(target) as file:
            return str(file.pages.first.description)
    except (tifffile.TiffFileError, OSError):
        return ""


def _prepared(part: Part, preprocessing: Preprocessing) -> tuple[npt.NDArray[np.bool_], Frame]:
    """Which pixels of a scan are kept, (H, W) bool, those of all its parts, and its frame."""
    parts = require_parts(prepare_parts(Part(part.points, None, part.origin), POINTS, preprocessing))
    return kept_in_all(parts), parts[0].frame


def _write_part(
    sample: Sample, folder: Path, part: Part, digest: str, kept: npt.NDArray[np.bool_], frame: Frame
) -> npt.NDArray[np.bool_]:
    """Write the files of a part; returns which pixels of the scan are kept, (H, W) bool."""
    assert part.points is not None
    if part.rgb is not None:
        _write_png(folder / "rgb" / f"{sample.name}.png", prepare_rgb(part.rgb, kept, frame))
    if sample.mask is not None:
        mask = read_defect_mask(sample.mask).astype(np.uint8) * np.uint8(255)
        _write_png(folder / "gt" / f"{sample.name}.png", _padded(mask, frame))
    kept_points = np.where(kept[..., None], part.coordinates(), np.float32(0))
    with atomic_write(_target(sample, folder)) as stream:
        padded = _padded(kept_points, frame)
        tifffile.imwrite(stream, padded, photometric="rgb", compression="zlib", description=digest, metadata=None)
    return kept


def _padded(array: npt.NDArray[np.generic], frame: Frame) -> npt.NDArray[np.generic]:
    padded = np.zeros((frame.side, frame.side, *array.shape[2:]), array.dtype)
    padded[frame.top : frame.top + frame.height, frame.left : frame.left + frame.width] = array
    return padded


def _write_png(path: Path, array: npt.NDArray[np.generic]) -> None:
    with atomic_write(path) as stream:
        Image.fromarray(array).save(stream, format="PNG")


def _encode_report(removals: Sequence[Removal]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["scan", "measured_pixels", "part_pixels", "removed_share"])
    for removal in removals:
        share = 1 - removal.kept / removal.measured
        writer.writerow([removal.scan, removal.measured, removal.kept, f"{share:.4f}"])
    return encode_text(text.getvalue())
