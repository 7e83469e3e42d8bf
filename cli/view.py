"""`cmdiad view`: one scan to look at, with what was taken as the part and the heat of its anomalies."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..runtime.bundle.parameters import Plane
from . import console, options
from .extras import VIZ, require_extras
from .line_options import as_assignments

if TYPE_CHECKING:
    from ..runtime.bundle.parameters import Preprocessing
    from ..viewing.scene import Scene

_BundleOption = Annotated[
    Path | None, typer.Option(help="Bundle whose parameters, verdict and heat are shown.  [default: none]")
]
_SensorOption = Annotated[
    str | None,
    typer.Option(
        metavar="FILE|PRESET",
        help="Without a bundle: a sensor's file, or a preset of the parameters.  [default: structured-light]",
    ),
]
_PlaneOption = Annotated[Plane, typer.Option(help="Without a bundle: whether to remove the plane that parts stand on.")]
_SaveOption = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Write a picture (.png) or a cloud (.ply) instead of opening a window."),
]


def view(
    scan: Annotated[Path, typer.Argument(metavar="SCAN", help="A scan file.")],
    bundle: _BundleOption = None,
    sensor: _SensorOption = None,
    metres_per_unit: options.Scale = None,
    plane: _PlaneOption = "auto",
    roi: options.Roi = None,
    parts: options.Parts = None,
    save: _SaveOption = None,
    json: options.Json = False,
) -> None:
    """Show a scan, the part in it and, with a bundle, the heat of its anomalies.

    The window needs the extra `viz` (Open3D); --save needs neither that nor a display.

    Exit codes: 0 done, 2 wrong usage, 3 there is no part in the scan, or it cannot be read, 4 bad bundle, 71 there is
    no display.
    """
    from ..runtime.errors import UsageError
    from ..viewing.scene import look_at_scan, look_with_bundle

    if save is not None and save.suffix.lower() not in (".png", ".ply"):
        raise UsageError(f"--save {save}: give a name that ends in .png for a picture, or .ply for a cloud")
    if save is None:
        require_extras("view", VIZ)
    told = as_assignments(plane=None if plane == "auto" else plane, roi=roi, parts=parts)
    if bundle is None:
        scene = look_at_scan(scan, _parameters(sensor, metres_per_unit, told))
    else:
        if sensor is not None or metres_per_unit is not None or told:
            raise UsageError(
                "--sensor, --metres-per-unit, --plane, --roi and --parts are the bundle's: leave them or --bundle out"
            )
        from ..runtime.bundle.reading import find_bundle, open_bundle

        scene = look_with_bundle(scan, open_bundle(find_bundle(bundle)))
    _report(scan, scene, save, json)
    if save is None:
        from ..viewing.window import show

        show(scene, str(scan))
    if scene.error is not None:
        console.complain(f"{scan}: {scene.error}")
        sys.exit(scene.error.exit_code)


def _parameters(sensor: str | None, metres_per_unit: float | None, told: list[str]) -> Preprocessing:
    from ..runtime.sensor.sensor_file import open_sensor

    return open_sensor(sensor or "structured-light", told, metres_per_unit).preprocessing


def _report(scan: Path, scene: Scene, save: Path | None, json: bool) -> None:
    """Write what is to be written, and say what is seen."""
    if save is not None:
        _write(scene, save)
    if json:
        console.emit_json(_as_json(scan, scene, save))
        return
    height, width = scene.valid.shape
    console.emit(f"scan: {height} x {width} pixels, {scene.measured.mean():.1%} measured")
    if scene.view is not None:
        diameter = "" if scene.view.diameter_m is None else f", {1e3 * scene.view.diameter_m:.1f} mm across"
        others = f", {len(scene.view.other_objects)} other objects in view" if scene.view.other_objects else ""
        console.emit(f"part: {scene.view.part_pixels} pixels{diameter}{others}")
    if scene.inspection is not None:
        console.emit(f"{scene.panels[-1].title}, {scene.inspection.regions_found} regions above the pixel threshold")
    for remark in scene.remarks:
        console.warn(remark)
    if save is not None:
        console.emit(f"written: {save}")


def _write(scene: Scene, save: Path) -> None:
    if save.suffix.lower() == ".ply":
        from ..runtime.verdict.cloud import write_cloud

        write_cloud(save, scene, everything=True)
        return
    from ..viewing.splatting import write_picture

    write_picture(save, scene)


def _as_json(scan: Path, scene: Scene, save: Path | None) -> dict[str, Any]:
    from ..runtime.inspection import view_as_json

    height, width = scene.valid.shape
    seen: dict[str, Any] = {
        "scan": str(scan),
        "height": height,
        "width": width,
        "measured_pixels": int(scene.measured.sum()),
        "saved": None if save is None else str(save),
        "remarks": scene.remarks,
    }
    if scene.inspection is not None:
        seen |= scene.inspection.as_json()
    elif scene.view is not None:
        seen |= view_as_json(scene.view, scene.origin)
    if scene.error is not None:
        seen["error"] = {"kind": scene.error.kind, "message": str(scene.error)}
    return seen
