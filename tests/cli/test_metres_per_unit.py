"""--metres-per-unit is a positive number for every command that takes it."""

import pytest
from cmdiad.runtime.bundle.parameters import KINECT, PRESETS, STRUCTURED_LIGHT, Preprocessing
from cmdiad.runtime.bundle.sensor_description import SensorDescription
from cmdiad.runtime.errors import UsageError
from cmdiad.runtime.sensor.sensor_file import adapted, open_sensor

BAD = pytest.mark.parametrize("unit", [0.0, -0.001, float("nan"), float("inf")])


@BAD
@pytest.mark.parametrize("sensor", [None, *PRESETS])
def test_what_is_not_a_positive_number_is_refused(unit, sensor):
    with pytest.raises(UsageError, match=r"meters per unit is .*: give a positive number"):
        adapted(SensorDescription(preprocessing=STRUCTURED_LIGHT), sensor, (), unit)
    if sensor is not None:
        with pytest.raises(UsageError, match=r"meters per unit is .*: give a positive number"):
            open_sensor(sensor, (), unit)


@pytest.mark.parametrize("sensor", [None, "kinect"])
def test_a_unit_replaces_the_trained_one_and_none_keeps_it(sensor):
    trained = SensorDescription(preprocessing=Preprocessing(metres_per_unit=0.01, plane_distance_m=0.003))
    expected = KINECT.plane_distance_m if sensor else 0.003
    for unit, kept in ((None, 0.01), (0.001, 0.001)):
        changed = (adapted(trained, sensor, (), unit) or trained).preprocessing
        assert (changed.metres_per_unit, changed.plane_distance_m) == (kept, expected)
