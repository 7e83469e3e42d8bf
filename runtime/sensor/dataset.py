"""Datasets as they unpack: MVTec 3D-AD and Eyecandies.

MVTec 3D-AD's layout is CLASS/{train,validation,test}/DEFECT/{rgb,xyz,gt}/NNN.*, with `good` = normal; Eyecandies' is
in `eyecandies.py`. Every command takes a root of either.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from .. import eyecandies
from ..errors import UsageError

Split = Literal["train", "validation", "test"]
GOOD = "good"


@dataclass(frozen=True)
class Sample:
    """One part of a dataset.

    Attributes:
        scan: the organized point cloud's file, or the depth map's.
        rgb: the registered image's file; None where the dataset has none.
        mask: the defect mask's file; None where there is none (a normal part).
        defect: the defect's folder name, `good` for a normal part.
    """

    scan: Path
    rgb: Path | None
    mask: Path | None
    defect: str

    @property
    def is_defect(self) -> bool:
        """Whether the part is labeled defective."""
        return self.defect != GOOD

    @property
    def name(self) -> str:
        """The part's number."""
        return eyecandies.part_name(self.scan) if eyecandies.is_depth_map(self.scan) else self.scan.stem


def find_classes(root: Path, wanted: Iterable[str] = ()) -> list[Path]:
    """The class folders of a dataset root, by name; a single class folder counts as a root of one.

    Raises:
        UsageError: the root has no class, or not the ones wanted.
    """
    if _is_class(root):
        found = {root.resolve().name: root}
    else:
        entries = sorted(root.iterdir()) if root.is_dir() else []
        found = {entry.name: entry for entry in entries if _is_class(entry)}
    if not found:
        raise UsageError(
            f"{root}: no class in the MVTec 3D-AD layout (CLASS/train/good/xyz/*.tiff) or that of Eyecandies "
            "(CLASS/train/data/*_depth.png) is here"
        )
    names = list(wanted) or list(found)
    missing = [name for name in names if name not in found]
    if missing:
        raise UsageError(f"{root}: there is no class {', '.join(missing)}; here are {', '.join(found)}")
    return [found[name] for name in names]


def find_samples(class_folder: Path, split: Split, defect: str | None = None) -> list[Sample]:
    """The samples of a split, normal ones and every defect, sorted by defect and number.

    Raises:
        UsageError: the split is not there or empty.
        ScanError: a mask of Eyecandies, which tell its defects, cannot be read.
    """
    folder = class_folder / split
    if depth_maps := eyecandies.depth_maps(class_folder, split):
        found = [_eyecandies_sample(depth) for depth in depth_maps]
        samples = sorted((each for each in found if defect in (None, each.defect)), key=lambda each: each.defect)
    else:
        defects = [defect] if defect else sorted(entry.name for entry in folder.glob("*") if entry.is_dir())
        samples = [_sample(scan, name) for name in defects for scan in sorted((folder / name / "xyz").glob("*.tiff"))]
    if not samples:
        raise UsageError(f"{folder}: there are no scans ({defect or 'DEFECT'}/xyz/*.tiff) here")
    return samples


def has_split(class_folder: Path, split: Split) -> bool:
    """Whether a class has a split, empty or not."""
    return (class_folder / split).is_dir() or bool(eyecandies.depth_maps(class_folder, split))


def data_digest(files: Iterable[Path]) -> str:
    """SHA-256 over the contents of files, in order: the same data has the same digest wherever it lies."""
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            digest.update(hashlib.sha256(stream.read()).digest())
    return digest.hexdigest()


def _is_class(folder: Path) -> bool:
    return (folder / "train" / GOOD / "xyz").is_dir() or bool(eyecandies.depth_maps(folder, "train"))


def _eyecandies_sample(depth: Path) -> Sample:
    defect = eyecandies.defect_of(depth, GOOD)
    rgb, mask = (eyecandies.companion(depth, item) for item in (eyecandies.IMAGE, "mask.png"))
    return Sample(depth, rgb if rgb.is_file() else None, mask if defect != GOOD else None, defect)


def _sample(scan: Path, defect: str) -> Sample:
    folder = scan.parent.parent
    rgb = folder / "rgb" / f"{scan.stem}.png"
    mask = folder / "gt" / f"{scan.stem}.png"
    has_mask = defect != GOOD and mask.is_file()
    return Sample(scan, rgb if rgb.is_file() else None, mask if has_mask else None, defect)
