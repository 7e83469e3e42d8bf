"""What may be said of a sensor's geometry, and how it travels."""

import msgspec
import pytest
from cmdiad.runtime.bundle.parameters import Preprocessing
from cmdiad.runtime.bundle.scan_geometry import AS_STORED, HeightGrid, Intrinsics, Projection, ScanGeometry

CAMERA = Intrinsics(fx=600, fy=601, cx=320, cy=240)
FULL = ScanGeometry(
    intrinsics=CAMERA,
    depth_scale=0.1,
    axes="x,-y,-z",
    missing=(-9999.0, 1e30),
    near_m=0.2,
    far_m=1.5,
    projection=Projection(model="pinhole", width=640, height=480),
    topic="/points",
    message=3,
)


def test_it_travels_with_the_preprocessing_and_says_only_what_was_said() -> None:
    encoded = msgspec.json.encode(Preprocessing(geometry=FULL))
    assert msgspec.json.decode(encoded, type=Preprocessing).geometry == FULL
    assert b'"geometry":{}' in msgspec.json.encode(Preprocessing())


def test_what_was_written_before_there_was_one_is_read_as_stored() -> None:
    assert msgspec.json.decode(b"{}", type=Preprocessing).geometry == AS_STORED


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"axes": "x,y"}, "axes"),
        ({"axes": "x,x,z"}, "axes"),
        ({"axes": "x,--y,z"}, "axes"),
        ({"missing": [1e400]}, "Expected|missing|out of range"),
        ({"missing": [float(number) for number in range(33)]}, "missing"),
        ({"near_m": 1.0, "far_m": 1.0}, "near_m"),
        ({"depth_scale": 0.0}, "depth_scale"),
        ({"grid": [640, 1]}, "grid is 640 x 1"),
        ({"grid": [100_000, 100_000]}, "grid is 100000 x 100000"),
        ({"message": -1}, "message"),
        ({"intrinsics": {"fx": 1, "fy": 1, "cx": 0}}, "cy"),
        ({"intrinsics": {"fx": 0, "fy": 1, "cx": 0, "cy": 0}}, "fx"),
        ({"height_grid": {"x_pitch": 1, "y_pitch": 1, "z_scale": 0}}, "z_scale"),
        ({"height_grid": {"x_pitch": -1, "y_pitch": 1}}, "x_pitch"),
        ({"projection": {"model": "orthographic", "width": 4, "height": 4}}, "needs pitch"),
        ({"projection": {"model": "pinhole", "width": 4, "height": 4, "pitch": 1}}, "takes no pitch"),
        ({"projection": {"model": "pinhole", "width": 4, "height": 4}}, "needs intrinsics"),
        ({"projection": {"model": "orthographic", "width": 4, "height": 1, "pitch": 1}}, "4 x 1"),
        (
            {"grid": [4, 4], "projection": {"model": "orthographic", "width": 4, "height": 4, "pitch": 1}},
            "grid and projection",
        ),
        (
            {
                "intrinsics": {"fx": 1, "fy": 1, "cx": 0, "cy": 0},
                "height_grid": {"x_pitch": 1, "y_pitch": 1},
            },
            "either depths or heights",
        ),
        ({"height_grid": {"x_pitch": 1, "y_pitch": 1}, "depth_scale": 2.0}, "z_scale"),
        ({"pitch": 1}, "pitch"),
    ],
)
def test_what_contradicts_itself_is_refused_by_name(given: dict[str, object], says: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=says):
        msgspec.convert(given, ScanGeometry)


def test_a_matrix_is_the_same_camera() -> None:
    assert Intrinsics.of_matrix([[600, 0, 320], [0, 601, 240], [0, 0, 1]]) == CAMERA
    with pytest.raises(ValueError, match="pinhole"):
        Intrinsics.of_matrix([[600, 1, 320], [0, 601, 240], [0, 0, 1]])


def test_axes_are_places_and_signs() -> None:
    assert ScanGeometry(axes="y, -z,+x").axis_order() == ((1, 2, 0), (1, -1, 1))


@pytest.mark.parametrize(
    ("geometry", "scales"),
    [
        (AS_STORED, False),
        (ScanGeometry(depth_scale=1.0), True),
        (ScanGeometry(height_grid=HeightGrid(x_pitch=1, y_pitch=1)), False),
        (ScanGeometry(height_grid=HeightGrid(x_pitch=1, y_pitch=1, z_scale=0.5)), True),
    ],
    ids=["nothing", "depth step", "heights without a step", "height step"],
)
def test_a_step_gives_integers_a_length(geometry: ScanGeometry, scales: bool) -> None:
    assert geometry.scales_pixels is scales
