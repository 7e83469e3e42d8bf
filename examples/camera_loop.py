"""A camera's frames, inspected as they come: arrays from its thread, a verdict for each, and how long it took.

    python examples/camera_loop.py --bundle lid.cmdiad --scans recorded/ --period 0.5

The camera is simulated: it plays scan files as frames, arrays of (H, W, 3). A real one's driver takes the place of
`SimulatedCamera`.
"""

from __future__ import annotations

import argparse
import statistics
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, Full, Queue

import numpy as np
import tifffile
from cmdiad import CmdiadError, Inspector


@dataclass(frozen=True)
class Frame:
    """A frame, its number, and when it was exposed (seconds of `time.perf_counter`)."""

    number: int
    points: np.ndarray
    exposed_at: float


class SimulatedCamera:
    """Delivers a frame a period from a thread of its own; what nobody takes in time is dropped, and counted."""

    def __init__(self, scans: list[Path], period: float, n_frames: int) -> None:
        self.dropped = 0
        self._scans, self._period, self._n_frames = scans, period, n_frames
        # One waits while another is inspected. With more, verdicts come later and no more often.
        self._waiting: Queue[Frame] = Queue(maxsize=1)
        self._ended = threading.Event()

    def __enter__(self) -> SimulatedCamera:
        threading.Thread(target=self._deliver, name="camera", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()

    def frames(self) -> Iterator[Frame]:
        """Frames as they come, until the camera has ended and nothing waits."""
        while True:
            try:
                yield self._waiting.get(timeout=0.05)
            except Empty:
                if self._ended.is_set() and self._waiting.empty():
                    return

    def _deliver(self) -> None:
        recorded = [tifffile.imread(scan) for scan in self._scans]
        for number in range(self._n_frames):
            if self._ended.wait(self._period):
                break
            # A frame that waits needs memory of its own; once `inspect` has it, a driver may write over it.
            frame = Frame(number, recorded[number % len(recorded)].copy(), time.perf_counter())
            try:
                self._waiting.put_nowait(frame)
            except Full:
                self.dropped += 1
        self._ended.set()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", required=True)
    parser.add_argument("--scans", type=Path, required=True, help="a folder of TIFF scans that the camera plays")
    parser.add_argument("--period", type=float, default=0.5, help="seconds from frame to frame")
    parser.add_argument("--frames", type=int, default=20)
    options = parser.parse_args()
    scans = sorted(options.scans.glob("*.tiff"))
    if not scans:
        parser.error(f"{options.scans}: there is no TIFF here")

    latencies = []
    with Inspector.load(options.bundle) as inspector:
        inspector(scans[0])  # the first one also warms caches and threads up
        with SimulatedCamera(scans, options.period, options.frames) as camera:
            for frame in camera.frames():
                try:
                    inspection = inspector.inspect(frame.points, part_id=f"frame {frame.number}")
                except CmdiadError as error:  # no part in view, for example: the loop goes on
                    print(error)
                    continue
                latencies.append(time.perf_counter() - frame.exposed_at)
                verdict = "DEFECT" if inspection.is_defect else "good"
                print(f"{inspection.part_id}: {verdict}, score {inspection.score:.3f}, {1e3 * latencies[-1]:.0f} ms")
    if latencies:
        median, worst = 1e3 * statistics.median(latencies), 1e3 * max(latencies)
        print(f"{len(latencies)} verdicts, {median:.0f} ms in the median, {worst:.0f} ms at worst")
    print(f"{camera.dropped} frames dropped because a verdict takes longer than the period")


if __name__ == "__main__":
    main()
