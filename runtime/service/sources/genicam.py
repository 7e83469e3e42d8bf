"""A GenICam 3D camera: every frame that it delivers is a part. Needs `harvesters`, of the extra `genicam`.

Written against harvesters 1.4 and tested against a double of it: not run with a real producer yet. The camera is used
as it is set up (its trigger, its exposure, its pixel format); numbers are inspected as it delivers them, by the unit
and the geometry of the product's bundle.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...errors import BusyError, CmdiadError, MachineError, ScanError, UsageError
from ...sensor.readers.limits import check_grid
from ..arrival import Arrival, FileVersion, RawPoints

_log = logging.getLogger(__name__)

# By PFNC: type, numbers a pixel, and whether all of one coordinate come before the next.
_FORMATS = {
    "Coord3D_ABC32f": ("<f4", 3, False),
    "Coord3D_ABC32f_Planar": ("<f4", 3, True),
    "Coord3D_ABC16": ("<u2", 3, False),
    "Coord3D_ABC16_Planar": ("<u2", 3, True),
    "Coord3D_C32f": ("<f4", 1, False),
    "Coord3D_C16": ("<u2", 1, False),
}
_RETRY_SECONDS = 2.0

Fetch = Callable[[float], AbstractContextManager[Any] | None]
"""Seconds to wait in; what holds the next buffer while it is open out, None if none came."""


@dataclass(frozen=True)
class CameraSettings:
    """A camera of the line file; see `line_file.CameraTable`.

    Attributes:
        name: of the source.
        producer: the vendor's GenTL producer, a .cti file.
        serial: of the camera; None: the only one.
        product: what inspects its frames; None: the first product.
        wait_seconds: how long a frame is waited for at a time.
    """

    name: str
    producer: Path
    serial: str | None = None
    product: str | None = None
    wait_seconds: float = 1.0


@contextmanager
def opened_camera(settings: CameraSettings) -> Iterator[Fetch]:
    """A camera that delivers frames while the block runs.

    Raises:
        UsageError: `harvesters` is not installed, or there is no such producer.
        MachineError: no camera, or several of which none was chosen.
    """
    require_harvesters()
    from harvesters.core import Harvester

    if not settings.producer.is_file():
        raise UsageError(f"{settings.producer}: there is no such GenTL producer: install the camera's software")
    harvester = Harvester()
    try:
        harvester.add_file(str(settings.producer))
        harvester.update()
        place = _chosen([str(device.serial_number) for device in harvester.device_info_list], settings.serial)
        camera = harvester.create(place)
        try:
            camera.start()
            yield lambda seconds: camera.try_fetch(timeout=seconds)
        finally:
            camera.stop()
            camera.destroy()
    finally:
        harvester.reset()


@dataclass
class GenicamCamera:
    """One camera at work on a thread of its own; what it delivers is not kept anywhere before it is inspected.

    Attributes:
        settings: what was asked.
        submit: takes a part; raises `BusyError` while too many wait.
        opened: opens a camera, and closes it again.
        problem: why no frame can come now, or that frames were lost; None: all is well.
        lost: frames that could not be inspected.
    """

    settings: CameraSettings
    submit: Callable[[Arrival], object]
    opened: Callable[[CameraSettings], AbstractContextManager[Fetch]] = opened_camera
    problem: str | None = None
    lost: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    @property
    def name(self) -> str:
        """Of the source."""
        return self.settings.name

    def start(self) -> None:
        """Take frames from now on."""
        self._thread = threading.Thread(target=self._run, name=f"camera {self.name}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Take nothing more."""
        self._stop.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def finished(self, version: FileVersion, number: int, is_rejected: bool) -> None:
        """Nothing is left to do: a frame has no file."""

    def as_json(self) -> dict[str, Any]:
        """One object of `/v1/status`."""
        return {"name": self.name, "problem": self.problem, "lost": self.lost}

    def notices(self) -> list[str]:
        """None: what is lost stands in `problem` first, and in `lost` from then on."""
        return []

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                with self.opened(self.settings) as fetch:
                    self.problem = None
                    self._take_frames(fetch)
            except Exception as error:  # a producer raises what it likes, and the line goes on without its camera
                self._tell(f"camera {self.name}: {error}: it is being reopened")
                self._stop.wait(_RETRY_SECONDS)

    def _take_frames(self, fetch: Fetch) -> None:
        while not self._stop.is_set():
            held = fetch(self.settings.wait_seconds)
            if held is None:
                continue
            with held as buffer:
                try:
                    numbers = numbers_of(buffer.payload.components)
                except ScanError as error:
                    self._lose(f"a frame {error}")
                    continue
            self._submit(numbers)

    def _submit(self, numbers: npt.NDArray[Any]) -> None:
        stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
        scan = f"{self.name}_{stamp}_{time.time_ns() // 1_000_000 % 1000:03d}"
        try:
            self.submit(Arrival(self.name, scan, content=RawPoints(numbers), product=self.settings.product))
        except BusyError as error:
            self._lose(f"a frame was not inspected: {error}")
        except CmdiadError as error:
            self._lose(f"a frame was not accepted: {error}")
        else:
            self.problem = None

    def _lose(self, why: str) -> None:
        self.lost += 1
        self._tell(f"camera {self.name}: {why} ({self.lost} lost since the start)")

    def _tell(self, problem: str) -> None:
        if problem != self.problem:
            _log.warning("%s", problem, extra={"source": self.name})
        self.problem = problem


def numbers_of(components: list[Any]) -> npt.NDArray[Any]:
    """The coordinates among a buffer's components, as they were delivered, in memory of their own.

    Returns:
        (H, W, 3) float32 or uint16 of Coord3D_ABC; (H, W) of Coord3D_C, a depth or a height.

    Raises:
        ScanError: there are none, or not as many as the frame has pixels.
    """
    for component in components:
        if component.data_format in _FORMATS:
            return _numbers(component)
    formats = ", ".join(str(component.data_format) for component in components) or "nothing"
    raise ScanError(f"holds {formats}, no 3D coordinates: set its PixelFormat to Coord3D_ABC32f or Coord3D_C16")


def _numbers(component: Any) -> npt.NDArray[Any]:
    kind, per_pixel, is_planar = _FORMATS[component.data_format]
    height, width = int(component.height), int(component.width)
    check_grid(height, width)
    data = np.ascontiguousarray(component.data)
    numbers = data if data.dtype == np.dtype(kind) else np.frombuffer(data.tobytes(), kind)
    if numbers.size != height * width * per_pixel:
        raise ScanError(f"has {numbers.size} numbers for {height} x {width} pixels of {component.data_format}")
    if per_pixel == 1:
        return numbers.reshape(height, width).copy()
    if is_planar:
        return np.moveaxis(numbers.reshape(per_pixel, height, width), 0, -1).copy()
    return numbers.reshape(height, width, per_pixel).copy()


def require_harvesters() -> None:
    """Refuse what needs a camera where there is no package for it.

    Raises:
        UsageError: `harvesters` is not installed.
    """
    if find_spec("harvesters") is None:
        raise UsageError("cameras need the package harvesters: pip install 'cmdiad[genicam]'")


def _chosen(serials: list[str], wanted: str | None) -> int:
    """Which of the cameras is meant."""
    listed = ", ".join(serials) or "none"
    if wanted is not None and wanted not in serials:
        raise MachineError(f"there is no camera with serial {wanted} (found: {listed}): check its cable and power")
    if wanted is None and len(serials) != 1:
        raise MachineError(f"one camera is needed, but there are {len(serials)} ({listed}): set `serial`")
    return 0 if wanted is None else serials.index(wanted)
