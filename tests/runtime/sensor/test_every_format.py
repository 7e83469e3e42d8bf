"""One part, written in every format, in three units and with three marks of missing points, is read as the same part.

The table of `docs/formats.md` is made here: run this file as a script to print it.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import numpy as np
import pytest
import tifffile
from cmdiad.runtime.bundle.parameters import Preprocessing
from cmdiad.runtime.bundle.reading import Bundle, open_bundle
from cmdiad.runtime.bundle.scan_geometry import AS_STORED, HeightGrid, Intrinsics, Projection, ScanGeometry
from cmdiad.runtime.errors import DamagedScanError
from cmdiad.runtime.inspector import Inspector
from cmdiad.runtime.sensor.part import POINTS, Part, part_from_bytes
from cmdiad.runtime.sensor.scan import Scan, read_scan, scan_from_bytes
from PIL import Image

DOCS = Path(__file__).resolve().parents[3] / "docs" / "formats.md"
UNITS = {"m": 1.0, "mm": 1e-3, "µm": 1e-6}
STEP = 1e-5  # metres, of integer depths and heights
MARK = -9999.0
PITCH = 4e-3
WIDTH, HEIGHT = 36, 28
CAMERA = Intrinsics(fx=90.0, fy=88.0, cx=17.25, cy=13.5)


@dataclass(frozen=True)
class Written:
    """A part to write.

    Attributes:
        points: (H, W, 3) float64, metres.
        steps: (H, W) int, its depths or heights in steps of STEP.
        measured: (H, W) bool.
        model: what its points are pixels of.
    """

    points: np.ndarray
    steps: np.ndarray
    measured: np.ndarray
    model: Intrinsics | HeightGrid


def bumpy(model: Intrinsics | HeightGrid) -> Written:
    """A bump on a slope with holes."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    bump = 3000 * np.exp(-((rows - 12) ** 2 + (columns - 15) ** 2) / 40)
    steps = np.rint((48000 if isinstance(model, Intrinsics) else 900) + 9 * rows - 11 * columns + bump).astype(int)
    measured = np.random.default_rng(3).random(steps.shape) > 0.1
    return part_of(steps, measured, model)


def part_of(steps: np.ndarray, measured: np.ndarray, model: Intrinsics | HeightGrid) -> Written:
    """The points of depths or heights."""
    rows, columns = np.mgrid[: steps.shape[0], : steps.shape[1]]
    z = steps * STEP
    if isinstance(model, Intrinsics):
        x, y = (columns - model.cx) / model.fx * z, (rows - model.cy) / model.fy * z
    else:
        x, y = (columns + 0.5) * model.x_pitch, (steps.shape[0] - rows - 0.5) * model.y_pitch
    points = np.stack([x, y, z], axis=-1)
    points[~measured] = 0
    return Written(points, steps, measured, model)


SEEN = bumpy(CAMERA)
SCANNED = bumpy(HeightGrid(x_pitch=PITCH, y_pitch=PITCH))


def in_unit(part: Written, unit: float, mark: float) -> np.ndarray:
    """(H, W, 3) numbers of a file, the missing ones marked."""
    return np.where(part.measured[..., None], part.points / unit, mark)


def npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def npz(**arrays: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    return stream.getvalue()


def tiff(array: np.ndarray, **options: object) -> bytes:
    stream = io.BytesIO()
    tifffile.imwrite(stream, array, **options)
    return stream.getvalue()


def png(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(array.astype(np.uint16)).save(stream, "PNG")
    return stream.getvalue()


def lines(points: np.ndarray, separator: str = " ", names: str = "", empty: str = "nan") -> bytes:
    rows = [separator.join(empty if np.isnan(value) else repr(value) for value in row) for row in flat(points).tolist()]
    return "\n".join([names] * bool(names) + rows).encode()


def flat(points: np.ndarray) -> np.ndarray:
    return points.reshape(-1, 3)


def ply(points: np.ndarray, kind: str, organized: bool = True) -> bytes:
    remarks = [f"obj_info num_cols {points.shape[1]}", f"obj_info num_rows {points.shape[0]}"] if organized else []
    axes = [f"property double {axis}" for axis in "xyz"]
    count = points.size // 3
    head = "\n".join(["ply", f"format {kind} 1.0", *remarks, f"element vertex {count}", *axes, "end_header\n"]).encode()
    if kind == "ascii":
        return head + lines(points)
    return head + points.astype(">f8" if "big" in kind else "<f8").tobytes()


def pcd(points: np.ndarray, kind: str) -> bytes:
    import imagecodecs

    height, width = points.shape[:2] if points.ndim == 3 else (1, len(points))
    head = (
        "# .PCD v.7 - Point Cloud Data file format\nVERSION .7\nFIELDS x y z\nSIZE 8 8 8\nTYPE F F F\nCOUNT 1 1 1\n"
        f"WIDTH {width}\nHEIGHT {height}\nVIEWPOINT 0 0 0 1 0 0 0\nPOINTS {width * height}\nDATA {kind}\n"
    ).encode()
    if kind == "ascii":
        return head + lines(points)
    if kind == "binary":
        return head + points.astype("<f8").tobytes()
    body = np.ascontiguousarray(flat(points).astype("<f8").T).tobytes()
    packed = bytes(imagecodecs.lzf_encode(body))
    return head + np.array([len(packed), len(body)], "<u4").tobytes() + packed


def ptx(points: np.ndarray) -> bytes:
    height, width = points.shape[:2]
    place = "0 0 0\n1 0 0\n0 1 0\n0 0 1\n1 0 0 0\n0 1 0 0\n0 0 1 0\n0 0 0 1\n"
    rows = [f"{x!r} {y!r} {z!r} 0.5" for x, y, z in flat(points.swapaxes(0, 1)).tolist()]
    return f"{width}\n{height}\n{place}".encode() + "\n".join(rows).encode()


def cloud_message(points: np.ndarray, types: object) -> object:
    """A PointCloud2 whose points have padding and a color behind them."""
    known = types.types
    layout = np.dtype({"names": ["y", "x", "z"], "formats": ["<f8"] * 3, "offsets": [0, 8, 16], "itemsize": 32})
    records = np.zeros(points.shape[:2], layout)
    for axis, name in enumerate("xyz"):
        records[name] = points[..., axis]
    field = known["sensor_msgs/msg/PointField"]
    stamp = known["builtin_interfaces/msg/Time"](sec=1, nanosec=2)
    frame = {"seq": 0} if "seq" in known["std_msgs/msg/Header"].__dataclass_fields__ else {}
    return known["sensor_msgs/msg/PointCloud2"](
        header=known["std_msgs/msg/Header"](**frame, stamp=stamp, frame_id="sensor"),
        height=points.shape[0],
        width=points.shape[1],
        fields=[field(name=name, offset=layout.fields[name][1], datatype=8, count=1) for name in "xyz"],
        is_bigendian=False,
        point_step=32,
        row_step=32 * points.shape[1],
        data=np.frombuffer(records.tobytes(), np.uint8),
        is_dense=False,
    )


def recorded(points: np.ndarray, kind: str, topics: tuple[str, ...] = ("/points",)) -> bytes:
    """A recording of the same cloud in each topic."""
    pytest.importorskip("rosbags")
    from rosbags.rosbag1 import Writer as BagWriter
    from rosbags.rosbag2 import StoragePlugin
    from rosbags.rosbag2 import Writer as McapWriter
    from rosbags.typesys import Stores, get_typestore

    types = get_typestore(Stores.ROS1_NOETIC if kind == "bag" else Stores.ROS2_HUMBLE)
    encode = types.serialize_ros1 if kind == "bag" else types.serialize_cdr
    name = "sensor_msgs/msg/PointCloud2"
    with TemporaryDirectory() as folder:
        place = Path(folder) / "record.bag"
        writer = BagWriter(place) if kind == "bag" else McapWriter(place, version=9, storage_plugin=StoragePlugin.MCAP)
        with writer:
            connections = {topic: writer.add_connection(topic, name, typestore=types) for topic in set(topics)}
            for stamp, topic in enumerate(topics):
                writer.write(connections[topic], stamp, bytes(encode(cloud_message(points, types), name)))
        return place.read_bytes() if kind == "bag" else next(place.glob("*.mcap")).read_bytes()


def shuffled(points: np.ndarray) -> np.ndarray:
    return np.random.default_rng(7).permutation(flat(points))


@dataclass(frozen=True)
class Case:
    """One way to write the part.

    Attributes:
        name: of the format and kind.
        setting: what the user must say, besides unit and mark.
        write: numbers of the points in the unit to a file.
        geometry: what is said.
        part: what is written.
    """

    name: str
    setting: str
    write: Callable[[np.ndarray], bytes]
    geometry: ScanGeometry = AS_STORED
    part: Written = SEEN


GRID = ScanGeometry(grid=(WIDTH, HEIGHT))
GRID_SET = "`geometry.grid`"
PINHOLE = ScanGeometry(intrinsics=CAMERA, projection=Projection(model="pinhole", width=WIDTH, height=HEIGHT))
CLOUDS = [
    Case("TIFF, x, y and z a pixel", "", lambda points: tiff(points, photometric="rgb")),
    Case("TIFF, the same in planes", "", lambda p: tiff(np.moveaxis(p, -1, 0), photometric="rgb", planarconfig=2)),
    Case("NPY (H, W, 3)", "", npy),
    Case("NPZ `points`", "", lambda points: npz(points=points, rgb=np.zeros(points.shape, np.uint8))),
    *(
        Case(f"PLY {name}, with rows and columns", "", lambda points, kind=kind: ply(points, kind))
        for name, kind in [
            ("text", "ascii"),
            ("little endian", "binary_little_endian"),
            ("big endian", "binary_big_endian"),
        ]
    ),
    *(
        Case(f"PCD {kind}", "", lambda points, kind=kind: pcd(points, kind))
        for kind in ("ascii", "binary", "binary_compressed")
    ),
    Case("PTX", "", ptx),
    Case("ROS 2 PointCloud2 in MCAP", "", lambda points: recorded(points, "mcap")),
    Case("ROS 1 bag of a PointCloud2", "", lambda points: recorded(points, "bag")),
    Case("PLY row by row", GRID_SET, lambda points: ply(points, "binary_little_endian", organized=False), GRID),
    Case("PCD of height 1", GRID_SET, lambda points: pcd(flat(points), "binary"), GRID),
    Case("NPY (N, 3)", GRID_SET, lambda points: npy(flat(points)), GRID),
    Case("XYZ, spaces", GRID_SET, lines, GRID),
    Case("TXT, tabs", GRID_SET, lambda points: lines(points, "\t"), GRID),
    Case("CSV, commas, names", GRID_SET, lambda points: lines(points, ",", "X,Y,Z", ""), GRID),
    Case("CSV, semicolons", GRID_SET, lambda points: lines(points, ";", "", ""), GRID),
    Case("PTS, a count of points", GRID_SET, lambda points: lines(points, " ", str(points.size // 3)), GRID),
    Case(
        "PLY in no order, seen by a camera",
        "`geometry.projection`, `geometry.intrinsics`",
        lambda points: ply(shuffled(points), "ascii", organized=False),
        PINHOLE,
    ),
]
DEPTH_SET = "`geometry.intrinsics`"
HEIGHT_SET = "`geometry.height_grid`"


def cases_of_pixels() -> Iterator[tuple[str, str, Callable[[np.ndarray], bytes], str, Written]]:
    """Name, setting, writer of (H, W) numbers, type of these, and the part."""
    yield "depth, PNG 16 bit", DEPTH_SET, png, "uint16", SEEN
    yield "depth, TIFF uint16", DEPTH_SET, tiff, "uint16", SEEN
    yield "depth, TIFF float32", DEPTH_SET, tiff, "float32", SEEN
    yield "depth, NPY float64", DEPTH_SET, npy, "float64", SEEN
    own = np.array([[CAMERA.fx, 0, CAMERA.cx], [0, CAMERA.fy, CAMERA.cy], [0, 0, 1]])
    yield "NPZ `depth` and `intrinsics`", "", lambda depth: npz(depth=depth, intrinsics=own), "float32", SEEN
    yield "heights, PNG 16 bit", HEIGHT_SET, png, "uint16", SCANNED
    yield "heights, TIFF int16", HEIGHT_SET, tiff, "int16", SCANNED
    yield "heights, TIFF float32", HEIGHT_SET, tiff, "float32", SCANNED
    yield "heights, NPY int32", HEIGHT_SET, npy, "int32", SCANNED


PIXELS = {name: rest for name, *rest in cases_of_pixels()}
MARKS = {"NaN": np.nan, "0": 0.0, "a mark": MARK}


def read_cloud(case: Case, unit: float, mark: str) -> Scan:
    numbers = in_unit(case.part, unit, MARKS[mark])
    missing = (MARK,) if mark == "a mark" else ()
    geometry = msgspec.structs.replace(case.geometry, missing=missing)
    return scan_from_bytes(case.write(numbers), unit, geometry)


def read_pixels(name: str, unit: float, mark: str) -> Scan | None:
    """None: integers cannot be NaN."""
    setting, write, kind, part = PIXELS[name]
    is_integer = np.dtype(kind).kind != "f"
    if mark == "NaN" and is_integer:
        return None
    given = {"NaN": np.nan, "0": 0, "a mark": 65535 if kind == "uint16" else MARK}[mark]
    numbers = part.steps if is_integer else part.steps * STEP / unit
    numbers = np.where(part.measured, numbers, given).astype(kind)
    step = STEP / unit if is_integer else 1.0
    missing = (given,) if mark == "a mark" or (mark == "0" and setting == HEIGHT_SET) else ()
    return scan_from_bytes(write(numbers), unit, pixel_geometry(part, unit, step, setting, missing))


def pixel_geometry(part: Written, unit: float, step: float, setting: str, missing: tuple[float, ...]) -> ScanGeometry:
    if isinstance(part.model, Intrinsics):
        camera = part.model if setting else None
        return ScanGeometry(intrinsics=camera, depth_scale=step, missing=missing)
    pitch = part.model.x_pitch / unit
    grid = HeightGrid(x_pitch=pitch, y_pitch=pitch, z_scale=step)
    return ScanGeometry(height_grid=grid, missing=missing)


def deviation(scan: Scan, part: Written) -> float:
    """How far the points are from the part's, metres; infinite where another pixel is missing."""
    if not np.array_equal(scan.points.any(axis=-1), part.measured):
        return np.inf
    return float(np.abs(scan.points - part.points).max())


@pytest.mark.parametrize("mark", MARKS)
@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("case", CLOUDS, ids=lambda case: case.name)
def test_clouds_are_the_same_points(case: Case, unit: str, mark: str) -> None:
    assert deviation(read_cloud(case, UNITS[unit], mark), case.part) < 1e-6


@pytest.mark.parametrize("mark", MARKS)
@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("name", PIXELS)
def test_images_of_one_number_a_pixel_are_the_same_points(name: str, unit: str, mark: str) -> None:
    scan = read_pixels(name, UNITS[unit], mark)
    assert scan is None or deviation(scan, PIXELS[name][-1]) < 1e-6


@pytest.mark.parametrize("unit", UNITS)
def test_points_of_a_table_scanner_in_no_order_are_the_same_points(unit: str) -> None:
    pitch = PITCH / UNITS[unit]
    center = (WIDTH * pitch / 2, HEIGHT * pitch / 2)
    projection = Projection(
        model="orthographic", width=WIDTH, height=HEIGHT, pitch=pitch, center=center, viewed_from="+z"
    )
    data = lines(shuffled(in_unit(SCANNED, UNITS[unit], np.nan)))
    scan = scan_from_bytes(data, UNITS[unit], ScanGeometry(projection=projection))
    assert deviation(scan, SCANNED) < 1e-6 and scan.notes == ()


def seen_part(scan: np.ndarray) -> Written:
    """A scan of a camera, its depths rounded to steps and its pixels put on those of an ideal camera."""
    measured = scan.any(axis=-1)
    height, width = measured.shape
    columns = np.arange(width) - (width - 1) / 2
    x, z = scan[..., 0][measured], scan[..., 2][measured]
    focal = float(np.median((np.broadcast_to(columns, measured.shape)[measured] * z / x)[np.abs(x) > 0.01]))
    steps = np.where(measured, np.rint(scan[..., 2] / STEP), 0).astype(int)
    return part_of(steps, measured, Intrinsics(fx=focal, fy=focal, cx=(width - 1) / 2, cy=(height - 1) / 2))


def scanned_part(scan: np.ndarray) -> Written:
    """The same as a height map, seen from above."""
    measured = scan.any(axis=-1)
    pitch = float(np.median(np.diff(scan[100, :, 0][measured[100]])))
    heights = scan[..., 2][measured].max() - scan[..., 2] + 20 * STEP
    steps = np.where(measured, np.rint(heights / STEP), 0).astype(int)
    return part_of(steps, measured, HeightGrid(x_pitch=pitch, y_pitch=pitch))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "make"),
    [("good/xyz/000.tiff", seen_part), ("crack/xyz/000.tiff", scanned_part)],
    ids=["seen by a camera", "a height map"],
)
def test_every_format_gets_the_same_verdict(
    name: str, make: Callable[[np.ndarray], Written], calibrated_bundle: Path, synth_data: Path
) -> None:
    """Every format in one of the units and with one of the marks of missing points."""
    bundle = open_bundle(calibrated_bundle)
    part = make(read_scan(synth_data / "gland" / "test" / name).points.astype(np.float64))
    # The camera of the bundle is at the origin, and no height map's is.
    side = bundle.manifest.preprocessing.side if make is seen_part else "auto"
    with inspector_of(bundle, side=side) as inspector:
        reference = inspector.finish(inspector.read_bytes(npy(part.points)))
        for data, unit, geometry, what in written_in_turn(part):
            found = inspector.inspect(read_as(data, unit, geometry))
            assert found.score == pytest.approx(reference.score, rel=1e-4), what
            assert found.is_defect == reference.is_defect, what
            assert np.abs(found.map - reference.map).max() < 1e-3 * reference.map.max(), what
    with inspector_of(bundle, side=side, metres_per_unit=unit, geometry=geometry) as inspector:
        last = inspector.finish(inspector.read_bytes(data))
    assert last.score == pytest.approx(reference.score, rel=1e-4)


def inspector_of(bundle: Bundle, **changes: Any) -> Inspector:
    """An inspector whose bundle was calibrated for another sensor."""
    preprocessing = msgspec.structs.replace(bundle.manifest.preprocessing, **changes)
    manifest = msgspec.structs.replace(bundle.manifest, preprocessing=preprocessing)
    return Inspector(Bundle(bundle.path, manifest, bundle.store))


def read_as(data: bytes, unit: float, geometry: ScanGeometry) -> Part:
    """What a sensor's file becomes."""
    return part_from_bytes(data, POINTS, Preprocessing(metres_per_unit=unit, geometry=geometry))


def written_in_turn(part: Written) -> Iterator[tuple[bytes, float, ScanGeometry, str]]:
    """File, unit, geometry and name: every format in one of the units and with one of the marks."""
    turns = cycle([(unit, mark) for unit in UNITS.values() for mark in MARKS])
    height, width = part.measured.shape
    size = {"width": width, "height": height}
    for case, (unit, mark) in zip(CLOUDS, turns, strict=False):
        geometry = case.geometry
        if geometry.grid is not None:
            geometry = msgspec.structs.replace(geometry, grid=(width, height))
        if geometry.projection is not None:
            if isinstance(part.model, HeightGrid):
                continue
            projection = msgspec.structs.replace(geometry.projection, **size)
            geometry = msgspec.structs.replace(geometry, projection=projection, intrinsics=part.model)
        missing = (MARK,) if mark == "a mark" else ()
        geometry = msgspec.structs.replace(geometry, missing=missing)
        yield case.write(in_unit(part, unit, MARKS[mark])), unit, geometry, case.name
    for name, (setting, write, kind, usual) in PIXELS.items():
        if type(usual.model) is type(part.model) and setting:
            unit, _ = next(turns)
            numbers = part.steps if np.dtype(kind).kind != "f" else part.steps * STEP / unit
            step = STEP / unit if np.dtype(kind).kind != "f" else 1.0
            geometry = pixel_geometry(part, unit, step, setting, (0.0,))
            yield write(np.where(part.measured, numbers, 0).astype(kind)), unit, geometry, name


def table() -> str:
    """The table of the documentation."""
    head = [
        "| file | what must be set | m | mm | µm | missing: NaN | 0 | a mark |",
        "|---|---|---|---|---|---|---|---|",
    ]
    rows = []
    for case in CLOUDS:
        scans = {(unit, mark): read_cloud(case, UNITS[unit], mark) for unit in UNITS for mark in MARKS}
        rows.append(row(case.name, case.setting, scans, case.part))
    for name, (setting, _, _, part) in PIXELS.items():
        scans = {(unit, mark): read_pixels(name, UNITS[unit], mark) for unit in UNITS for mark in MARKS}
        rows.append(row(name, setting, scans, part))
    return "\n".join([*head, *rows])


def row(name: str, setting: str, scans: dict[tuple[str, str], Scan | None], part: Written) -> str:
    def cell(chosen: list[Scan | None]) -> str:
        read = [scan for scan in chosen if scan is not None]
        return "yes" if read and max(deviation(scan, part) for scan in read) < 1e-6 else "no" if read else "-"

    by_unit = [cell([scans[unit, mark] for mark in MARKS]) for unit in UNITS]
    by_mark = [cell([scans[unit, mark] for unit in UNITS]) for mark in MARKS]
    return f"| {name} | {setting or 'nothing'} | {' | '.join(by_unit + by_mark)} |"


@pytest.mark.parametrize("case", CLOUDS, ids=lambda case: case.name)
def test_a_file_that_was_cut_short_is_called_damaged(case: Case) -> None:
    data = case.write(bumpy(CAMERA).points)
    with pytest.raises(DamagedScanError):
        scan_from_bytes(data[: len(data) // 2], 1.0, case.geometry)


def test_the_table_of_the_documentation_is_this_one() -> None:
    assert table() in DOCS.read_text(), table()


if __name__ == "__main__":
    print(table())
