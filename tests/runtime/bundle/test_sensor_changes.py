"""What differs between two sensors, and what of a calibrated bundle that makes worthless."""

from __future__ import annotations

import msgspec
import pytest
from cmdiad.runtime.bundle.parameters import Preprocessing
from cmdiad.runtime.bundle.scan_geometry import ScanGeometry
from cmdiad.runtime.bundle.sensor_changes import sensor_changes, what_is_made_again, what_must_be_done
from cmdiad.runtime.bundle.sensor_description import SensorDescription, SensorIdentity

KNOWN = SensorDescription(preprocessing=Preprocessing(plane="always", side="grid"))


def changed(**values: object) -> SensorDescription:
    return SensorDescription(preprocessing=msgspec.structs.replace(KNOWN.preprocessing, **values))


@pytest.mark.parametrize("values", [{}, {"plane": "auto"}, {"plane": "auto", "side": "auto"}, {"side": "auto"}])
def test_what_is_left_open_contradicts_nothing(values: dict[str, object]) -> None:
    assert sensor_changes(KNOWN, changed(**values)) == []
    assert what_must_be_done([]) == "nothing differs"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"plane_distance_m": 0.002}, "preprocessing.plane_distance_m 0.005 -> 0.002"),
        ({"plane": "never"}, "preprocessing.plane always -> never"),
        ({"side": "origin"}, "preprocessing.side grid -> origin"),
        ({"metres_per_unit": 0.001}, "sensor.metres_per_unit not given -> 0.001"),
        ({"geometry": ScanGeometry(near_m=0.2)}, "geometry.near_m not given -> 0.2"),
    ],
)
def test_what_changes_points_asks_for_a_calibration(values: dict[str, object], words: str) -> None:
    changes = sensor_changes(KNOWN, changed(**values))
    assert [str(change) for change in changes] == [words] and changes[0].changes_points
    assert "must be made again (`cmdiad calibrate`)" in what_must_be_done(changes)


def test_a_name_leaves_the_calibration_as_it_is() -> None:
    renamed = SensorDescription(identity=SensorIdentity(name="cell 4"), preprocessing=KNOWN.preprocessing)
    changes = sensor_changes(KNOWN, renamed)
    assert [change.key for change in changes] == ["sensor.name"] and not changes[0].changes_points
    assert "the calibration holds" in what_must_be_done(changes)


def test_where_no_plane_is_removed_its_side_is_of_no_matter() -> None:
    assert [change.key for change in sensor_changes(KNOWN, changed(plane="never", side="origin"))] == [
        "preprocessing.plane"
    ]


def test_a_command_that_makes_the_calibration_does_not_ask_for_it() -> None:
    told = what_is_made_again(sensor_changes(KNOWN, changed(plane_distance_m=0.002)))
    assert "banks were made from other points; banks, fusion" in told and told.endswith("are now made from these")
    renamed = msgspec.structs.replace(KNOWN, identity=SensorIdentity(name="cell 3"))
    assert what_is_made_again(sensor_changes(KNOWN, renamed)) == "sensor.name not given -> cell 3: points stay the same"
