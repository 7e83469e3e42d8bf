"""The one door for a part: which files a route looks at, and how one of them becomes a part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from .. import eyecandies
from ..image import read_rgb
from ..manifest import Manifest, Modality
from ..scan import read_scan
from .find import find_images, find_scans


@dataclass(frozen=True)
class Part:
    """What the sensors saw of one part; a route needs one of them or both.

    Attributes:
        points: (H, W, 3) float32, metres, missing points zero; None without a 3D sensor.
        rgb: (H, W, 3) uint8, registered with the points; None without a camera.
    """

    points: npt.NDArray[np.float32] | None
    rgb: npt.NDArray[np.uint8] | None


def modalities(manifest: Manifest) -> set[Modality]:
    """What the route measures at inspection."""
    return {"pc", "rgb"} if manifest.route == "dual" else {manifest.main}


def find_inputs(paths: Sequence[str | Path], manifest: Manifest) -> list[Path]:
    """The files that a bundle inspects and is calibrated on: images where RGB is all it sees, scans elsewhere.

    Raises:
        ScanError: a folder or glob stands for nothing, or a folder cannot be read.
    """
    return find_images(paths) if modalities(manifest) == {"rgb"} else find_scans(paths)


def read_part(path: Path, manifest: Manifest) -> Part:
    """Read what the route needs: the scan, the image, or the scan and the image registered with it.

    Raises:
        ScanError: a file cannot be read.
    """
    needed = modalities(manifest)
    if needed == {"rgb"}:
        return Part(None, read_rgb(path))
    points = read_scan(path, manifest.preprocessing.metres_per_unit).points
    return Part(points, read_rgb(registered_image(path)) if "rgb" in needed else None)


def registered_image(scan: Path) -> Path:
    """The image registered with a scan: beside it, or in `rgb/` where the scan lies in `xyz/`."""
    if eyecandies.is_depth_map(scan):
        return eyecandies.companion(scan, eyecandies.IMAGE)
    folder = scan.parent.parent / "rgb" if scan.parent.name == "xyz" else scan.parent
    return folder / f"{scan.stem}.png"
