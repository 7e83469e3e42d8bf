"""The dataset as files, and samples as the camera sees them."""

from __future__ import annotations

import hashlib
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from cmdiad.runtime.errors import UsageError
from cmdiad.training.choices import Difficulty
from cmdiad.training.synth.camera import Camera
from cmdiad.training.synth.synthesis import DEFECTS, PART_CLASSES, SynthSample, render_sample, write_dataset
from PIL import Image

SMALL = 96
# Standard deviation of one 8-bit color value of a mid-gray surface, rounding included.
IMAGE_NOISE = 1.5
Float32 = npt.NDArray[np.float32]


def digests(root: Path) -> dict[str, str]:
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def border(points: Float32) -> Float32:
    edge = np.ones(points.shape[:2], dtype=bool)
    edge[10:-10, 10:-10] = False
    return points[edge & (points[..., 2] > 0)].astype(np.float64)


def changes(
    part_class: str, defect: str, seed: int, size: int = 160, difficulty: Difficulty = "hard"
) -> tuple[SynthSample, Float32, Float32]:
    """The damaged sample, and by how much depth (metres, NaN where unmeasured) and color (0..255) changed."""
    clean = render_sample(part_class, None, seed, size)
    damaged = render_sample(part_class, defect, seed, size, difficulty)
    depth = np.abs(clean.points[..., 2] - damaged.points[..., 2])
    depth[(clean.points[..., 2] == 0) | (damaged.points[..., 2] == 0)] = np.nan
    color = np.abs(clean.rgb.astype(np.float32) - damaged.rgb).max(axis=-1)
    return damaged, depth, color


def test_layout_is_that_of_mvtec_3d_ad(tmp_path: Path) -> None:
    steps: list[tuple[int, int]] = []
    write_dataset(
        tmp_path / "d", classes=["cookie"], train=2, validation=1, test_good=1, per_defect=1, size=SMALL,
        progress=lambda done, total: steps.append((done, total)),
    )  # fmt: skip
    kinds = [("train", "good", 2), ("validation", "good", 1), ("test", "good", 1), *(("test", d, 1) for d in DEFECTS)]
    expected = set()
    for split, kind, count in kinds:
        for index in range(count):
            base = f"cookie/{split}/{kind}"
            expected |= {f"{base}/rgb/{index:03d}.png", f"{base}/xyz/{index:03d}.tiff"}
            expected |= {f"{base}/gt/{index:03d}.png"} if split == "test" else set()
    assert set(digests(tmp_path / "d")) == expected
    assert steps == [(done, 9) for done in range(1, 10)]


def test_files_hold_what_readers_expect(tmp_path: Path) -> None:
    write_dataset(tmp_path, classes=["gland"], train=0, validation=0, test_good=1, per_defect=1, size=SMALL)
    for kind in ("good", *DEFECTS):
        folder = tmp_path / "gland/test" / kind
        points = tifffile.imread(folder / "xyz/000.tiff")
        rgb, mask = (np.asarray(Image.open(folder / name / "000.png")) for name in ("rgb", "gt"))
        assert points.shape == rgb.shape == (SMALL, SMALL, 3)
        assert mask.shape == (SMALL, SMALL)
        assert [array.dtype.name for array in (points, rgb, mask)] == ["float32", "uint8", "uint8"]
        assert set(np.unique(mask)) == ({0} if kind == "good" else {0, 255})


def test_the_same_seed_gives_the_same_bytes_whatever_the_counts_and_workers(tmp_path: Path) -> None:
    write = partial(write_dataset, classes=["flange"], validation=0, per_defect=1, size=SMALL)
    write(tmp_path / "a", train=1, test_good=0, seed=5)
    write(tmp_path / "b", train=2, test_good=1, seed=5, workers=2)
    write(tmp_path / "c", train=1, test_good=0, seed=6)
    a, b, c = (digests(tmp_path / name) for name in "abc")
    assert a.items() <= b.items()
    assert len(b) > len(a)
    assert set(a) == set(c)
    assert not {digest for name, digest in a.items() if "/gt/" not in name} & set(c.values())


def test_a_class_that_is_named_twice_is_written_once(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    counts = {"train": 1, "validation": 0, "test_good": 0, "per_defect": 0}
    write_dataset(tmp_path, classes=["gland", "gland"], **counts, size=SMALL, progress=lambda *step: told.append(step))
    assert told == [(1, 1)]


def test_a_seed_sequence_gives_the_same_sample_again() -> None:
    sequence = np.random.SeedSequence([1, 2])
    first, again = (render_sample("cookie", "dent", sequence, SMALL) for _ in range(2))
    np.testing.assert_array_equal(first.points, again.points)
    np.testing.assert_array_equal(first.rgb, again.rgb)


@pytest.mark.parametrize("part_class", PART_CLASSES)
def test_scans_are_in_metres_and_the_border_shows_the_tilted_plane(part_class: str) -> None:
    points = render_sample(part_class, None, 3, 160).points
    measured = points[points[..., 2] > 0]
    assert measured[:, 2].min() > 0.35
    assert measured[:, 2].max() < 0.42
    assert np.ptp(measured[:, 0]) == pytest.approx(0.1, abs=0.005)
    plane = border(points)
    center = plane.mean(axis=0)
    *_, normal = np.linalg.svd(plane - center, full_matrices=False)[2]
    residual = (plane - center) @ normal
    noise = np.hypot(Camera.depth_noise_m, Camera.correlated_noise_m)
    assert residual.std() == pytest.approx(noise, rel=0.15)
    assert np.abs(residual).max() < 6 * noise
    assert 1 < np.degrees(np.arccos(abs(normal[2]))) < 6


@pytest.mark.parametrize("part_class", PART_CLASSES)
def test_scans_lack_some_measurements(part_class: str) -> None:
    missing = (render_sample(part_class, None, 4, 160).points == 0).all(axis=-1)
    assert 0.005 < missing.mean() < 0.15


@pytest.mark.parametrize("part_class", PART_CLASSES)
@pytest.mark.parametrize("defect", DEFECTS)
def test_the_mask_is_where_the_damage_shows(part_class: str, defect: str) -> None:
    damaged, depth, color = changes(part_class, defect, seed=11)
    mask = damaged.mask
    assert 2e-4 < mask.mean() < 0.03
    inside = np.nan_to_num(depth[mask], nan=1e-3).mean() / 1e-4 + color[mask].mean() / 4
    outside = np.nan_to_num(depth[~mask]).mean() / 1e-4 + color[~mask].mean() / 4
    assert inside > 10 * outside
    assert inside > 1


@pytest.mark.parametrize("part_class", PART_CLASSES)
def test_texture_damage_is_faint_in_shape_and_plain_in_color(part_class: str) -> None:
    depth_noise = np.hypot(Camera.depth_noise_m, Camera.correlated_noise_m)
    strengths = []
    for seed in range(3):
        damaged, depth, color = changes(part_class, "worn_texture", seed, 160)
        in_depth, in_image = np.nanmedian(depth[damaged.mask]), np.median(color[damaged.mask])
        strengths.append((in_depth / depth_noise, in_image / IMAGE_NOISE))
    in_shape, in_color = np.median(strengths, axis=0)
    assert in_shape < 2
    assert in_color > 4
    assert in_color > 3 * in_shape


def test_the_plane_of_an_image_is_even_around_the_part() -> None:
    rgb = render_sample("gland", None, 21, 160).rgb.astype(float).mean(axis=-1)
    # Where the part's own grid ends (a sixth of the camera's from its border) there must be no edge.
    assert abs(rgb[20:140, 8:14].mean() - rgb[20:140, 18:24].mean()) < 2


def test_damage_does_not_move_the_part_nor_its_noise() -> None:
    damaged, depth, color = changes("cookie", "dent", seed=2)
    x = slice(0, 15)
    assert not np.nan_to_num(depth[x]).any()
    assert not color[x].any()
    assert damaged.mask.any()


@pytest.mark.parametrize("size", [64, 101, 160])
def test_size_is_the_number_of_pixels_and_not_of_metres(size: int) -> None:
    sample = render_sample("gland", "dent", 0, size)
    assert sample.points.shape == sample.rgb.shape == (size, size, 3)
    assert np.ptp(sample.points[sample.points[..., 2] > 0][:, 0]) == pytest.approx(0.1, abs=0.006)


def test_a_folder_with_something_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(UsageError, match=r"not an empty folder; choose a new one"):
        write_dataset(tmp_path, train=1)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": ["bagel"]}, r"part class 'bagel' is not known; choose from: gland, flange, cookie"),
        ({"train": -1}, "counts"),
        ({"workers": 0}, "0 workers"),
        ({"size": 10}, "size 10: choose 64 to 2048"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_written(
    tmp_path: Path, options: dict[str, object], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        write_dataset(tmp_path / "d", **options)  # type: ignore[arg-type]
    assert not (tmp_path / "d").exists()


@pytest.mark.parametrize("defect", DEFECTS)
def test_defects_as_hard_as_the_fields_are_larger_than_hard_ones(defect: str) -> None:
    hard, field = (
        [changes("flange", defect, seed, difficulty=difficulty)[0].mask.sum() for seed in range(4)]
        for difficulty in ("hard", "field")
    )
    assert np.sum(field) > 1.3 * np.sum(hard)


def test_normal_parts_are_the_same_in_either_difficulty() -> None:
    hard, field = (render_sample("gland", None, 5, SMALL, difficulty) for difficulty in ("hard", "field"))
    assert np.array_equal(hard.points, field.points) and np.array_equal(hard.rgb, field.rgb)


def test_an_unknown_defect_is_refused() -> None:
    with pytest.raises(UsageError, match="defect 'rust' is not known"):
        render_sample("gland", "rust", 0)
