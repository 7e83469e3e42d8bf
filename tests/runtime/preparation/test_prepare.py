"""Raw scans lose their table and nothing else; preprocessed scans lose nothing."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from cmdiad.runtime.bundle.parameters import KINECT, STRUCTURED_LIGHT, Preprocessing
from cmdiad.runtime.errors import WITH_A_BUNDLE, ScanError
from cmdiad.runtime.preparation.frame import sample_nearest
from cmdiad.runtime.preparation.prepare import PreparedScan, prepare, without_plane
from cmdiad.runtime.preparation.prepare_images import prepare_image
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.spatial.transform import Rotation

Points = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
DATA = Path(__file__).parents[4] / "shared" / "data"
needs_real_scans = pytest.mark.skipif(not DATA.is_dir(), reason="the real scans beside the checkout are absent")


def raw_scan(
    seed: int = 0, shape: tuple[int, int] = (200, 240), center: tuple[float, float] = (0.0, 0.0)
) -> tuple[Points, Mask]:
    """A tilted table 0.6 m away with a 30 mm high block on it, 1 % missing; and where the block is."""
    rng = np.random.default_rng(seed)
    rows, columns = np.indices(shape)
    y, x = (rows - shape[0] / 2) * 1e-3, (columns - shape[1] / 2) * 1e-3
    tilt = rng.uniform(-0.3, 0.3, 2)
    block = (abs(x - center[0]) < 0.05) & (abs(y - center[1]) < 0.04)
    z = 0.6 + tilt[0] * x + tilt[1] * y - np.where(block, 0.03, 0) + rng.normal(0, 1e-4, shape)
    points = np.stack([x, y, z], axis=-1).astype(np.float32)
    points[rng.random(shape) < 0.01] = 0
    return points, block & points.any(axis=-1)


def changed(**changes: object) -> Preprocessing:
    return msgspec.structs.replace(STRUCTURED_LIGHT, **changes)


def assert_same(first: PreparedScan, second: PreparedScan) -> None:
    np.testing.assert_array_equal(first.kept, second.kept)
    np.testing.assert_array_equal(first.valid, second.valid)
    np.testing.assert_array_equal(first.points, second.points)


@pytest.mark.parametrize("shape", [(200, 240), (301, 199), (400, 400)])
def test_the_part_is_kept_and_the_table_removed(shape: tuple[int, int]) -> None:
    points, part = raw_scan(shape=shape)
    prepared = prepare(points, STRUCTURED_LIGHT)
    np.testing.assert_array_equal(prepared.kept, part)
    np.testing.assert_array_equal(prepared.valid, sample_nearest(part, prepared.frame))
    expected = sample_nearest(points * part[..., None], prepared.frame)
    np.testing.assert_array_equal(prepared.points, expected)
    assert prepared.points.dtype == np.float32
    assert (prepared.frame.height, prepared.frame.width) == shape


def test_the_input_is_left_alone() -> None:
    points, _ = raw_scan()
    before = points.copy()
    prepare(points, STRUCTURED_LIGHT)
    np.testing.assert_array_equal(points, before)


def test_a_part_that_reaches_into_the_border_is_kept() -> None:
    points, part = raw_scan(center=(-0.1, 0.0))
    assert part[:, 0].any()
    prepared = prepare(points, STRUCTURED_LIGHT)
    np.testing.assert_array_equal(prepared.kept, part)
    assert_same(prepare(points * part[..., None], STRUCTURED_LIGHT), prepared)


def test_strays_and_smaller_parts_are_removed() -> None:
    points, part = raw_scan()
    points[20:30, 20:30, 2] -= 0.05
    points[180, 200, 2] -= 0.2
    np.testing.assert_array_equal(prepare(points, STRUCTURED_LIGHT).kept, part)


@given(seed=st.integers(0, 1000), x=st.floats(-0.1, 0.1), y=st.floats(-0.05, 0.05))
@settings(max_examples=15, deadline=None)
def test_a_preprocessed_scan_passes_unchanged(seed: int, x: float, y: float) -> None:
    points, _ = raw_scan(seed, center=(x, y))
    once = prepare(points, STRUCTURED_LIGHT)
    assert_same(prepare(points * once.kept[..., None], STRUCTURED_LIGHT), once)


def test_scattered_pieces_of_a_preprocessed_scan_stay() -> None:
    points, part = raw_scan()
    points[~part] = 0
    points[90:110] = 0
    np.testing.assert_array_equal(prepare(points, STRUCTURED_LIGHT).kept, points.any(axis=-1))


def test_a_preprocessed_part_that_fills_a_corner_passes_when_declared() -> None:
    points, part = raw_scan(center=(0.09, 0.07))
    once = prepare(points, changed(plane="always"))
    np.testing.assert_array_equal(once.kept, part)
    assert_same(prepare(points * part[..., None], changed(plane="never")), once)


def test_never_removes_nothing_from_a_raw_scan() -> None:
    points, _ = raw_scan()
    np.testing.assert_array_equal(prepare(points, changed(plane="never")).kept, points.any(axis=-1))


@given(angles=st.tuples(*[st.floats(-1.0, 1.0)] * 3), shift=st.tuples(*[st.floats(-0.5, 0.5)] * 3))
@settings(max_examples=15, deadline=None)
def test_removing_the_plane_commutes_with_rigid_motion(angles: tuple[float, ...], shift: tuple[float, ...]) -> None:
    points, part = raw_scan(2)
    valid = np.asarray(points.any(axis=-1))
    moved = Rotation.from_euler("xyz", angles).apply(points.reshape(-1, 3)).reshape(points.shape) + shift
    moved = np.where(valid[..., None], moved, 0).astype(np.float32)
    np.testing.assert_array_equal(without_plane(moved, STRUCTURED_LIGHT), part)


@given(scale=st.floats(0.05, 20.0))
@settings(max_examples=15, deadline=None)
def test_a_larger_scene_needs_larger_lengths_and_nothing_else(scale: float) -> None:
    points, part = raw_scan(2)
    lengths = ("ransac_threshold_m", "plane_distance_m", "cluster_distance_m")
    larger = changed(**{name: getattr(STRUCTURED_LIGHT, name) * scale for name in lengths})
    np.testing.assert_array_equal(prepare(points * np.float32(scale), larger).kept, part)


def test_same_scan_same_bytes() -> None:
    points, _ = raw_scan(4)
    first, second = prepare(points, STRUCTURED_LIGHT), prepare(points, STRUCTURED_LIGHT)
    assert first.points.tobytes() == second.points.tobytes()
    assert_same(first, second)


@pytest.mark.parametrize("missing", [np.nan, np.inf, -np.inf])
def test_points_that_are_not_finite_are_missing_too(missing: float) -> None:
    points, _ = raw_scan()
    marked = points.copy()
    marked[~points.any(axis=-1)] = [0.1, missing, 0.6]
    assert_same(prepare(marked, STRUCTURED_LIGHT), prepare(points, STRUCTURED_LIGHT))


def test_one_zero_coordinate_is_a_point() -> None:
    points, part = raw_scan()
    assert np.any(points[part, 0] == 0)
    assert prepare(points, STRUCTURED_LIGHT).kept[part].all()


def test_errors_say_what_is_wrong() -> None:
    points, part = raw_scan()
    with pytest.raises(ScanError, match="no measured point"):
        prepare(np.zeros_like(points), STRUCTURED_LIGHT)
    with pytest.raises(ScanError, match="no measured point"):
        prepare(np.full_like(points, np.nan), STRUCTURED_LIGHT)
    with pytest.raises(ScanError, match="shape"):
        prepare(points[..., :2], STRUCTURED_LIGHT)
    table = np.where(part[..., None], 0, points)
    with pytest.raises(ScanError, match="no part is in view"):
        prepare(table, STRUCTURED_LIGHT)
    table[100, 100] = points[100, 100]
    with pytest.raises(ScanError, match="are connected"):
        prepare(table, STRUCTURED_LIGHT)
    with pytest.raises(ScanError, match=r"as in a preprocessed scan.* raw scans are expected .* as the sensor saved"):
        prepare(points * part[..., None], changed(plane="always"))
    rough = points + np.random.default_rng(0).normal(0, 0.1, points.shape).astype(np.float32)
    with pytest.raises(ScanError, match=f"no supporting plane.*{WITH_A_BUNDLE}$"):
        prepare(rough, STRUCTURED_LIGHT)


def test_parameters_survive_the_manifest_and_are_checked_there() -> None:
    assert msgspec.json.decode(msgspec.json.encode(KINECT), type=Preprocessing) == KINECT
    assert msgspec.json.decode(b"{}", type=Preprocessing) == STRUCTURED_LIGHT
    for bad in (
        b'{"plane": "maybe"}',
        b'{"cluster_distance_m": -1.0}',
        b'{"ransac_sample": 2}',
    ):
        with pytest.raises(msgspec.ValidationError):
            msgspec.json.decode(bad, type=Preprocessing)


def test_an_image_alone_keeps_black_inside_the_part_but_not_around_it() -> None:
    rgb = np.zeros((90, 130, 3), np.uint8)
    rgb[20:70, 30:100] = 90
    rgb[40:50, 50:60] = 0
    prepared = prepare_image(rgb, STRUCTURED_LIGHT)
    image, valid, kept, frame = prepared.image, prepared.valid, prepared.kept, prepared.frame
    assert kept[20:70, 30:100].all()
    assert kept.sum() == 50 * 70
    np.testing.assert_array_equal(valid, sample_nearest(kept, frame))
    assert image.shape == (200, 200, 3)
    with pytest.raises(ScanError, match="black"):
        prepare_image(np.zeros_like(rgb), STRUCTURED_LIGHT)


@needs_real_scans
def test_a_kinect_scene_loses_its_table_and_keeps_its_objects() -> None:
    overlaps = []
    for scene in sorted((DATA / "tabletop_scenes").iterdir()):
        labels = np.asarray(Image.open(scene / "labels.png"))
        beside = without_plane(tifffile.imread(scene / "xyz.tiff"), KINECT)
        counted = labels > 0
        objects = labels >= 2
        overlaps.append((beside & objects).sum() / ((beside & counted) | objects).sum())
    assert np.mean(overlaps) >= 0.90
    assert min(overlaps) >= 0.80


@needs_real_scans
def test_real_preprocessed_crops_pass_unchanged() -> None:
    scans = sorted((DATA / "tabletop_objects").rglob("xyz/*.tiff"))[::6]
    for scan in scans:
        points = tifffile.imread(scan)
        measured = np.isfinite(points).all(axis=-1) & points.any(axis=-1)
        for preprocessing in (STRUCTURED_LIGHT, KINECT):
            np.testing.assert_array_equal(prepare(points, preprocessing).kept, measured, err_msg=scan.name)
