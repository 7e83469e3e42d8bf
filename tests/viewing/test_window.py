"""The window of Open3D: tried with it where it is installed, and with a double everywhere."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from cmdiad.runtime.errors import MachineError
from cmdiad.viewing.scene import Panel, Scene
from cmdiad.viewing.window import open_window, show


@pytest.fixture
def scene() -> Scene:
    rows, columns = np.mgrid[:60, :80] * 1e-3
    points = np.stack([columns, rows, np.full_like(rows, 0.4)], -1).astype(np.float32)
    points[0, 0] = 0
    panels = tuple(
        Panel(title, np.full((60, 80, 3), color, np.uint8)) for title, color in (("a", (250, 0, 0)), ("b", (0, 0, 250)))
    )
    return Scene(points, (0.0, 0.0, 0.0), np.ones((60, 80), np.bool_), np.zeros((60, 80), np.float32), 1.0, panels)


class Window:
    """What is used of Open3D's window; it is closed at its third frame."""

    opens = True

    def __init__(self) -> None:
        self.clouds: list[Any] = []
        self.polls = 0
        self.frames = 0
        self.is_destroyed = False
        self.options = SimpleNamespace()
        self.camera: dict[str, Any] = {}

    def create_window(self, title: str, width: int, height: int, visible: bool) -> bool:
        return self.opens

    def add_geometry(self, cloud: Any) -> None:
        self.clouds.append(cloud)

    def get_render_option(self) -> SimpleNamespace:
        return self.options

    def get_view_control(self) -> Any:
        names = ("front", "up", "lookat", "zoom")
        return SimpleNamespace(
            **{f"set_{name}": lambda value, name=name: self.camera.__setitem__(name, value) for name in names}
        )

    def poll_events(self) -> bool:
        self.polls += 1
        return self.polls <= 3

    def update_renderer(self) -> None:
        self.frames += 1

    def destroy_window(self) -> None:
        self.is_destroyed = True


@pytest.fixture
def window(monkeypatch: pytest.MonkeyPatch) -> Window:
    double = Window()
    module = SimpleNamespace(
        visualization=SimpleNamespace(Visualizer=lambda: double),
        geometry=SimpleNamespace(PointCloud=lambda points: SimpleNamespace(points=points)),
        utility=SimpleNamespace(Vector3dVector=np.asarray),
    )
    monkeypatch.setitem(sys.modules, "open3d", module)
    monkeypatch.setenv("DISPLAY", ":0")
    return double


def test_panels_stand_side_by_side_and_the_window_is_there_until_it_is_closed(scene: Scene, window: Window) -> None:
    show(scene, "scan.tiff")
    assert window.frames == 3 and window.is_destroyed
    first, second = window.clouds
    assert len(first.points) == 60 * 80 - 1
    assert second.points[:, 0].min() > first.points[:, 0].max()
    np.testing.assert_allclose(first.colors[0], np.array([250, 0, 0]) / 255)
    assert first.points[:, 0].max() < window.camera["lookat"][0] < second.points[:, 0].min()
    assert window.camera["front"][2] < 0 and window.camera["up"][1] < 0


def test_without_a_display_nothing_is_drawn_for_nobody(
    scene: Scene, window: Window, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DISPLAY")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    with pytest.raises(MachineError, match=r"no display.*--save"):
        show(scene, "scan.tiff")
    assert window.frames == 0


def test_a_window_that_does_not_open_is_said(scene: Scene, window: Window) -> None:
    window.opens = False
    with pytest.raises(MachineError, match="no window can be opened"):
        show(scene, "scan.tiff")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_open3d_draws_both_panels(scene: Scene) -> None:
    """Off-screen (EGL) or on whatever display there is."""
    pytest.importorskip("open3d", exc_type=ImportError)
    try:
        opened = open_window(scene, "scan.tiff", visible=False)
    except MachineError:
        pytest.skip("no display and no EGL here")
    opened.poll_events()
    opened.update_renderer()
    picture = np.asarray(opened.capture_screen_float_buffer(True))
    opened.destroy_window()
    red, blue = (picture[..., 0] - picture[..., 2] > 0.5), (picture[..., 2] - picture[..., 0] > 0.5)
    assert red.sum() > 1000 and blue.sum() > 1000
    assert np.nonzero(red)[1].max() < np.nonzero(blue)[1].min()
