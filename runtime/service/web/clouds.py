"""The points of the newest inspections, for the page's 3D view: thinned, colored by anomaly, kept in memory."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import OrderedDict, deque
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ...inspection import Inspection
from ..arrival import PartRecord

MOST_POINTS = 40_000
MOST_CLOUDS = 32
# Inspections that wait to be thinned are whole scans in memory.
_MOST_WAITING = 4
# The answer to a part's request leaves first: thinning at once made it 2 ms later, for both need the interpreter.
_PAUSE_SECONDS = 0.02
_LEAST_THRESHOLD = 1e-30
_LARGEST = np.float32(1e6)

_log = logging.getLogger("cmdiad.line")


@dataclass(frozen=True)
class _Waiting:
    """What of an inspection is needed."""

    points_hw3: npt.NDArray[np.float32]
    valid_hw: npt.NDArray[np.bool_]
    map_hw: npt.NDArray[np.float32]
    pixel_threshold: float


class Clouds:
    """The clouds of the last inspections, made on a thread of their own; safe for all threads.

    A station whose parts come faster than clouds are made has gaps in them, and never waits.
    """

    def __init__(self, most: int = MOST_CLOUDS) -> None:
        """No clouds yet; the thread ends with the process."""
        self._most = most
        self._changed = threading.Condition()
        self._waiting: deque[tuple[int, _Waiting]] = deque()
        self._under_way: int | None = None
        self._made: OrderedDict[int, bytes] = OrderedDict()
        threading.Thread(target=self._run, name="clouds", daemon=True).start()

    def keep(self, record: PartRecord, inspection: Inspection | None) -> None:
        """Have the cloud of a result made; returns at once."""
        if inspection is None or inspection.points is None:
            return
        scan = _Waiting(inspection.points, inspection.valid, inspection.map, inspection.pixel_threshold)
        with self._changed:
            if len(self._waiting) == _MOST_WAITING:
                self._waiting.popleft()
            self._waiting.append((record.number, scan))
            self._changed.notify_all()

    def points(self, number: int, patience_seconds: float = 1.0) -> bytes | None:
        """A result's cloud as (N, 4) little-endian float32, see `thinned`; None if there is none, or it is not kept.

        One that is being made is waited for.
        """
        with self._changed:
            self._changed.wait_for(lambda: not self._is_coming(number), patience_seconds)
            return self._made.get(number)

    def _is_coming(self, number: int) -> bool:
        return number == self._under_way or any(number == waiting for waiting, _ in self._waiting)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: bool(self._waiting))
            time.sleep(_PAUSE_SECONDS)
            with self._changed:
                number, scan = self._waiting.popleft()
                self._under_way = number
            try:
                made = thinned(scan.points_hw3, scan.valid_hw, scan.map_hw, scan.pixel_threshold).tobytes()
            except Exception:
                _log.exception("part %d has no 3D view", number)
                made = None
            with self._changed:
                self._under_way = None
                if made is not None:
                    self._made[number] = made
                while len(self._made) > self._most:
                    self._made.popitem(last=False)
                self._changed.notify_all()


def thinned(
    points_hw3: npt.NDArray[np.float32],
    valid_hw: npt.NDArray[np.bool_],
    map_hw: npt.NDArray[np.float32],
    pixel_threshold: float,
    most: int = MOST_POINTS,
) -> npt.NDArray[np.float32]:
    """The part's points, every few pixels of the scan, with the largest anomaly of the pixels that each stands for.

    Args:
        points_hw3: (H, W, 3) float32, meters.
        valid_hw: (H, W) bool, the part.
        map_hw: (H, W) float32, the anomaly map.
        pixel_threshold: the map value above which a pixel is marked.
        most: how many points may remain.

    Returns:
        (N, 4) little-endian float32, row by row of the scan: x, y and z in meters relative to the mean of the points
        that remain, and the anomaly as a share of the threshold.
    """
    rows, columns = _steps(int(np.count_nonzero(valid_hw)), most)
    while np.count_nonzero(valid_hw[::rows, ::columns]) > most:
        rows, columns = (rows + 1, columns) if rows <= columns else (rows, columns + 1)
    row, column = np.nonzero(valid_hw[::rows, ::columns])
    row, column = row * rows, column * columns
    points = points_hw3[row, column].astype(np.float64)
    is_measured = np.isfinite(points).all(axis=-1)
    points, row, column = points[is_measured], row[is_measured], column[is_measured]
    cloud = np.empty((len(points), 4), "<f4")
    if len(points):
        cloud[:, :3] = points - points.mean(axis=0)
        cloud[:, 3] = _largest(map_hw, valid_hw, row, column, (rows, columns)) / max(pixel_threshold, _LEAST_THRESHOLD)
    return cloud


def _steps(count: int, most: int) -> tuple[int, int]:
    """Every how many rows and columns a pixel stays, so that about `most` of `count` do."""
    share = max(1.0, count / most)
    columns = max(1, math.floor(math.sqrt(share)))
    return max(1, math.ceil(share / columns - 1e-9)), columns


def _largest(
    map_hw: npt.NDArray[np.float32],
    valid_hw: npt.NDArray[np.bool_],
    row: npt.NDArray[np.intp],
    column: npt.NDArray[np.intp],
    block: tuple[int, int],
) -> npt.NDArray[np.float32]:
    """The largest valid value of the block of pixels that begins at each of some pixels."""
    largest = np.zeros(len(row), np.float32)
    for down in range(block[0]):
        for right in range(block[1]):
            # Beyond the edge the last pixel counts again.
            at = np.minimum(row + down, map_hw.shape[0] - 1), np.minimum(column + right, map_hw.shape[1] - 1)
            # fmax leaves out NaN.
            np.fmax(largest, map_hw[at], out=largest, where=valid_hw[at])
    return np.minimum(largest, _LARGEST)
