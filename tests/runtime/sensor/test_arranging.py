"""Numbers of a file on the sensor's pixels: by what is said, and never by a guess."""

import numpy as np
import pytest
from cmdiad.runtime.bundle.scan_geometry import AS_STORED, HeightGrid, Intrinsics, Projection, ScanGeometry
from cmdiad.runtime.errors import ScanError
from cmdiad.runtime.sensor.arranging import arranged
from cmdiad.runtime.sensor.readers.format import Stored
from cmdiad.runtime.sensor.scan import scan_from_array

CAMERA = Intrinsics(fx=50.0, fy=40.0, cx=1.0, cy=2.0)
HEIGHTS = HeightGrid(x_pitch=0.5, y_pitch=0.25, z_scale=-0.1, z_offset=3.0)
POINTS = np.random.default_rng(1).uniform(0.2, 0.6, (5, 6, 3))


def test_an_organized_cloud_stays_as_it_is() -> None:
    assert arranged(Stored(POINTS)).points is POINTS


def test_a_depth_is_along_the_optical_axis() -> None:
    depth = np.full((4, 6), 2.0)
    depth[0, 0] = 0
    points = arranged(Stored(depth), ScanGeometry(intrinsics=CAMERA, depth_scale=0.5)).points
    np.testing.assert_allclose(points[3, 5], [(5 - 1) / 50, (3 - 2) / 40, 1.0])
    np.testing.assert_array_equal(points[0, 0], 0)


def test_a_height_map_is_seen_from_above() -> None:
    points = arranged(Stored(np.full((4, 6), 10, np.int16)), ScanGeometry(height_grid=HEIGHTS)).points
    np.testing.assert_allclose(points[0, 0], [0.25, 0.875, 2.0])
    np.testing.assert_allclose(points[3, 5], [2.75, 0.125, 2.0])
    right, down = points[0, 1] - points[0, 0], points[1, 0] - points[0, 0]
    assert np.cross(right, -down)[2] > 0  # z toward the viewer


def test_a_height_of_zero_is_one_unless_it_is_said_to_be_missing() -> None:
    flat = np.zeros((4, 6), np.int16)
    grid = HeightGrid(x_pitch=0.5, y_pitch=0.25)
    assert arranged(Stored(flat), ScanGeometry(height_grid=grid)).points.any(axis=-1).all()
    assert not arranged(Stored(flat), ScanGeometry(height_grid=grid, missing=(0.0,))).points.any()


@pytest.mark.parametrize(
    ("axes", "expected"),
    [("x,y,z", (0, 1, 2)), ("z,x,y", (2, 0, 1))],
)
def test_axes_change_places(axes: str, expected: tuple[int, ...]) -> None:
    turned = arranged(Stored(POINTS), ScanGeometry(axes=axes)).points
    np.testing.assert_array_equal(turned, POINTS[..., expected])


@pytest.mark.parametrize("kind", ["u1", "u2", "i2", "i8", "f4", "f8"])
def test_axes_change_signs_whatever_the_type(kind: str) -> None:
    stored = np.arange(60, 120).reshape(4, 5, 3).astype(kind)
    turned = arranged(Stored(stored), ScanGeometry(axes="x,-z,y")).points
    np.testing.assert_array_equal(turned, stored.astype(float)[..., (0, 2, 1)] * [1, -1, 1])


@pytest.mark.parametrize("kind", ["f4", "f8", "i4"])
def test_any_coordinate_may_carry_the_mark(kind: str) -> None:
    stored = np.arange(60, 120).reshape(4, 5, 3).astype(kind)
    stored[1, 2, 0] = stored[3, 4, 2] = -9999
    points = arranged(Stored(stored), ScanGeometry(missing=(-9999.0, 1e30))).points
    assert points.dtype == stored.dtype
    assert list(zip(*np.nonzero(~points.any(axis=-1)), strict=True)) == [(1, 2), (3, 4)]


def test_a_mark_is_compared_as_float32_holds_it() -> None:
    stored = np.full((4, 5, 3), 1e30, np.float32)
    assert not arranged(Stored(stored), ScanGeometry(missing=(1e30,))).points.any()


def test_zero_marks_a_point_by_what_becomes_z_alone() -> None:
    stored = POINTS.copy()
    stored[0, 0, 0] = stored[1, 1, 1] = 0
    points = arranged(Stored(stored), ScanGeometry(missing=(0.0,), axes="x,-z,y")).points
    assert points[0, 0].any() and not points[1, 1].any()


def test_points_row_by_row_take_the_grid() -> None:
    geometry = ScanGeometry(grid=(6, 5))
    np.testing.assert_array_equal(arranged(Stored(POINTS.reshape(-1, 3)), geometry).points, POINTS)
    with pytest.raises(ScanError, match=r"has 29 points, and geometry.grid is 6 x 5 = 30"):
        arranged(Stored(POINTS.reshape(-1, 3)[1:]), geometry)


@pytest.mark.parametrize(
    ("case", "stored", "geometry", "says"),
    [
        ("pixels", Stored(np.ones((4, 6))), AS_STORED, "--set geometry.intrinsics=.*--set geometry.height_grid="),
        ("points", Stored(POINTS.reshape(-1, 3)), AS_STORED, "--set geometry.grid=.*--set geometry.projection="),
        ("8 bits", Stored(np.ones((4, 6), np.uint8)), ScanGeometry(intrinsics=CAMERA), "8-bit"),
        ("depth below zero", Stored(-np.ones((4, 6))), ScanGeometry(intrinsics=CAMERA), "24 depths below zero.*-1"),
        (
            "two cameras",
            Stored(np.ones((4, 6)), intrinsics=CAMERA),
            ScanGeometry(intrinsics=Intrinsics(fx=51, fy=40, cx=1, cy=2)),
            "50, 40, 1, 2, but geometry.intrinsics is 51, 40, 1, 2",
        ),
        (
            "depths that are said to be heights",
            Stored(np.ones((4, 6)), intrinsics=CAMERA),
            ScanGeometry(height_grid=HEIGHTS),
            "height_grid",
        ),
        ("an image of another size", Stored(POINTS, rgb=np.zeros((5, 5, 3), np.uint8)), AS_STORED, "pixels"),
    ],
)
def test_what_is_not_said_or_does_not_fit_is_refused(
    case: str, stored: Stored, geometry: ScanGeometry, says: str
) -> None:
    with pytest.raises(ScanError, match=says):
        arranged(stored, geometry)


def test_a_file_and_the_sensor_may_say_the_same_camera() -> None:
    stored = Stored(np.ones((4, 6)), intrinsics=CAMERA)
    same = arranged(stored, ScanGeometry(intrinsics=CAMERA)).points
    np.testing.assert_array_equal(same, arranged(stored).points)


def test_integers_of_an_image_need_a_unit_or_a_step() -> None:
    depth = np.full((8, 9), 500, np.uint16)
    depth += np.arange(9, dtype=np.uint16)
    with pytest.raises(ScanError, match="uint16 numbers without a unit"):
        scan_from_array(depth, geometry=ScanGeometry(intrinsics=CAMERA))
    stepped = scan_from_array(depth, geometry=ScanGeometry(intrinsics=CAMERA, depth_scale=0.001))
    in_unit = scan_from_array(depth, 0.001, ScanGeometry(intrinsics=CAMERA))
    np.testing.assert_allclose(stepped.points, in_unit.points, rtol=1e-6)


def test_a_mark_in_an_image_that_nobody_named_is_refused_with_the_setting() -> None:
    depth = np.full((8, 9), 500, np.uint16) + np.arange(9, dtype=np.uint16)
    depth[2, 3] = 65535
    with pytest.raises(ScanError, match=r"has 65535 .* 1 of its 72 .*--set geometry.missing=65535"):
        scan_from_array(depth, 0.001, ScanGeometry(intrinsics=CAMERA))
    scan = scan_from_array(depth, 0.001, ScanGeometry(intrinsics=CAMERA, missing=(65535.0,)))
    assert not scan.points[2, 3].any()


def test_what_is_out_of_range_is_missing() -> None:
    points = POINTS.copy()
    points[..., 2] = np.linspace(0.2, 0.8, 30).reshape(5, 6)
    scan = scan_from_array(points, geometry=ScanGeometry(near_m=0.3, far_m=0.5))
    np.testing.assert_array_equal(scan.points.any(axis=-1), (points[..., 2] >= 0.3) & (points[..., 2] <= 0.5))
    with pytest.raises(ScanError, match=r"z from 2 to 3 m, only from 0.2 to 0.8 m.*near_m"):
        scan_from_array(points, geometry=ScanGeometry(near_m=2, far_m=3))


def test_points_in_no_order_are_projected_and_what_is_lost_is_noted() -> None:
    rows, columns = np.mgrid[:20, :20]
    plate = np.stack([columns * 1e-3, rows * 1e-3, np.full((20, 20), 0.4)], -1).reshape(-1, 3)
    behind = plate[:40] + np.array([0, 0, 0.01])
    projection = Projection(model="orthographic", width=20, height=20, pitch=1e-3)
    stored = np.concatenate([behind, plate, np.full((5, 3), np.nan)])
    scan = scan_from_array(stored, geometry=ScanGeometry(projection=projection))
    assert (scan.points[..., 2] == np.float32(0.4)).all()
    assert len(scan.notes) == 1 and "40 of 440 points (9%) are hidden by a nearer point" in scan.notes[0]


def test_no_point_at_all_is_said() -> None:
    projection = Projection(model="orthographic", width=20, height=20, pitch=1e-3)
    with pytest.raises(ScanError, match="no measured point"):
        scan_from_array(np.full((9, 3), np.nan), geometry=ScanGeometry(projection=projection))
