"""`sensor.toml`, `--sensor` and `--set`: typed, unknown keys refused with the one that was meant."""

from __future__ import annotations

from pathlib import Path

import pytest
from cmdiad.runtime.bundle.parameters import KINECT, PRESETS, Preprocessing
from cmdiad.runtime.bundle.scan_geometry import HeightGrid, Intrinsics, Projection, ScanGeometry
from cmdiad.runtime.bundle.sensor_description import UNDESCRIBED, SensorDescription, SensorIdentity
from cmdiad.runtime.errors import UsageError
from cmdiad.runtime.sensor.sensor_file import (
    adapted,
    assigned,
    described,
    known_pitch,
    open_sensor,
    read_sensor_file,
    require_same_sensor,
    settings_of,
)


def written(folder: Path, text: str) -> Path:
    path = folder / "cell.toml"
    path.write_text(text)
    return path


def test_an_empty_file_is_the_default_preset_named_as_the_file(tmp_path: Path) -> None:
    description = open_sensor(str(written(tmp_path, "")))
    assert description.identity == SensorIdentity(name="cell") and description.preprocessing == Preprocessing()


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_is_what_it_was(preset: str) -> None:
    assert open_sensor(preset).preprocessing == PRESETS[preset]  # type: ignore[index]


def test_a_file_sets_all_there_is(tmp_path: Path) -> None:
    text = """
        [sensor]
        name = "Kinect over belt 2"
        preset = "kinect"
        metres_per_unit = 0.001
        [geometry]
        intrinsics = { fx = 525, fy = 525.0, cx = 319.5, cy = 239.5 }
        missing = [0, -9999]
        [preprocessing]
        plane = "always"
        border_pixels = 20
    """
    description = open_sensor(str(written(tmp_path, text)))
    made = description.preprocessing
    assert description.identity.name == "Kinect over belt 2"
    assert (made.metres_per_unit, made.plane, made.border_pixels) == (0.001, "always", 20)
    assert made.geometry.intrinsics == Intrinsics(fx=525, fy=525, cx=319.5, cy=239.5)
    assert made.geometry.missing == (0, -9999) and made.cluster_distance_m == KINECT.cluster_distance_m


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("= 3", "is not TOML"),
        ("[sensr]\nname = 'a'", "there is no key 'sensr'"),
        ("sensor = 3", "sensor must be a table: write [sensor]"),
        ("[preprocessing]\nbordr_pixels = 3", "did you mean preprocessing.border_pixels?"),
        ("[preprocessing]\nmetres_per_unit = 1.0", "did you mean sensor.metres_per_unit?"),
        ("[geometry]\nfx = 3.0", "did you mean geometry.intrinsics.fx?"),
        ("[geometry]\nintrinsics = { fx = 1, fy = 1, cx = 1, cz = 1 }", "there is no key geometry.intrinsics.cz"),
        ("[geometry]\nintrinsics = 3", "geometry.intrinsics must be an inline table"),
        ("[geometry]\nintrinsics = { fx = 1 }", "geometry.intrinsics needs fy too"),
        ("[geometry]\ngrid = [640]", "geometry.grid needs 2 values, has 1"),
        ("[preprocessing]\nborder_pixels = 'a'", "preprocessing.border_pixels must be a whole number, not text"),
        ("[preprocessing]\nborder_pixels = 0", "preprocessing.border_pixels is 0, must be from 1"),
        ("[preprocessing]\nplane = 'nver'", "preprocessing.plane is 'nver': choose auto, always, never"),
        ("[preprocessing]\nplane_distance_m = nan", "preprocessing.plane_distance_m is nan"),
        ("[sensor]\nmetres_per_unit = -1.0", "give a positive number"),
        ("[sensor]\npixel_pitch_m = 0.5", "in millimeters it would be 0.0005"),
        ("[sensor]\npreset = 'zed'", "sensor.preset is 'zed': choose structured-light, kinect, eyecandies"),
    ],
)
def test_what_makes_no_sense_is_refused_with_its_key(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(UsageError) as refused:
        open_sensor(str(written(tmp_path, text)))
    assert words in str(refused.value) and "\n" not in str(refused.value)


def test_a_missing_or_huge_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        open_sensor(str(tmp_path / "none.toml"))
    with pytest.raises(UsageError, match="this is not a sensor file"):
        read_sensor_file(written(tmp_path, "#" * (1 << 21)))
    with pytest.raises(UsageError, match="no such file, and the presets are structured-light"):
        open_sensor("kinct")


@pytest.mark.parametrize(
    ("assignment", "value"),
    [
        ("geometry.grid=640x480", (640, 480)),
        ("geometry.grid=[640, 480]", (640, 480)),
        ("geometry.missing=-9999,1e30", (-9999.0, 1e30)),
        ("geometry.missing=-9999", (-9999.0,)),
        ("geometry.intrinsics=525,525,319.5,239.5", Intrinsics(fx=525, fy=525, cx=319.5, cy=239.5)),
        ("geometry.intrinsics={fx=525, fy=526, cx=1, cy=2}", Intrinsics(fx=525, fy=526, cx=1, cy=2)),
        ("geometry.intrinsics=fx=525,fy=526,cx=1,cy=2", Intrinsics(fx=525, fy=526, cx=1, cy=2)),
        ("geometry.height_grid=0.1,0.2", HeightGrid(x_pitch=0.1, y_pitch=0.2)),
        (
            "geometry.projection=orthographic,64,48,0.5",
            Projection(model="orthographic", width=64, height=48, pitch=0.5),
        ),
        ("geometry.axes=x,-y,-z", "x,-y,-z"),
        ("geometry.topic=/camera/points", "/camera/points"),
        ("geometry.near_m=none", None),
    ],
)
def test_one_value_is_set_by_its_type(assignment: str, value: object) -> None:
    geometry = open_sensor("kinect", [assignment]).preprocessing.geometry
    assert getattr(geometry, assignment.partition("=")[0].split(".")[1]) == value


def test_assignments_hold_over_what_was_there_and_the_last_one_counts() -> None:
    settings = {"geometry": {"intrinsics": {"fx": 1.0, "fy": 1.0, "cx": 1.0, "cy": 1.0}}}
    changed = assigned(settings, ["geometry.intrinsics.fx=9", "preprocessing.seed=1", "preprocessing.seed=2"])
    assert changed["geometry"]["intrinsics"] == {"fx": 9, "fy": 1.0, "cx": 1.0, "cy": 1.0}
    assert changed["preprocessing"] == {"seed": 2} and settings["geometry"]["intrinsics"]["fx"] == 1.0


@pytest.mark.parametrize(
    ("assignment", "words"),
    [
        ("plane=never", "did you mean preprocessing.plane?"),
        ("preprocesing.plane=never", "did you mean preprocessing.plane?"),
        ("preprocessing.planes=never", "did you mean preprocessing.plane?"),
        ("preprocessing.plane", "is no TABLE.KEY=VALUE"),
        ("preprocessing.metres_per_unit=1", "did you mean sensor.metres_per_unit?"),
        ("preprocessing.geometry=1", "there is no key"),
        ("velocity=3", "the tables are sensor, geometry, preprocessing"),
        ("sensor=3", "there is no key"),
    ],
)
def test_an_assignment_to_nothing_is_refused(assignment: str, words: str) -> None:
    with pytest.raises(UsageError) as refused:
        open_sensor("kinect", [assignment])
    assert words in str(refused.value) and str(refused.value).startswith(f"--set {assignment}: ")


def test_settings_of_a_description_give_it_back() -> None:
    assignments = ["sensor.pixel_pitch_m=0.001", "geometry.grid=64x48", "preprocessing.plane_distance_m=0.004"]
    description = open_sensor("kinect", assignments)
    assert description.identity.derived == ("ransac_threshold_m", "cluster_distance_m")
    assert described(settings_of(description), "again") == description
    lengths = ["preprocessing.ransac_threshold_m=0.008", "preprocessing.cluster_distance_m=0.02"]
    presets_own = open_sensor(
        "kinect", ["sensor.pixel_pitch_m=0.001", "preprocessing.plane_distance_m=0.008", *lengths]
    )
    assert described(settings_of(presets_own), "again") == presets_own


@pytest.mark.parametrize("known", [UNDESCRIBED, open_sensor("kinect")])
def test_a_pitch_that_is_told_later_moves_the_lengths_that_were_the_presets(known: SensorDescription) -> None:
    told = adapted(known, None, ["sensor.pixel_pitch_m=0.0001"])
    assert told is not None and told.preprocessing.cluster_distance_m == 0.001
    assert told.identity.derived == ("ransac_threshold_m", "plane_distance_m", "cluster_distance_m")


def test_a_pitch_that_the_geometry_says_is_known() -> None:
    assert known_pitch(ScanGeometry(height_grid=HeightGrid(x_pitch=0.1, y_pitch=0.3)), 0.001) == pytest.approx(3e-4)
    assert known_pitch(ScanGeometry(), 0.001) is None
    made = open_sensor("structured-light", ["geometry.height_grid=0.1,0.3", "sensor.metres_per_unit=0.001"])
    assert made.identity.pixel_pitch_m == pytest.approx(3e-4) and made.preprocessing.cluster_distance_m == 0.003


def test_a_pitch_in_another_unit_than_the_files_is_refused() -> None:
    grid = ScanGeometry(height_grid=HeightGrid(x_pitch=100.0, y_pitch=100.0))
    with pytest.raises(UsageError, match=r"geometry\.height_grid: pixels would be 0\.1 m apart.*metres_per_unit"):
        known_pitch(grid, 0.001)
    assert known_pitch(grid, None) is None


def test_options_change_a_bundles_sensor_and_none_leave_it() -> None:
    known = SensorDescription(
        preprocessing=Preprocessing(metres_per_unit=0.01, plane="always", geometry=ScanGeometry(grid=(64, 48)))
    )
    assert adapted(known, None, ()) is None
    preset = adapted(known, "kinect", ())
    assert preset is not None
    assert preset.preprocessing.metres_per_unit == 0.01 and preset.preprocessing.geometry.grid == (64, 48)
    assert preset.preprocessing.plane == "auto" and preset.preprocessing.ransac_threshold_m == 0.008
    told = adapted(known, None, ["preprocessing.plane=never"])
    assert told is not None and told.preprocessing.plane == "never" and told.preprocessing.metres_per_unit == 0.01


def test_a_line_refuses_another_sensor_and_says_what_to_calibrate_again(tmp_path: Path) -> None:
    settled = SensorDescription(preprocessing=Preprocessing(plane="always", side="grid", metres_per_unit=0.001))
    require_same_sensor(settled, "structured-light")
    require_same_sensor(settled, str(written(tmp_path, "[sensor]\nmetres_per_unit = 0.001")))
    with pytest.raises(
        UsageError, match=r"ransac_threshold_m 0\.004 -> 0\.008.*must be made again.*leave --sensor out"
    ):
        require_same_sensor(settled, "kinect")
    with pytest.raises(UsageError, match=r"sensor\.metres_per_unit 0\.001 -> not given"):
        require_same_sensor(settled, str(written(tmp_path, "")))


def test_nothing_said_is_a_structured_light_scanner() -> None:
    assert described({}, "nothing") == UNDESCRIBED
