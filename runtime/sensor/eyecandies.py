"""Eyecandies as it unpacks: CLASS/{train,val,test_public,test_private}/data/NNN_*, depth instead of points.

Bonfiglioli et al., The Eyecandies Dataset for Unsupervised Multimodal Anomaly Detection and Localization (ACCV
2022). Points are back-projected through the intrinsics and the pose as its authors describe, then turned and scaled as
CMDIAD and M3DM do, to parts of the size and in the attitude that MVTec 3D-AD has.
"""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..errors import ScanError, naming_scan
from .image import read_mask
from .missing import MAX_COORDINATE_M
from .readers.gray_png import read_png
from .readers.limits import read_bounded

SPLIT_FOLDERS = {"train": "train", "validation": "val", "test": "test_public"}
# Lit from the left, as CMDIAD and M3DM take it.
IMAGE = "image_4.png"
KINDS = ("bumps", "dents", "colors", "normals")
COMBINED, UNNAMED = "combined", "defect"
# The dataset's unit is ten times as long as a real sweet's meter.
METRES_PER_UNIT = 0.1
# One camera took all images, of 512 x 512 pixels.
FOCAL_LENGTH_PX = 711.11
IMAGE_WIDTH_PX = 512
_DEPTH = "_depth.png"
_DEPTH_LEVELS = 65535.0
_MAX_TEXT_BYTES = 1 << 16
_LIMIT = r"\b{name}\s*:\s*([-+.\w]+)"


def is_depth_map(path: Path) -> bool:
    """Whether a file is a depth map of Eyecandies: NNN_depth.png with its bounds beside it."""
    return path.name.endswith(_DEPTH) and companion(path, "info_depth.yaml").is_file()


def companion(depth: Path, item: str) -> Path:
    """Another item of the same part: NNN_depth.png -> NNN_ITEM."""
    return depth.with_name(f"{part_name(depth)}_{item}")


def part_name(depth: Path) -> str:
    """The part's number, NNN."""
    return depth.name.removesuffix(_DEPTH)


def defect_of(depth: Path, good: str) -> str:
    """What is wrong with a part, told by its masks: one of `KINDS`, `combined`, or `good`.

    Raises:
        ScanError: a mask cannot be read.
    """
    marked = [kind for kind in KINDS if _is_marked(companion(depth, f"{kind}_mask.png"))]
    if len(marked) > 1:
        return COMBINED
    if marked:
        return marked[0]
    return UNNAMED if _is_marked(companion(depth, "mask.png")) else good


def read_points(depth: Path) -> npt.NDArray[np.float64]:
    """Organized points of a depth map: (H, W, 3) float64 in the dataset's units, (0, 0, 0) where there is no depth.

    Raises:
        ScanError: the map, its bounds or its pose are missing or damaged.
    """
    low, high = _depth_bounds(companion(depth, "info_depth.yaml"))
    distance = _depth_levels(depth) / _DEPTH_LEVELS * (high - low) + low
    height, width = distance.shape
    focal_length = FOCAL_LENGTH_PX * width / IMAGE_WIDTH_PX
    rows, columns = np.mgrid[:height, :width].astype(np.float64)
    in_camera = np.stack(
        [(columns - width / 2) * distance / focal_length, (rows - height / 2) * distance / focal_length, distance], -1
    )
    # The pose takes the world to the camera.
    to_world = np.linalg.inv(_pose(companion(depth, "pose.txt")))
    x, y, z = np.moveaxis(in_camera @ to_world[:3, :3].T + to_world[:3, 3], -1, 0)
    points = np.stack([x, -z, y], axis=-1)
    points[distance <= 0] = 0
    return points


def _is_marked(mask: Path) -> bool:
    return mask.is_file() and bool(read_mask(mask).any())


def _depth_levels(path: Path) -> npt.NDArray[np.float64]:
    data = read_bounded(path)
    with naming_scan(path):
        return read_png(data).astype(np.float64)


def _depth_bounds(path: Path) -> tuple[float, float]:
    """The depths that 0 and 65535 stand for: `normalization: {min: ..., max: ...}`."""
    text = _text(path)
    bounds = []
    for name in ("min", "max"):
        limit = re.search(_LIMIT.format(name=name), text)
        try:
            bounds.append(float(limit[1]) if limit else math.nan)
        except ValueError:
            bounds.append(math.nan)
    low, high = bounds
    if not -MAX_COORDINATE_M < low <= high < MAX_COORDINATE_M:
        raise ScanError(f"{path}: does not hold normalization: min and max: unpack it again")
    return low, high


def _pose(path: Path) -> npt.NDArray[np.float64]:
    try:
        numbers = [float(word) for word in _text(path).split()]
        pose = np.array(numbers).reshape(4, 4)
    except ValueError as error:
        raise ScanError(f"{path}: is not a pose of 4 x 4 numbers: unpack it again") from error
    if not (np.abs(pose) < MAX_COORDINATE_M).all() or abs(np.linalg.det(pose)) < 1e-9:
        raise ScanError(f"{path}: is a pose that cannot be inverted: unpack it again")
    return pose


def _text(path: Path) -> str:
    data = read_bounded(path)
    if len(data) > _MAX_TEXT_BYTES:
        raise ScanError(
            f"{path}: has {len(data)} bytes, more than the {_MAX_TEXT_BYTES} that are read: unpack it again"
        )
    return data.decode("utf-8", "replace")
