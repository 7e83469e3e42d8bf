"""Whether a scan's numbers can be what its unit says: nobody inspects a scene of a kilometer, or of a micrometer."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from ..errors import WITH_A_BUNDLE, ScanError, UsageError

# Numbers without a unit are taken as meters up to here. Beyond, a megapixel sensor's pixels would be a centimeter
# apart, farther than a part is from its table; a view of 10 mm in millimeters begins here.
_LARGEST_M = 10.0
# A unit that was given is believed up to here.
_LARGEST_GIVEN_M = 100.0
# The supporting plane alone takes several of these.
_SMALLEST_M = 0.001
# The usual ones first; the last two are named where none of these fits.
UNITS = {
    0.001: "millimeters",
    1.0: "meters",
    0.01: "centimeters",
    0.0254: "inches",
    1e-6: "micrometers",
    1e-5: "hundredths of a millimeter",
}
_RARE = (1e-6, 1e-5)
# Beyond both percentiles lie strays.
_PERCENTILES = (1, 99)
_FEWEST_POINTS = 30


def checked_unit(metres_per_unit: float | None) -> float | None:
    """A unit as it was given, None where none was.

    Raises:
        UsageError: it is not a positive, finite number.
    """
    if metres_per_unit is not None and not 0 < metres_per_unit < math.inf:
        raise UsageError(f"meters per unit is {metres_per_unit}: give a positive number, such as 0.001")
    return metres_per_unit


def check_extent(sample_n3: npt.NDArray[np.float64], metres_per_unit: float | None) -> None:
    """Refuse a scan that its unit makes too large or too small to be a scene in front of a sensor.

    The extent is that of the axis along which the scan reaches farthest, from the 1st to the 99th percentile of its
    points; of fewer than 30 points none is told.

    Args:
        sample_n3: (N, 3) measured points in meters, evenly chosen from the scan's.
        metres_per_unit: what they were multiplied with; None: their file gave them as floats, which are meters.

    Raises:
        ScanError: the extent is above 10 m (100 m where a unit was given) or below 1 mm. It names the units that
            would fit, and how large the scan would be by each.
    """
    if len(sample_n3) < _FEWEST_POINTS:
        return
    largest = _LARGEST_M if metres_per_unit is None else _LARGEST_GIVEN_M
    reach = np.ptp(sample_n3, axis=0)
    if reach.max() <= largest and _least_extent(sample_n3[:, reach.argmax()]) >= _SMALLEST_M:
        # Then the extent is between these two.
        return
    extent = max(_extent(along) for along in sample_n3.T)
    if not _SMALLEST_M <= extent <= largest:
        given = "if its numbers are meters" if metres_per_unit is None else f"with {metres_per_unit:g} meters per unit"
        raise ScanError(f"is {extent:.3g} m across {given}: {_advice(extent, metres_per_unit)}")


def _least_extent(along_n: npt.NDArray[np.float64]) -> float:
    """What `_extent` is at least, in a third of its time: between the points just inside the percentiles."""
    last = len(along_n) - 1
    places = [math.ceil(_PERCENTILES[0] / 100 * last), math.floor(_PERCENTILES[1] / 100 * last)]
    low, high = np.partition(along_n, places)[places]
    return float(high - low)


def _extent(along_n: npt.NDArray[np.float64]) -> float:
    low, high = np.percentile(along_n, _PERCENTILES)
    return float(high - low)


def _advice(extent: float, metres_per_unit: float | None) -> str:
    in_units = extent / (metres_per_unit or 1.0)
    others = [unit for unit in UNITS if unit != (metres_per_unit or 1.0)]
    fitting = [unit for unit in others if _SMALLEST_M <= in_units * unit <= _LARGEST_M]
    fitting = [unit for unit in fitting if unit not in _RARE] or fitting
    if not fitting:
        return "no usual unit fits; check the sensor, and how its scans are saved"
    names = [f"{UNITS[unit]} ({length_in_words(in_units * unit)} across)" for unit in fitting]
    looks = f"they look like {names[0]}" if len(names) == 1 else f"they may be {_either(names)}"
    given = _either([f"{unit:g}" for unit in fitting])
    may_be_metres = metres_per_unit is None and extent <= _LARGEST_GIVEN_M
    or_metres = ", or 1 if they are meters" if may_be_metres else ""
    return f"{looks}; give --metres-per-unit {given} (--set sensor.metres_per_unit=UNIT){or_metres}{WITH_A_BUNDLE}"


def length_in_words(length_m: float) -> str:
    """A length with three digits, in millimeters below a meter.

    Example:
        >>> length_in_words(0.0123), length_in_words(7.62)
        ('12.3 mm', '7.62 m')
    """
    return f"{length_m:.3g} m" if length_m >= 1 else f"{length_m * 1e3:.3g} mm"


def unit_in_words(metres_per_unit: float | None) -> str:
    """What a file's numbers are read as; None: floats, which are meters.

    Example:
        >>> unit_in_words(None), unit_in_words(0.0254), unit_in_words(0.002)
        ('meters', 'inches', 'units of 0.002 m')
    """
    unit = 1.0 if metres_per_unit is None else metres_per_unit
    return UNITS.get(unit, f"units of {unit:g} m")


def _either(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"
