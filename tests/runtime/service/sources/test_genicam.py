"""A GenICam camera as a source, against a double of harvesters: no producer is at hand."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from cmdiad.runtime.errors import BusyError, MachineError, ScanError, UsageError
from cmdiad.runtime.service.arrival import Arrival, RawPoints
from cmdiad.runtime.service.sources import genicam
from cmdiad.runtime.service.sources.genicam import CameraSettings, Fetch, GenicamCamera, numbers_of, opened_camera

POINTS = np.random.default_rng(0).normal(size=(4, 6, 3)).astype(np.float32)
DEPTH = np.arange(24, dtype=np.uint16).reshape(4, 6)
SETTINGS = CameraSettings("cell", Path("vendor.cti"), wait_seconds=0.01)


def component(kind: str, data: np.ndarray, height: int = 4, width: int = 6) -> SimpleNamespace:
    return SimpleNamespace(data_format=kind, data=data.reshape(-1), height=height, width=width)


class Buffer:
    """What harvesters hands out: its memory is the producer's again once it is closed."""

    def __init__(self, *components: Any) -> None:
        self.payload = SimpleNamespace(components=list(components))

    def __enter__(self) -> Buffer:
        return self

    def __exit__(self, *_: object) -> None:
        for part in self.payload.components:
            part.data[:] = 0


def frame() -> Buffer:
    return Buffer(component("Mono8", np.zeros(24, np.uint8)), component("Coord3D_ABC32f", POINTS.copy()))


@pytest.mark.parametrize(
    ("kind", "stored", "expected"),
    [
        ("Coord3D_ABC32f", POINTS, POINTS),
        ("Coord3D_ABC32f_Planar", np.ascontiguousarray(np.moveaxis(POINTS, -1, 0)), POINTS),
        ("Coord3D_ABC32f", POINTS.view(np.uint8), POINTS),
        ("Coord3D_C16", DEPTH, DEPTH),
        ("Coord3D_C32f", DEPTH.astype(np.float32), DEPTH),
        ("Coord3D_ABC16", np.stack([DEPTH] * 3, -1), np.stack([DEPTH] * 3, -1)),
    ],
    ids=["points", "planes", "bytes", "depth", "float depth", "integer points"],
)
def test_coordinates_are_taken_as_they_were_delivered(kind: str, stored: np.ndarray, expected: np.ndarray) -> None:
    given = component(kind, stored.copy())
    numbers = numbers_of([component("Mono8", np.zeros(24, np.uint8)), given])
    given.data[:] = 0
    np.testing.assert_array_equal(numbers, expected)


@pytest.mark.parametrize(
    ("components", "says"),
    [
        ([component("Mono8", np.zeros(24, np.uint8))], "holds Mono8, no 3D coordinates: set its PixelFormat"),
        ([], "holds nothing"),
        ([component("Coord3D_C16", DEPTH[:3])], "has 18 numbers for 4 x 6 pixels"),
        ([component("Coord3D_C16", DEPTH, 0, 6)], "0 x 6"),
    ],
    ids=["gray", "nothing", "too few", "no rows"],
)
def test_a_frame_without_coordinates_is_refused(components: list[Any], says: str) -> None:
    with pytest.raises(ScanError, match=says):
        numbers_of(components)


def delivering(*frames: Any) -> tuple[Callable[[CameraSettings], Any], threading.Event]:
    """A camera of these frames (None: none came, an error: it fails), and what is set when all were asked for."""
    waiting, done = list(frames), threading.Event()

    @contextmanager
    def opened(_: CameraSettings) -> Iterator[Fetch]:
        def fetch(seconds: float) -> Any:
            if not waiting:
                done.set()
                return None
            following = waiting.pop(0)
            if isinstance(following, Exception):
                raise following
            return following

        yield fetch

    return opened, done


def run(camera: GenicamCamera, done: threading.Event) -> None:
    camera.start()
    assert done.wait(20)
    camera.stop()


def test_every_frame_is_submitted_once_with_a_name_of_its_own_camera() -> None:
    opened, done = delivering(frame(), None, frame())
    submitted: list[Arrival] = []
    camera = GenicamCamera(SETTINGS, submitted.append, opened)
    run(camera, done)
    assert [arrival.source for arrival in submitted] == ["cell", "cell"]
    for arrival in submitted:
        assert arrival.scan.startswith("cell_20") and isinstance(arrival.content, RawPoints)
        np.testing.assert_array_equal(arrival.content.points, POINTS)
    assert (camera.problem, camera.lost) == (None, 0)


def test_a_frame_that_cannot_be_taken_is_counted_and_told() -> None:
    def busy(_: Arrival) -> None:
        raise BusyError("32 requests wait")

    opened, done = delivering(frame(), Buffer(component("Mono8", np.zeros(24, np.uint8))))
    camera = GenicamCamera(SETTINGS, busy, opened)
    run(camera, done)
    assert camera.lost == 2
    assert camera.problem is not None and "holds Mono8" in camera.problem and "2 lost" in camera.problem


def test_a_camera_that_fails_is_opened_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(genicam, "_RETRY_SECONDS", 0.01)
    opened, done = delivering(RuntimeError("the cable is out"), frame())
    submitted: list[Arrival] = []
    camera = GenicamCamera(SETTINGS, submitted.append, opened)
    run(camera, done)
    assert len(submitted) == 1 and camera.problem is None


class Harvester:
    """A double of `harvesters.core.Harvester` with two cameras."""

    log: list[str]

    def __init__(self) -> None:
        self.device_info_list = [SimpleNamespace(serial_number=serial) for serial in ("A1", "B2")]

    def add_file(self, path: str) -> None:
        self.log.append(f"add {Path(path).name}")

    def update(self) -> None:
        self.log.append("update")

    def create(self, place: int) -> SimpleNamespace:
        note = self.log.append
        return SimpleNamespace(
            start=lambda: note(f"start {place}"),
            stop=lambda: note("stop"),
            destroy=lambda: note("destroy"),
            try_fetch=lambda timeout: frame(),
        )

    def reset(self) -> None:
        self.log.append("reset")


@pytest.fixture
def harvesters(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    package, core = ModuleType("harvesters"), ModuleType("harvesters.core")
    core.Harvester = type("Harvester", (Harvester,), {"log": []})  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "harvesters", package)
    monkeypatch.setitem(sys.modules, "harvesters.core", core)
    monkeypatch.setattr(genicam, "find_spec", lambda _: package)
    return core.Harvester.log  # type: ignore[attr-defined]


def test_a_camera_is_opened_by_its_serial_and_let_go_of(harvesters: list[str], tmp_path: Path) -> None:
    producer = tmp_path / "vendor.cti"
    producer.write_bytes(b"")
    with opened_camera(CameraSettings("cell", producer, serial="B2")) as fetch:
        buffer = fetch(0.1)
        assert buffer is not None
    assert harvesters == ["add vendor.cti", "update", "start 1", "stop", "destroy", "reset"]


@pytest.mark.parametrize(
    ("serial", "says"),
    [("C3", r"no camera with serial C3 \(found: A1, B2\)"), (None, r"there are 2 \(A1, B2\): set `serial`")],
    ids=["another", "none named"],
)
def test_the_wrong_camera_is_never_taken(harvesters: list[str], tmp_path: Path, serial: str | None, says: str) -> None:
    producer = tmp_path / "vendor.cti"
    producer.write_bytes(b"")
    with pytest.raises(MachineError, match=says), opened_camera(CameraSettings("cell", producer, serial=serial)):
        pass
    assert harvesters[-1] == "reset"


def test_what_is_missing_is_named(harvesters: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such GenTL producer"), opened_camera(SETTINGS):
        pass
    monkeypatch.setattr(genicam, "find_spec", lambda _: None)
    with pytest.raises(UsageError, match=r"pip install 'cmdiad\[genicam\]'"), opened_camera(SETTINGS):
        pass
