"""A sensor that repeats one measurement: many pixels, few points."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..errors import ScanError

# One point in this share of the pixels is no measurement of a surface but a frozen buffer, or a mark of a missing one.
_MOST_ALIKE = 0.1
# Fewer distinct points than this are rows or columns that repeat. Coordinates that were rounded to steps of seven
# pixels in either direction still pass.
_LEAST_DISTINCT = 0.02
_FEW = 64  # so few pixels say nothing
_SAMPLED = 2048
_MULTIPLIERS = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9], np.uint64)

_Mask = npt.NDArray[np.bool_]


def refuse_repeated(planes_3hw: npt.NDArray[np.float32], valid_hw: _Mask) -> None:
    """Raise ScanError where the measured pixels hold the same few points again and again.

    A sample tells an ordinary scan; only a suspicious one is counted in full. What marks a file's missing points is
    refused before, where it is read, at a tenth of this share: see `sensor.missing.refuse_marking_point`.

    Args:
        planes_3hw: (3, H, W) float32: x, y and z in meters.
        valid_hw: (H, W) bool, the measured pixels.
    """
    step = max(1, int(np.sqrt(valid_hw.size / _SAMPLED)))
    if not _suspicious(_keys(planes_3hw[:, ::step, ::step], valid_hw[::step, ::step])):
        return
    keys = _keys(planes_3hw, valid_hw)
    if len(keys) <= _FEW:
        return
    _, first, counts = np.unique(keys, return_index=True, return_counts=True)
    most = int(counts.argmax())
    if counts[most] > _MOST_ALIKE * len(keys):
        x, y, z = planes_3hw[:, valid_hw][:, first[most]]
        raise ScanError(
            f"{counts[most]} of {len(keys)} measured points are the same point ({x:g}, {y:g}, {z:g}) m: the sensor "
            "repeats one measurement, or marks missing points with it: restart it, or make it write zero or NaN there"
        )
    if len(counts) < _LEAST_DISTINCT * len(keys):
        raise ScanError(
            f"{len(keys)} points were measured, of which only {len(counts)} are distinct: the sensor repeats its "
            "measurements, or writes coordinates in steps far coarser than its pixels: check its driver and export"
        )


def _suspicious(keys: npt.NDArray[np.uint64]) -> bool:
    if not len(keys):
        return True
    ordered = np.sort(keys)
    n_distinct = 1 + np.count_nonzero(ordered[1:] != ordered[:-1])
    most_alike = int(0.5 * _MOST_ALIKE * len(keys))
    return bool(n_distinct < 0.5 * len(keys) or (ordered[most_alike:] == ordered[: len(keys) - most_alike]).any())


def _keys(planes_3hw: npt.NDArray[np.float32], valid_hw: _Mask) -> npt.NDArray[np.uint64]:
    """One number a measured point, (N,) uint64: equal points have equal numbers, others (all but surely) do not."""
    keys = np.zeros(np.count_nonzero(valid_hw), np.uint64)
    for plane, multiplier in zip(planes_3hw, _MULTIPLIERS, strict=True):
        # Adding zero makes -0 and 0 the same bits.
        keys ^= (plane[valid_hw] + np.float32(0)).view(np.uint32).astype(np.uint64) * multiplier
        keys ^= keys >> np.uint64(29)
        keys *= _MULTIPLIERS[0]
    return keys
