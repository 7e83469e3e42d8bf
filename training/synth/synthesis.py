"""Writes synthetic parts in the MVTec 3D-AD layout: `CLASS/SPLIT/KIND/{rgb,xyz,gt}/NNN.{png,tiff,png}`."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tifffile
from PIL import Image
from scipy import ndimage

from ...runtime.errors import UsageError
from ...runtime.files.atomic import naming_place
from ...runtime.progress import StepProgress
from ..choices import Difficulty
from .camera import Camera, Render, render_surface, surface_hits
from .defects import DEFECT_MAKERS, HARD, DefectMaker, Severity
from .parts import PART_MAKERS
from .surface import Bool, Floats, SynthPart, painted, smooth_noise

Float32 = npt.NDArray[np.float32]

PART_CLASSES: tuple[str, ...] = tuple(PART_MAKERS)
DEFECTS: tuple[str, ...] = tuple(DEFECT_MAKERS)
GOOD = "good"
MM = np.float32(1e-3)
MIN_SIZE, MAX_SIZE = 64, 2048
PLANE_ALBEDO, PLANE_GLOSS = (0.060, 0.065, 0.072), 0.02
TILT_JITTER_RAD = 0.006
# A defect smaller than this in the image is drawn again: what the camera cannot see is no test.
MIN_MASK_SHARE = 1.5e-4
MAX_DRAWS = 8
# "field": FPFH in plain banks finds about as much as is published for MVTec 3D-AD (0.78, CMDIAD table 2), see
# benchmarks/studies/handmade.py.
SEVERITIES: dict[Difficulty, Severity] = {"field": Severity(size=1.2, depth=1.5), "hard": HARD}


@dataclass(frozen=True)
class SynthSample:
    """One scan.

    Attributes:
        points: (H, W, 3) float32, meters, (0, 0, 0) missing.
        rgb: (H, W, 3) uint8.
        mask: (H, W) bool, where a defect is.
        part: (H, W) bool, where the part is seen and not the plane, measured or not.
    """

    points: Float32
    rgb: npt.NDArray[np.uint8]
    mask: Bool
    part: Bool


def render_sample(
    part_class: str,
    defect: str | None,
    seed: int | np.random.SeedSequence,
    size: int = 400,
    difficulty: Difficulty = "field",
) -> SynthSample:
    """One part as the camera sees it.

    The seed fixes part, pose, defect and noise; part, pose and noise are the same for every defect.

    Args:
        part_class: one of `PART_CLASSES`.
        defect: one of `DEFECTS`; None: a normal part.
        seed: of everything random.
        size: width and height, `MIN_SIZE` to `MAX_SIZE` pixels.
        difficulty: how large and deep defects are, see `SEVERITIES`.

    Raises:
        UsageError: the class or the defect is not known, or the size is out of range.

    Example:
        >>> render_sample("cookie", "dent", seed=0, size=64).points.shape
        (64, 64, 3)
    """
    _check_names([part_class], PART_CLASSES, "part class")
    _check_names([] if defect is None else [defect], DEFECTS, "defect")
    if not MIN_SIZE <= size <= MAX_SIZE:
        raise UsageError(f"size {size}: choose {MIN_SIZE} to {MAX_SIZE} pixels")
    shape_rng, sensor_rng, defect_rng = _streams(seed, 3)
    tilt_x, tilt_y = np.add(Camera.tilt_rad, sensor_rng.normal(0, TILT_JITTER_RAD, 2))
    camera = Camera(size=size, tilt_rad=(float(tilt_x), float(tilt_y)))
    part = PART_MAKERS[part_class](shape_rng, 2 * camera.grid_size // 3)
    plane = painted(1 + 0.03 * smooth_noise(shape_rng, camera.grid_size, 3), PLANE_ALBEDO)
    mask = np.zeros((size, size), dtype=bool)
    if defect is None:
        render = _render(part, plane, camera, sensor_rng)
        return SynthSample(render.points, render.rgb, mask, render.hits.nearest(_among_plane(part.footprint)))
    damaged, cells, before = _damaged(part, DEFECT_MAKERS[defect], defect_rng, camera, SEVERITIES[difficulty])
    return _seen_damaged(damaged, cells, before, _render(damaged, plane, camera, sensor_rng))


def _seen_damaged(damaged: SynthPart, cells: Bool, before: Bool, render: Render) -> SynthSample:
    """The scan of a damaged part; marked is what saw the place before, or sees it now."""
    mask = before | render.hits.nearest(_among_plane(cells))
    seen = render.hits.nearest(_among_plane(damaged.footprint))
    return SynthSample(render.points, render.rgb, ndimage.binary_opening(mask, np.ones((2, 2))), seen)


def _streams(seed: int | np.random.SeedSequence, count: int) -> list[np.random.Generator]:
    """Independent generators of a seed."""
    sequence = seed if isinstance(seed, np.random.SeedSequence) else np.random.SeedSequence(seed)
    # Built anew so that a sequence that was spawned from before gives the same sample again.
    entropy, key = sequence.entropy, sequence.spawn_key
    return [np.random.default_rng(np.random.SeedSequence(entropy, spawn_key=(*key, n))) for n in range(count)]


def write_dataset(
    root: Path | str,
    *,
    classes: Sequence[str] = PART_CLASSES,
    train: int = 30,
    validation: int = 5,
    test_good: int = 10,
    per_defect: int = 3,
    size: int = 400,
    seed: int = 0,
    difficulty: Difficulty = "field",
    workers: int = 1,
    progress: StepProgress | None = None,
) -> None:
    """Write a dataset.

    Every sample has its own seed, made of `seed`, class, split, kind and number: the same seed gives the same bytes.

    Args:
        root: a new or empty folder.
        classes: some of `PART_CLASSES`, each once however often it is named.
        train, validation, test_good: normal parts of a class, by split; per_defect: defective ones of every kind.
        size, seed: width and height of a scan, pixels; of everything random.
        difficulty: how large and deep defects are, see `SEVERITIES`.
        workers: threads.
        progress: called with (done, all) after every sample.

    Raises:
        UsageError: the folder is not empty, a class is not known, a count is below zero, or there are no workers.
        OutputError: nothing can be written.
    """
    if workers < 1:
        raise UsageError(f"synthetic dataset: {workers} workers; ask for 1 or more")
    counts = {("train", GOOD): train, ("validation", GOOD): validation, ("test", GOOD): test_good}
    counts |= {("test", defect): per_defect for defect in DEFECTS}
    jobs = _sample_jobs(Path(root), classes, counts)
    with ThreadPoolExecutor(max_workers=workers) as pool:
        for done, _ in enumerate(pool.map(lambda job: job.write(seed, size, difficulty), jobs), start=1):
            if progress is not None:
                progress(done, len(jobs))


def _sample_jobs(root: Path, classes: Sequence[str], counts: Mapping[tuple[str, str], int]) -> list[_SampleJob]:
    """Every sample of a new dataset, by the counts of split and kind."""
    _check_names(classes, PART_CLASSES, "part class")
    if min(counts.values()) < 0:
        raise UsageError("synthetic dataset: counts must not be negative")
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise UsageError(f"{root}: not an empty folder; choose a new one, or delete it first")
    return [
        _SampleJob(root, name, *place, index)
        for name in dict.fromkeys(classes)
        for place, count in counts.items()
        for index in range(count)
    ]


def _damaged(
    part: SynthPart, damage: DefectMaker, rng: np.random.Generator, camera: Camera, severity: Severity
) -> tuple[SynthPart, Bool, Bool]:
    """The damaged part, the cells concerned, and the (H, W) pixels that saw them before the damage."""
    before = surface_hits(_on_plane(part.height) * MM, camera)
    for _ in range(MAX_DRAWS):
        damaged, cells = damage(part, rng, severity)
        mask = before.nearest(_among_plane(cells))
        if mask.mean() >= MIN_MASK_SHARE:
            break
    return damaged, cells, mask


def _render(part: SynthPart, plane: Floats, camera: Camera, rng: np.random.Generator) -> Render:
    """The part on a plane of the albedo `plane` (N, N, 3)."""
    covered = _among_plane(part.footprint)
    albedo = np.where(covered[..., None], _on_plane(part.albedo), plane).astype(np.float32)
    gloss = np.where(covered, _on_plane(part.gloss), PLANE_GLOSS).astype(np.float32)
    return render_surface(_on_plane(part.height) * MM, albedo, camera, rng, gloss)


def _on_plane(grid: Floats) -> Float32:
    """The part's grid in the middle of the camera's, half as wide again, with zeros around."""
    return np.pad(grid.astype(np.float32), _margins(grid.shape))


def _among_plane(cells: Bool) -> Bool:
    return np.pad(cells, _margins(cells.shape))


def _margins(shape: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
    margin = (shape[0] // 4, shape[0] // 4)
    return (margin, margin, (0, 0))[: len(shape)]


def _check_names(names: Sequence[str], known: Sequence[str], what: str) -> None:
    for name in names:
        if name not in known:
            raise UsageError(f"{what} {name!r} is not known; choose from: {', '.join(known)}")


def _file(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


@dataclass(frozen=True)
class _SampleJob:
    root: Path
    part_class: str
    split: str
    kind: str
    index: int

    def write(self, seed: int, size: int, difficulty: Difficulty) -> None:
        words = [zlib.crc32(name.encode()) for name in (self.part_class, self.split, self.kind)]
        sequence = np.random.SeedSequence([seed, *words, self.index])
        defect = None if self.kind == GOOD else self.kind
        sample = render_sample(self.part_class, defect, sequence, size, difficulty)
        folder = self.root / self.part_class / self.split / self.kind
        with naming_place(folder):
            self._write(sample, folder, f"{self.index:03d}")

    def _write(self, sample: SynthSample, folder: Path, name: str) -> None:
        Image.fromarray(sample.rgb).save(_file(folder / "rgb" / f"{name}.png"))
        tifffile.imwrite(
            _file(folder / "xyz" / f"{name}.tiff"),
            sample.points,
            photometric="minisblack",
            planarconfig="contig",
            compression="zlib",
            metadata=None,
        )
        if self.split == "test":
            Image.fromarray(sample.mask.astype(np.uint8) * np.uint8(255)).save(_file(folder / "gt" / f"{name}.png"))
