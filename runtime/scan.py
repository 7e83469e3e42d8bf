"""Organized point clouds from files: what every stage takes as a scan, and where scans are found."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from . import eyecandies
from .errors import ScanError
from .readers import SUFFIXES, decode_scan
from .readers.limits import check_shape, read_bounded
from .sensor.missing import refuse_marks, refuse_repeated, valid_mask
from .sensor.origin import origin_of, refuse_lost_digits, relative_to
from .sensor.units import check_extent, checked_unit

__all__ = ["IMAGE_SUFFIXES", "SCAN_SUFFIXES", "Scan", "find_images", "find_scans", "read_scan", "valid_mask"]

SCAN_SUFFIXES = SUFFIXES
# TIFF images are read where they are named; in a folder such a file may as well be a scan.
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp")
_GLOB_CHARACTERS = "*?["
_TOO_LARGE = "{path}: is too large for this machine's memory: close other programs or save fewer points"
# Enough to know where a scan lies and how large it is.
_SAMPLED_POINTS = 5000
_GOLDEN_RATIO = 0.6180339887498949


@dataclass(frozen=True)
class Scan:
    """One organized point cloud.

    Attributes:
        points: (H, W, 3) float32, metres; (0, 0, 0) where nothing was measured, finite everywhere.
        path: the file it was read from.
        origin: (3,) float64, metres: what was subtracted from the file's coordinates, zero unless they lie 16 m or
            more from their own origin, where float32 would lose their digits. `points + origin` are the file's.
    """

    points: npt.NDArray[np.float32]
    path: Path | None = None
    origin: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros(3))

    def __post_init__(self) -> None:
        check_shape(self.points.shape)
        if self.points.dtype != np.float32:
            raise ScanError(f"holds {self.points.dtype} points: give float32 metres")


def read_scan(path: str | Path, metres_per_unit: float | None = None) -> Scan:
    """Read a TIFF, PLY, PCD, NPY or NPZ file, whose content decides which of them it is, or Eyecandies' depth map.

    Args:
        path: the file.
        metres_per_unit: what the file's numbers are multiplied with. Integers have no unit of their own and
            need it; floats without it are metres.

    Raises:
        ScanError: the file is missing, damaged, of another shape, holds integers whose unit is not known, or
            not one measured point; its numbers cannot be metres (or what the unit makes of them), hold a mark of
            missing points such as -9999, repeat one point, or have lost their digits far from the origin.
        UsageError: metres_per_unit is not positive.
    """
    unit = checked_unit(metres_per_unit)
    path = Path(path)
    if eyecandies.is_depth_map(path):
        raw: npt.NDArray[Any] = eyecandies.read_points(path)
        unit = unit or eyecandies.METRES_PER_UNIT
    else:
        raw = _decoded(path)
    try:
        points, origin = _in_metres(raw, unit)
    except ScanError as error:
        raise ScanError(f"{path}: {error}") from error
    except MemoryError as error:
        raise ScanError(_TOO_LARGE.format(path=path)) from error
    return Scan(points, path, origin)


def find_scans(paths: Sequence[str | Path]) -> list[Path]:
    """The scan files that files, folders and globs stand for, sorted, each once.

    A folder stands for the scans in it; where there are none, for those in its `xyz/`; where there is none,
    for those in every `xyz/` below. A named file counts whatever it is called,
    even if it is missing, and so does one that a glob matches.

    Raises:
        ScanError: a folder or glob stands for nothing, or a folder cannot be read.
    """
    return _find(paths, _Kind("scan", SCAN_SUFFIXES, "xyz"))


def find_images(paths: Sequence[str | Path]) -> list[Path]:
    """As `find_scans`, the image files, which lie in `rgb/`.

    Raises:
        ScanError: a folder or glob stands for nothing, or a folder cannot be read.
    """
    return _find(paths, _Kind("image", IMAGE_SUFFIXES, "rgb"))


@dataclass(frozen=True)
class _Kind:
    """What is searched for: its name, suffixes, and the folder it has in the MVTec 3D-AD layout."""

    name: str
    suffixes: tuple[str, ...]
    folder: str


def _find(paths: Sequence[str | Path], kind: _Kind) -> list[Path]:
    found: dict[str, Path] = {}
    for path in paths:
        try:
            matches = {os.path.realpath(match): match for match in _matches(str(path), kind)}
        except (OSError, ValueError) as error:
            # ValueError: a null byte in the name.
            raise ScanError(f"{path}: cannot be searched: {error}") from error
        if not matches:
            raise ScanError(f"{path}: {_nothing_found(Path(path), kind)}")
        found = matches | found
    if not found:
        raise ScanError(f"no {kind.name} was named: give files, folders or globs")
    return sorted(found.values())


def _in_metres(
    raw: npt.NDArray[Any], metres_per_unit: float | None
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float64]]:
    """Points as `Scan` holds them, and their origin."""
    if raw.dtype.kind != "f" and metres_per_unit is None:
        raise ScanError(
            f"holds {raw.dtype} numbers without a unit: give it with --metres-per-unit when calibrating "
            "(0.001 for millimetres); the bundle's manifest keeps it"
        )
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        # Scaled in float64, so that a value is rounded once.
        scaled = raw if metres_per_unit is None else np.multiply(raw, metres_per_unit, dtype=np.float64)
        points = np.array(scaled, dtype=np.float32, order="C")
    measured = valid_mask(points)
    if not measured.any():
        raise ScanError("has no measured point: check the sensor's exposure and range")
    points[~measured] = 0
    unit = metres_per_unit or 1.0
    refuse_marks(raw, measured, float(max(points.max(), -points.min())) / unit)
    sample = _sample(scaled, measured)
    refuse_repeated(sample)
    check_extent(sample, metres_per_unit)
    origin = origin_of(sample)
    if origin.any():
        refuse_lost_digits(raw, measured, origin, unit)
        points = relative_to(scaled, measured, origin)
    return points, origin


def _decoded(path: Path) -> npt.NDArray[Any]:
    data = read_bounded(path)
    try:
        return decode_scan(data)
    except ScanError as error:
        raise ScanError(f"{path}: {error}") from error
    except MemoryError as error:
        raise ScanError(_TOO_LARGE.format(path=path)) from error


def _sample(points_hw3: npt.NDArray[Any], measured_hw: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Evenly chosen measured points: (N, 3) float64."""
    indices = np.flatnonzero(measured_hw)
    if len(indices) > _SAMPLED_POINTS:
        # Every n-th would be the same few columns of many a width.
        indices = indices[(np.arange(_SAMPLED_POINTS) * _GOLDEN_RATIO % 1 * len(indices)).astype(np.intp)]
    rows, columns = np.divmod(indices, measured_hw.shape[1])
    sample: npt.NDArray[np.float64] = points_hw3[rows, columns].astype(np.float64)
    return sample


def _matches(path: str, kind: _Kind) -> Iterator[Path]:
    if os.path.lexists(path) or not _is_pattern(Path(path)):
        yield from _expanded(Path(path), kind)
        return
    # Path.glob takes no absolute pattern.
    for match in glob.iglob(path, recursive=True):  # noqa: PTH207
        yield from _expanded(Path(match), kind)


def _expanded(path: Path, kind: _Kind) -> Iterator[Path]:
    if path.is_dir():
        yield from _files_in(path, kind) or _files_in(path / kind.folder, kind) or _files_below(path, kind)
    elif not _is_pattern(path):
        # A named file that is missing is an error of that scan alone, met when it is read.
        yield path


def _files_in(folder: Path, kind: _Kind) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(
        entry
        for entry in folder.iterdir()
        if entry.suffix.lower() in kind.suffixes and not entry.name.startswith(".") and entry.is_file()
    )


def _files_below(folder: Path, kind: _Kind) -> list[Path]:
    folders = [Path(root) for root, _, _ in os.walk(folder) if Path(root).name == kind.folder]
    return [file for below in folders for file in _files_in(below, kind)]


def _nothing_found(path: Path, kind: _Kind) -> str:
    suffixes = ", ".join(kind.suffixes)
    if path.is_dir():
        folder = kind.folder
        return f"there is no {kind.name} ({suffixes}) in this folder, in its {folder}/ or in any {folder}/ below it"
    return "no file matches this pattern"


def _is_pattern(path: Path) -> bool:
    return not os.path.lexists(path) and any(character in str(path) for character in _GLOB_CHARACTERS)
