"""Every key of `sensor.toml`: its type, its unit, what it means, and what one may write; docs/sensors.md says more."""

from __future__ import annotations

import difflib
import types
import typing
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from ..bundle.parameters import Preprocessing, Sensor
from ..bundle.scan_geometry import ScanGeometry


class SensorTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[sensor]: which sensor it is; the attributes are those of `SensorIdentity`, and the files' unit."""

    name: str = ""
    preset: Sensor = "structured-light"
    metres_per_unit: float | None = None
    pixel_pitch_m: float | None = None


TABLES: dict[str, type[msgspec.Struct]] = {
    "sensor": SensorTable,
    "geometry": ScanGeometry,
    "preprocessing": Preprocessing,
}
# These fields of `Preprocessing` have their place in other tables.
_ELSEWHERE = ("metres_per_unit", "geometry")


class KeyText(NamedTuple):
    """What a user is told about a key: its unit ("" for none), its meaning, and a value to write where it has none."""

    unit: str
    meaning: str
    example: str = ""


KEY_TEXTS: dict[str, KeyText] = {
    "sensor.name": KeyText("", "What people call the sensor; messages and the bundle name it."),
    "sensor.preset": KeyText("", "Supplies every value that this file does not give."),
    "sensor.metres_per_unit": KeyText(
        "m", "Length of one unit of the scan files: 0.001 for millimeters. Integers need it.", "0.001"
    ),
    "sensor.pixel_pitch_m": KeyText(
        "m", "Distance between neighboring pixels on the part. Lengths that are not given follow it.", "0.0006"
    ),
    "geometry.intrinsics": KeyText(
        "px", "Pinhole camera: an image with one number per pixel is read as a depth image.",
        "{ fx = 600.0, fy = 600.0, cx = 319.5, cy = 239.5 }",
    ),
    "geometry.intrinsics.fx": KeyText("px", "Focal length along the rows."),
    "geometry.intrinsics.fy": KeyText("px", "Focal length along the columns."),
    "geometry.intrinsics.cx": KeyText("px", "Column of the principal point, counted from 0."),
    "geometry.intrinsics.cy": KeyText("px", "Row of the principal point, counted from 0."),
    "geometry.height_grid": KeyText(
        "file's", "Height map: an image with one number per pixel is read as heights on a grid.",
        "{ x_pitch = 0.1, y_pitch = 0.1, z_scale = 0.001, z_offset = 0.0 }",
    ),
    "geometry.height_grid.x_pitch": KeyText("file's", "From one column to the next."),
    "geometry.height_grid.y_pitch": KeyText("file's", "From one row to the next."),
    "geometry.height_grid.z_scale": KeyText("file's", "Height of one step of the stored number; negative: deeper."),
    "geometry.height_grid.z_offset": KeyText("file's", "Height that the number 0 stands for."),
    "geometry.depth_scale": KeyText("file's", "For depth images: depth of one step of the stored number.", "1.0"),
    "geometry.axes": KeyText("", "Which stored axis becomes x, y and z, each with a sign."),
    "geometry.missing": KeyText(
        "", "Stored numbers that mark missing points, such as -9999 or 1e30. NaN, infinity and (0, 0, 0) always do.",
    ),
    "geometry.near_m": KeyText("m", "Points with a smaller z count as not measured.", "0.2"),
    "geometry.far_m": KeyText("m", "Points with a larger z count as not measured.", "1.5"),
    "geometry.grid": KeyText("px", "Width and height of the grid of points stored row by row.", "[640, 480]"),
    "geometry.projection": KeyText(
        "", "Image that points without any order are projected to.",
        '{ model = "orthographic", width = 640, height = 480, pitch = 0.5 }',
    ),
    "geometry.projection.model": KeyText("", "orthographic, or pinhole with the intrinsics."),
    "geometry.projection.width": KeyText("px", "Columns of the image."),
    "geometry.projection.height": KeyText("px", "Rows of the image."),
    "geometry.projection.pitch": KeyText("file's", "Side length of a pixel; orthographic only."),
    "geometry.projection.center": KeyText("file's", "x and y of the image's center; orthographic only."),
    "geometry.projection.viewed_from": KeyText("", "Side the sensor is on; orthographic only."),
    "geometry.topic": KeyText("", "The topic of a recording that holds the clouds.", '"/camera/points"'),
    "geometry.message": KeyText("", "Which cloud of the topic, counted from 0.", "0"),
    "preprocessing.plane": KeyText(
        "", "Scans are raw and the supporting plane is removed (always), or were preprocessed (never).",
    ),
    "preprocessing.side": KeyText("", "Side of the plane that parts stand on: the origin's, or the grid viewer's."),
    "preprocessing.border_pixels": KeyText("px", "Width of the image border in which the plane is searched."),
    "preprocessing.border_valid_share": KeyText(
        "share", "If less of that border was measured, the outermost measured pixels are the border.",
    ),
    "preprocessing.ransac_threshold_m": KeyText("m", "A point this near a plane is on it: about 4 times the noise."),
    "preprocessing.ransac_iterations": KeyText("planes", "How many planes are tried."),
    "preprocessing.ransac_sample": KeyText("points", "Points from which each plane is tried."),
    "preprocessing.refine_on": KeyText("", "Points that refine the plane: scan if the border is mostly missing."),
    "preprocessing.plane_distance_m": KeyText("m", "Points closer than this above the plane are removed."),
    "preprocessing.cluster_distance_m": KeyText("m", "Neighbors this close belong to one object: ten pixels or more."),
    "preprocessing.cluster_min_points": KeyText("px", "The smallest piece that does not count as noise."),
    "preprocessing.pad_multiple": KeyText("px", "The side of the padded square is a multiple of this."),
    "preprocessing.roi": KeyText(
        "px", "Region of interest: rectangle of the scan in which parts are looked for, or a mask image's file.",
        "{ row = 40, column = 60, height = 200, width = 300 }",
    ),
    "preprocessing.roi.row": KeyText("px", "First row, counted from 0."),
    "preprocessing.roi.column": KeyText("px", "First column, counted from 0."),
    "preprocessing.roi.height": KeyText("px", "Number of rows."),
    "preprocessing.roi.width": KeyText("px", "Number of columns."),
    "preprocessing.roi.scan": KeyText("px", "Height and width of a mask; not given for a rectangle."),
    "preprocessing.roi.runs": KeyText("px", "A mask, row by row: pixels out, pixels in, and so on."),
    "preprocessing.parts": KeyText("", "One part per scan, or every object that resembles the product."),
    "preprocessing.window": KeyText("", "What the networks see of a scan: all of it, or a square around the part."),
    "preprocessing.window_pixels": KeyText(
        "px", "Side of that square; calibration sets it if it is left out.", "400"
    ),
    "preprocessing.seed": KeyText("", "Random seed of the search for the plane."),
}  # fmt: skip


def keys_of(table: str) -> dict[str, Any]:
    """The keys of a table with their types, in order."""
    hints = typing.get_type_hints(TABLES[table])
    dropped = _ELSEWHERE if table == "preprocessing" else ()
    return {
        field.name: hints[field.name] for field in msgspec.structs.fields(TABLES[table]) if field.name not in dropped
    }


def all_keys() -> Iterator[str]:
    """Every key with its table, those inside of inline tables too.

    Example:
        >>> "geometry.intrinsics.fx" in set(all_keys())
        True
    """
    for table in TABLES:
        for name, kind in keys_of(table).items():
            yield f"{table}.{name}"
            for inner in inner_keys(kind):
                yield f"{table}.{name}.{inner}"


def inner_keys(kind: Any) -> dict[str, Any]:
    """The keys of a value that is an inline table with their types; none elsewhere."""
    known = without_none(kind)
    if not (isinstance(known, type) and issubclass(known, msgspec.Struct)):
        return {}
    hints = typing.get_type_hints(known)
    return {field.name: hints[field.name] for field in msgspec.structs.fields(known)}


def without_none(kind: Any) -> Any:
    """The type that an optional value has when it is given."""
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        return next(option for option in typing.get_args(kind) if option is not types.NoneType)
    return kind


def is_optional(kind: Any) -> bool:
    """Whether a value may be left open."""
    return types.NoneType in typing.get_args(kind)


def did_you_mean(key: str) -> str:
    """The key that was meant, as the end of a sentence.

    Example:
        >>> did_you_mean("preprocesing.plane")
        'did you mean preprocessing.plane?'
    """
    known = list(all_keys())
    last = key.rpartition(".")[2]
    same = [name for name in known if name.rpartition(".")[2] == last]
    near = same or difflib.get_close_matches(key, known, 1) or _near_last(last, known)
    return f"did you mean {near[0]}?" if near else f"the tables are {', '.join(TABLES)}; see docs/sensors.md"


def _near_last(last: str, known: list[str]) -> list[str]:
    by_name = {name.rpartition(".")[2]: name for name in known}
    return [by_name[name] for name in difflib.get_close_matches(last, list(by_name), 1)]
