"""A scene in a window of Open3D, which is imported here and nowhere else: the panels side by side, to be turned."""

from __future__ import annotations

import os
import sys
import time
from typing import Any

import numpy as np
import numpy.typing as npt

from ..runtime.errors import MachineError
from .scene import Panel, Scene
from .splatting import Direction, direction_of

_SIZE = (1500, 700)
_GAP = 1.15
_BACKGROUND = (0.09, 0.09, 0.11)
_POINT_SIZE = 3.0
_ZOOM, _NEAREST = 1.15, 0.7
_FRAME_SECONDS = 0.01
_NO_WINDOW = "no window can be opened (no display, or no OpenGL): give --save PICTURE.png or --save CLOUD.ply"


def show(scene: Scene, title: str) -> None:
    """Open a window and wait until it is closed.

    Raises:
        MachineError: no window can be opened, as on a machine without a display.
    """
    _require_display()
    window = open_window(scene, title)
    # Its own loop, `run`, does not let Python see Ctrl-C.
    while window.poll_events():
        window.update_renderer()
        time.sleep(_FRAME_SECONDS)
    window.destroy_window()


def open_window(scene: Scene, title: str, visible: bool = True) -> Any:
    """Open a window with a scene in it and return it, an `open3d.visualization.Visualizer`.

    Raises:
        MachineError: no window can be opened.
    """
    import open3d

    window = open3d.visualization.Visualizer()
    if not window.create_window(title, *_SIZE, visible=visible):
        raise MachineError(_NO_WINDOW)
    direction = direction_of(scene.points)
    for number, panel in enumerate(scene.panels):
        window.add_geometry(_cloud(open3d, scene, panel, number, direction))
    points, step = scene.points[scene.measured].astype(np.float64), _step(scene, direction)
    options, camera = window.get_render_option(), window.get_view_control()
    options.background_color, options.point_size = np.array(_BACKGROUND), _POINT_SIZE
    camera.set_front(-direction.away + 0.5 * direction.down)
    camera.set_up(-direction.down)
    camera.set_lookat(points.mean(axis=0) + (len(scene.panels) - 1) / 2 * step)
    camera.set_zoom(min(_NEAREST, _ZOOM / len(scene.panels)))
    return window


def _require_display() -> None:
    """Refuse before Open3D draws where nobody sees it: without a display it does so without a word, and for ever.

    Raises:
        MachineError: there is none.
    """
    if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise MachineError(_NO_WINDOW)


def _step(scene: Scene, direction: Direction) -> npt.NDArray[np.float64]:
    """(3,) from a panel to the next, meters."""
    step: npt.NDArray[np.float64] = _GAP * np.ptp(scene.points[scene.measured] @ direction.right) * direction.right
    return step


def _cloud(open3d: Any, scene: Scene, panel: Panel, number: int, direction: Direction) -> Any:
    """One panel's points, beside those of the panels before it."""
    shown = scene.measured
    points = scene.points[shown].astype(np.float64) + number * _step(scene, direction)
    cloud = open3d.geometry.PointCloud(open3d.utility.Vector3dVector(points))
    cloud.colors = open3d.utility.Vector3dVector(panel.picture[shown] / 255)
    return cloud
