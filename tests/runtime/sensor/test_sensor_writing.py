"""A written sensor file has every key, explains it, and reads back as what was written."""

from __future__ import annotations

from pathlib import Path

import pytest
from cmdiad.runtime.sensor.sensor_file import described, open_sensor, read_sensor_file
from cmdiad.runtime.sensor.sensor_keys import KEY_TEXTS, TABLES, all_keys, keys_of
from cmdiad.runtime.sensor.sensor_writing import resolved_lines, sensor_toml, toml_value

ROOT = Path(__file__).resolve().parents[3]
DESCRIPTIONS = {
    "kinect": [],
    "eyecandies": ['sensor.name=belt "2" \\ ä', "preprocessing.plane=never"],
    "structured-light": [
        "sensor.pixel_pitch_m=0.0003",
        "sensor.metres_per_unit=0.001",
        "geometry.intrinsics=525,525,319.5,239.5",
        "geometry.missing=-9999,1e30",
        "geometry.projection=pinhole,64,48",
        "geometry.topic=/camera/points",
        "preprocessing.cluster_distance_m=0.02",
    ],
}


@pytest.mark.parametrize("preset", DESCRIPTIONS)
def test_what_is_written_is_read_back(tmp_path: Path, preset: str) -> None:
    description = open_sensor(preset, DESCRIPTIONS[preset])
    path = tmp_path / "sensor.toml"
    path.write_text(sensor_toml(description), encoding="utf-8")
    assert described(read_sensor_file(path), "again") == description


@pytest.mark.parametrize("preset", DESCRIPTIONS)
def test_taking_every_mark_away_changes_no_default(tmp_path: Path, preset: str) -> None:
    """What stands behind a # is what holds without it, but for the examples of keys that have no value."""
    description = open_sensor(preset, DESCRIPTIONS[preset])
    lines = []
    for line in sensor_toml(description).splitlines():
        name, equals, _ = line.removeprefix("# ").partition(" = ")
        table = next((key.split(".")[0] for key in KEY_TEXTS if key.endswith(f".{name}") and key.count(".") == 1), "")
        has_value = equals and not KEY_TEXTS[f"{table}.{name}"].example if table else False
        lines.append(line.removeprefix("# ") if has_value else line)
    path = tmp_path / "sensor.toml"
    path.write_text("\n".join(lines), encoding="utf-8")
    assert described(read_sensor_file(path), "again").preprocessing == description.preprocessing


def test_every_key_is_written_with_its_meaning() -> None:
    text = sensor_toml(open_sensor("kinect"))
    for table in TABLES:
        for name in keys_of(table):
            assert f"{name} = " in text and KEY_TEXTS[f"{table}.{name}"].meaning in text


def test_every_key_has_a_text() -> None:
    assert set(KEY_TEXTS) == set(all_keys())


def test_a_note_is_written_above_its_key_which_is_then_set() -> None:
    lines = sensor_toml(open_sensor("kinect"), {"preprocessing.refine_on": "measured: 27%"}).splitlines()
    place = lines.index("# measured: 27%")
    assert lines[place + 1] == 'refine_on = "scan"'


def test_what_follows_the_pitch_is_shown_as_that() -> None:
    shown = list(resolved_lines(open_sensor("kinect", ["sensor.pixel_pitch_m=0.001"])))
    assert "plane_distance_m = 0.004  # follows the pixel pitch" in shown
    assert "border_pixels = 10  # default" in shown and "# grid is not given" in shown


def test_values_are_written_as_toml_has_them() -> None:
    assert toml_value({"a": 1.0, "b": None, "c": [1, "x"]}) == '{ a = 1.0, c = [1, "x"] }'


@pytest.mark.parametrize("key", sorted(KEY_TEXTS))
def test_every_key_is_documented(key: str) -> None:
    text = (ROOT / "docs" / "sensors.md").read_text(encoding="utf-8")
    assert f"| `{key}` |" in text
