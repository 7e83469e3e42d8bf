"""Datasets as they unpack: MVTec 3D-AD and Eyecandies.

MVTec 3D-AD's layout is CLASS/{train,validation,test}/DEFECT/{rgb,xyz,gt}/NNN.*, with `good` = normal; Eyecandies' is
in `eyecandies.py`. Every command takes a root of either.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from ..errors import UsageError
from . import eyecandies
from .listing import IMAGES, MASKS, SCANS, by_stem, depth_maps_in, files_in, is_folder, visible, whole
from .readers.limits import read_bounded

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
GOOD = "good"
_EYECANDIES_FOLDER = "data"
# What folders of normal parts are called in other datasets; here each of these counts as a defect.
_LIKE_GOOD = frozenset(("good", "ok", "okay", "io", "normal", "nominal", "pass", "passed", "defect_free", "no_defect"))


@dataclass(frozen=True)
class Sample:
    """One part of a dataset.

    Attributes:
        scan: the organized point cloud's file, or the depth map's.
        rgb: the registered image's file; None where the dataset has none.
        mask: the defect mask's file; None if there is none (a normal part).
        defect: the defect's folder name, `good` for a normal part.
        part: its number in the scan, from 1, where each scan of the dataset shows several; None where it is all of it.
        unused_mask: the mask's file of a normal part, which should be empty.
    """

    scan: Path
    rgb: Path | None
    mask: Path | None
    defect: str
    part: int | None = None
    unused_mask: Path | None = None

    @property
    def is_defect(self) -> bool:
        """Whether the part is labeled defective."""
        return self.defect != GOOD

    @property
    def name(self) -> str:
        """The scan's number, and which part of it: `000#2`."""
        number = eyecandies.part_name(self.scan) if eyecandies.is_depth_map(self.scan) else self.scan.stem
        return number if self.part is None else f"{number}#{self.part}"


@dataclass(frozen=True)
class Place:
    """Where a file lies in a dataset: its class folder, the split's folder, and the defect that it is labeled with."""

    class_folder: Path
    split: str
    defect: str


def find_classes(root: Path, wanted: Iterable[str] = ()) -> list[Path]:
    """The class folders of a dataset root, by name; a single class folder counts as a root of one.

    A class that is wanted twice comes once.

    Raises:
        UsageError: the root is not there or not a folder, has no class, or not the ones wanted.
        ScanError: a folder cannot be read.
    """
    classes = list_classes(root)
    if not classes and not os.path.lexists(root):
        raise UsageError(f"{root}: there is no such folder: check the path of the dataset")
    if not classes and not is_folder(root):
        raise UsageError(f"{root}: is not a folder: give the folder of a dataset")
    if not classes:
        raise UsageError(
            f"{root}: found no class in the layout of MVTec 3D-AD (CLASS/train/good/xyz/*.tiff) or Eyecandies "
            f"(CLASS/train/data/*_depth.png){_renaming(root)}"
        )
    names = list(dict.fromkeys(wanted)) or list(classes)
    missing = [name for name in names if name not in classes]
    if missing:
        raise UsageError(f"{root}: there is no class {', '.join(missing)}; found {', '.join(classes)}{_renaming(root)}")
    return [classes[name] for name in names]


def list_classes(root: Path) -> dict[str, Path]:
    """The class folders of a dataset root by their names; empty if it is not such a root.

    Raises:
        ScanError: a folder cannot be read.
    """
    if _is_class(root):
        return {class_name(root): root}
    return {entry.name: entry for entry in visible(root)[0] if _is_class(entry)}


def misnamed_folders(root: Path) -> list[Path]:
    """Folders that should be called train/good: what they lie in is no class, and is left out without them.

    Raises:
        ScanError: a folder cannot be read.
    """
    entries = [entry for entry in (root, *visible(root)[0]) if not _is_class(entry)]
    folders = [folder for entry in entries for folder in visible(entry / "train")[0]]
    return [folder for folder in folders if looks_good(folder.name) and is_folder(folder / SCANS.folder)]


def looks_good(defect: str) -> bool:
    """Whether a folder's name says that its parts are normal, while it counts as a defect.

    Example:
        >>> looks_good("Good"), looks_good("good"), looks_good("dent")
        (True, False, False)
    """
    return defect != GOOD and defect.strip().casefold().replace("-", "_").replace(" ", "_") in _LIKE_GOOD


def label_doubts(split: Split, samples: Iterable[Sample]) -> list[str]:
    """A sentence about folders that look good and count as defects; none where there are none."""
    folders = [
        f"{split}/{defect}" for defect in dict.fromkeys(sample.defect for sample in samples) if looks_good(defect)
    ]
    if not folders:
        return []
    counts = "counts as a defect" if len(folders) == 1 else "count as defects"
    return [
        f"{', '.join(folders)} {counts}: only {split}/{GOOD} holds normal parts: move them there if they are normal"
    ]


def class_name(folder: Path) -> str:
    """What a class is called: its folder's own name, also where that is a link to another.

    Example:
        >>> class_name(Path("data/flange/../gland"))
        'gland'
    """
    return Path(os.path.normpath(folder.absolute())).name


def find_samples(class_folder: Path, split: Split, defect: str | None = None) -> list[Sample]:
    """The samples of a split, normal ones and every defect, sorted by defect and number.

    Raises:
        UsageError: the split is not there or empty.
        ScanError: a folder cannot be read, two files belong to the same part, or a mask of Eyecandies, which tell its
            defects, cannot be read.
    """
    samples = list_samples(class_folder, split, defect)
    if not samples:
        where = f"{class_folder / split}: there are no scans in {defect or 'DEFECT'}/xyz/ here"
        raise UsageError(f"{where}: files that end in {', '.join(SCANS.suffixes)}")
    return samples


def list_samples(class_folder: Path, split: Split, defect: str | None = None) -> list[Sample]:
    """As `find_samples`; none where the split is not there or empty."""
    if depth_maps := _depth_maps(class_folder, split):
        samples = [_eyecandies_sample(depth) for depth in depth_maps]
        wanted = (sample for sample in samples if defect in (None, sample.defect))
        return sorted(wanted, key=lambda sample: sample.defect)
    folder = class_folder / split
    defects = [folder / defect] if defect else visible(folder)[0]
    return [sample for subfolder in defects for sample in _samples_of(subfolder)]


def has_split(class_folder: Path, split: Split) -> bool:
    """Whether a class has a split, empty or not."""
    return is_folder(class_folder / split) or bool(_depth_maps(class_folder, split))


def normal_folder(class_folder: Path) -> Path:
    """Where the normal training parts of a class lie."""
    folder = class_folder / "train" / GOOD
    return folder if is_folder(folder) else class_folder / "train" / _EYECANDIES_FOLDER


def place_of(file: Path) -> Place | None:
    """Where a scan or image lies in a dataset, of which it may be the only part at hand; None elsewhere.

    Raises:
        ScanError: a mask of Eyecandies, which tell its defects, cannot be read.
    """
    file = whole(file)
    folder = file.parent
    depth = file.with_name(f"{file.name.removesuffix(f'_{eyecandies.IMAGE}')}_depth.png")
    depth = file if eyecandies.is_depth_map(file) else depth
    if folder.name == _EYECANDIES_FOLDER and eyecandies.is_depth_map(depth):
        return Place(folder.parents[1], folder.parent.name, eyecandies.defect_of(depth, GOOD))
    if folder.name not in (SCANS.folder, IMAGES.folder) or len(folder.parents) < 4:
        return None
    split = folder.parents[1]
    in_dataset = split.name in SPLITS and (is_folder(split / GOOD) or _is_class(split.parent))
    return Place(split.parent, split.name, folder.parent.name) if in_dataset else None


def data_digest(files: Iterable[Path]) -> str:
    """SHA-256 over the contents of files, in order: the same data has the same digest wherever it lies.

    Raises:
        ScanError: a file cannot be read.
    """
    return joint_digest(file_digests(files))


def file_digests(files: Iterable[Path]) -> list[bytes]:
    """SHA-256 of each file's content.

    Raises:
        ScanError: a file cannot be read.
    """
    return [hashlib.sha256(read_bounded(file)).digest() for file in files]


def joint_digest(digests: Iterable[bytes]) -> str:
    """What `data_digest` makes of the files with these digests."""
    return hashlib.sha256(b"".join(digests)).hexdigest()


def _renaming(root: Path) -> str:
    """The end of a message about a class that was not found, where only the name of a folder is wrong."""
    folders = misnamed_folders(root)
    return f": rename {folders[0]} to {GOOD}" if folders else ""


def _is_class(folder: Path) -> bool:
    return is_folder(folder / "train" / GOOD / SCANS.folder) or bool(_depth_maps(folder, "train"))


def _depth_maps(class_folder: Path, split: Split) -> list[Path]:
    return depth_maps_in(class_folder / eyecandies.SPLIT_FOLDERS[split] / _EYECANDIES_FOLDER)


def _eyecandies_sample(depth: Path) -> Sample:
    defect = eyecandies.defect_of(depth, GOOD)
    rgb, mask = (eyecandies.companion(depth, item) for item in (eyecandies.IMAGE, "mask.png"))
    return Sample(depth, rgb if rgb.is_file() else None, mask if defect != GOOD else None, defect)


def _samples_of(folder: Path) -> list[Sample]:
    """The parts of one DEFECT folder; a file of `rgb/` or `gt/` belongs to the scan with its name."""
    images, masks = (by_stem(files_in(folder / kind.folder, kind)) for kind in (IMAGES, MASKS))
    used, unused = ({}, masks) if folder.name == GOOD else (masks, {})
    return [
        Sample(scan, images.get(scan.stem), used.get(scan.stem), folder.name, unused_mask=unused.get(scan.stem))
        for scan in files_in(folder / SCANS.folder, SCANS)
    ]
