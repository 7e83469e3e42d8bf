"""--metres-per-unit is a positive number for every command that takes it."""

import pytest
from cmdiad.cli.calibrate import _adapted
from cmdiad.cli.options import sensor_preprocessing
from cmdiad.runtime.bundle.parameters import KINECT, PRESETS, STRUCTURED_LIGHT, Preprocessing
from cmdiad.runtime.errors import UsageError

BAD = pytest.mark.parametrize("unit", [0.0, -0.001, float("nan"), float("inf")])


@BAD
@pytest.mark.parametrize("sensor", [None, *PRESETS])
def test_what_is_not_a_positive_number_is_refused(unit, sensor):
    with pytest.raises(UsageError, match=r"metres per unit is .*: give a positive number"):
        _adapted(STRUCTURED_LIGHT, sensor, unit, "auto")
    if sensor is not None:
        with pytest.raises(UsageError, match=r"metres per unit is .*: give a positive number"):
            sensor_preprocessing(sensor, unit)


@pytest.mark.parametrize("sensor", [None, "kinect"])
def test_a_unit_replaces_the_trained_one_and_none_keeps_it(sensor):
    trained = Preprocessing(metres_per_unit=0.01, plane_distance_m=0.003)
    expected = KINECT.plane_distance_m if sensor else 0.003
    for unit, kept in ((None, 0.01), (0.001, 0.001)):
        adapted = _adapted(trained, sensor, unit, "auto")
        assert (adapted.metres_per_unit, adapted.plane_distance_m) == (kept, expected)
