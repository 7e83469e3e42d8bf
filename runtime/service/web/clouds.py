"""The points of the newest inspections, for the page's 3D view: thinned, colored by anomaly, kept in memory."""

from __future__ import annotations

import logging
import math
import threading
from collections import OrderedDict, deque
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ...inspector import Inspection
from ..arrival import PartRecord

MOST_POINTS = 40_000
MOST_CLOUDS = 32
# Inspections that wait to be thinned are whole scans in memory.
_MOST_WAITING = 4

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
        """A result's cloud as (N, 4) little-endian float32, see `thinned`; None: there is none, or none any more.

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
        points_hw3: (H, W, 3) float32, metres.
        valid_hw: (H, W) bool, the part.
        map_hw: (H, W) float32, the anomaly map.
        pixel_threshold: the map value above which a pixel is marked.
        most: how many points may remain.

    Returns:
        (N, 4) little-endian float32, row by row of the scan: x, y and z in metres relative to the mean of the points
        that remain, and the anomaly as a share of the threshold.
    """
    rows, columns = _steps(int(np.count_nonzero(valid_hw)), most)
    while True:
        chosen = valid_hw[::rows, ::columns] & np.isfinite(points_hw3[::rows, ::columns]).all(axis=-1)
        if np.count_nonzero(chosen) <= most:
            break
        rows, columns = (rows + 1, columns) if rows <= columns else (rows, columns + 1)
    kept = points_hw3[::rows, ::columns][chosen].astype(np.float64)
    cloud = np.empty((len(kept), 4), "<f4")
    if len(kept):
        cloud[:, :3] = kept - kept.mean(axis=0)
        cloud[:, 3] = _largest(map_hw, valid_hw, rows, columns)[chosen] / max(pixel_threshold, 1e-30)
    return cloud


def _steps(count: int, most: int) -> tuple[int, int]:
    """Every how many rows and columns a pixel stays, so that about `most` of `count` do."""
    share = max(1.0, count / most)
    columns = max(1, math.floor(math.sqrt(share)))
    return max(1, math.ceil(share / columns - 1e-9)), columns


def _largest(
    map_hw: npt.NDArray[np.float32], valid_hw: npt.NDArray[np.bool_], rows: int, columns: int
) -> npt.NDArray[np.float32]:
    """The largest valid value of every block of rows x columns pixels, by its first pixel."""
    values = np.where(valid_hw, np.nan_to_num(map_hw, nan=0.0, posinf=np.finfo(np.float32).max), np.float32(0))
    starts = np.arange(0, map_hw.shape[0], rows), np.arange(0, map_hw.shape[1], columns)
    tall: npt.NDArray[np.float32] = np.maximum.reduceat(values, starts[0], axis=0)
    largest: npt.NDArray[np.float32] = np.maximum.reduceat(tall, starts[1], axis=1)
    return largest
