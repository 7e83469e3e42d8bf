"""The verdict on one part, and everything that is made from it: a picture, points, files, JSON, a notebook's cell."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from .choices import Verdict
from .errors import ScanError
from .files.atomic import atomic_write_bytes
from .files.json_encoding import encode_json_file
from .preparation.part_view import PartView
from .sensor.missing import valid_mask
from .sensor.origin import NEAR, Vector
from .timing import Span, StageTimes
from .verdict.cloud import write_cloud
from .verdict.heatmap import draw_heatmap, write_heatmap, write_map
from .verdict.notebook import verdict_html
from .verdict.regions import DefectRegion, find_regions, merged_regions
from .verdict.saved_files import SavedFiles, saved_files

FileKind = Literal["heatmap", "map", "cloud"]
_BOX = ("row", "column", "height", "width")


@dataclass(frozen=True)
class RefusedPart:
    """Something in a scan that was not judged, while other parts of the scan were.

    Attributes:
        number: the part's number, from 1; None if it is not about a part but about something else in view.
        error: why it was not judged.
    """

    number: int | None
    error: ScanError


@dataclass(frozen=True, eq=False)
class Inspection:
    """The verdict on one part.

    Attributes:
        product: what the bundle inspects.
        score: the raw anomaly score; larger is more anomalous.
        threshold: the score above which a part is called defective.
        is_defect: score > threshold.
        map: (H, W) float32, the anomaly map in the input scan's own pixels.
        pixel_threshold: the map value above which a pixel is marked.
        points: (H, W, 3) float32, meters, the scan as read, relative to `origin`; None for an image alone.
        rgb: (H, W, 3) uint8, the image as read; None without a camera.
        valid: (H, W) bool, the pixels that were inspected as part.
        view: how large the part is, where it lies (relative to `origin`), and how much of it was seen.
        origin: what was subtracted from the file's coordinates, meters; zero for scans within 16 m of their origin.
        seconds: time by stage.
        spans: each run of a stage, for a profile.
        searched_again: how many searches of a patch in a bank the line graph could not prove, so they were repeated.
        notes: what differs from calibration, and what in the scan's file no pixel of `points` holds; sentences.
        part_id: the caller's name for the part; None if it gave none.
        number: the part's number in its scan, from 1; None if scans of this bundle show one part.
        of: how many parts its scan has; None if scans of this bundle show one part.
        parts: the parts' inspections, if this is a whole scan of a bundle that takes all parts. Score, threshold,
            verdict and view are then those of the part with the highest score, and each pixel of the map is the
            largest of the parts' maps.
        refused: what was not judged in such a scan.
    """

    product: str
    score: float
    threshold: float
    is_defect: bool
    map: npt.NDArray[np.float32]
    pixel_threshold: float
    points: npt.NDArray[np.float32] | None
    rgb: npt.NDArray[np.uint8] | None
    valid: npt.NDArray[np.bool_]
    view: PartView
    seconds: dict[str, float]
    origin: Vector = NEAR
    spans: tuple[Span, ...] = ()
    searched_again: int = 0
    notes: tuple[str, ...] = ()
    part_id: str | None = None
    number: int | None = None
    of: int | None = None
    parts: tuple[Inspection, ...] = ()
    refused: tuple[RefusedPart, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """`defect`; else `error` if something in the scan was not judged; else `good`."""
        return "defect" if self.is_defect else "error" if self.refused else "good"

    @cached_property
    def regions(self) -> tuple[DefectRegion, ...]:
        """Where the map is above the pixel threshold, the highest peak first; computed at the first use.

        A defective part may have no regions, and a good one may have some: score and map have separate thresholds.
        """
        if self.parts:
            return merged_regions([part.regions for part in self.parts])
        return find_regions(self.map, self.valid, self.pixel_threshold, self.points, self.origin)

    @property
    def regions_found(self) -> int:
        """How many regions the map has; `regions` holds at most 32 of them."""
        return self.regions[0].of if self.regions else 0

    def heatmap(self) -> npt.NDArray[np.uint8]:
        """The picture that `infer` writes: (H, W, 3) uint8, the anomalies over the scan, defects outlined."""
        return draw_heatmap(self.map, self.valid, self.pixel_threshold, self.points, self.rgb)

    def points3d(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float32]]:
        """The part's points (N, 3) float64 in the file's coordinates, meters, and the map at each of them (N,) float32.

        In the scan's order, row by row; empty for an image alone.

        Example:
            >>> points, scores = inspector("scan.tiff").points3d()  # doctest: +SKIP
            >>> points[scores.argmax()]  # the worst place of the part  # doctest: +SKIP
        """
        if self.points is None:
            return np.empty((0, 3)), np.empty(0, np.float32)
        shown = self.valid & valid_mask(self.points)
        return self.points[shown] + np.array(self.origin), self.map[shown]

    def save(self, folder: str | Path, name: str | None = None, cloud: bool = False) -> SavedFiles:
        """Write the heat map, the raw map and the verdict as JSON into a folder, which is created.

        Args:
            folder: where to.
            name: how the files' names begin; files of the same names are replaced. None: the part's ID, or without one
                the first of part_0001, part_0002, ... that is free.
            cloud: also write the points in the heat map's colors, see `write_cloud`.

        Returns:
            The paths: NAME_heatmap.png, NAME_map.tiff, NAME_result.json, NAME_cloud.ply.

        Raises:
            UsageError: a cloud is requested of an image alone, or the name cannot be a file's.
            OutputError: a file cannot be written.

        Example:
            >>> inspector.inspect(points, part_id="A-17").save("results").heatmap  # doctest: +SKIP
            PosixPath('results/A-17_heatmap.png')
        """
        files = saved_files(Path(folder), self.part_id if name is None else name, cloud)
        if files.cloud is not None:
            self.write("cloud", files.cloud)
        self.write("heatmap", files.heatmap)
        self.write("map", files.map)
        atomic_write_bytes(files.result, encode_json_file({**self.as_json(), "ms": self.milliseconds}))
        return files

    def write(self, kind: FileKind, path: Path) -> None:
        """Write one file: the heat map (PNG), the raw map (float32 TIFF), or the colored points (PLY).

        Raises:
            UsageError: a cloud is requested of an image alone.
            OutputError: the file cannot be written.
        """
        if kind == "heatmap":
            write_heatmap(path, self.map, self.valid, self.pixel_threshold, self.points, self.rgb)
        elif kind == "map":
            write_map(path, self.map)
        else:
            write_cloud(path, self)

    @property
    def milliseconds(self) -> dict[str, float]:
        """Time by stage, as JSON has it."""
        return {stage: 1e3 * seconds for stage, seconds in self.seconds.items()}

    def _repr_html_(self) -> str:
        """The verdict, the picture and the regions as HTML for a notebook; it loads nothing."""
        title = self.product if self.part_id is None else f"{self.product}: {self.part_id}"
        return verdict_html(title, self.score, self.threshold, self.heatmap(), self.regions, self.regions_found)

    def as_json(self) -> dict[str, Any]:
        """The verdict and what it is about, as `infer --json` has it; `part_id` only where there is one."""
        return {
            **({} if self.part_id is None else {"part_id": self.part_id}),
            **({} if self.number is None else {"part": self.number, "parts": self.of}),
            "product": self.product,
            "score": self.score,
            "threshold": self.threshold,
            "is_defect": self.is_defect,
            "searched_again": self.searched_again,
            "regions_found": self.regions_found,
            "regions": [region.as_json() for region in self.regions],
            "notes": list(self.notes),
            **view_as_json(self.view, self.origin),
            **self._parts_as_json(),
        }

    def _parts_as_json(self) -> dict[str, Any]:
        """The parts of a whole scan, and what of it was not judged; nothing where scans show one part."""
        if not self.parts:
            return {}
        return {
            "parts": [part.as_json() for part in self.parts],
            "not_judged": [{"part": one.number, "message": str(one.error)} for one in self.refused],
        }

    def with_times(self, times: StageTimes) -> Inspection:
        """The same inspection with the times of further stages."""
        return replace(self, seconds={**self.seconds, **times.seconds}, spans=(*self.spans, *times.spans))


def view_as_json(view: PartView, origin: Vector = NEAR) -> dict[str, Any]:
    """What was inspected, as `infer --json` has it, in the file's coordinates; lengths are null for an image alone."""
    return {
        "part_pixels": view.part_pixels,
        "part_diameter_m": view.diameter_m,
        "part_center_m": view.center_from(origin),
        "part_box": None if view.box is None else dict(zip(_BOX, view.box, strict=True)),
        "on_plane": view.on_plane,
        "inspected_share": view.inspected_share,
        "measured_share": view.measured_share,
        "other_objects": [
            {"pixels": other.pixels, "diameter_m": other.diameter_m, "row": other.row, "column": other.column}
            for other in view.other_objects
        ],
    }
