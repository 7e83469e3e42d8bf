"""Files that other programs write: by these packages where they are installed, else by hand from the specification."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from cmdiad.runtime.bundle.scan_geometry import AS_STORED, ScanGeometry
from cmdiad.runtime.sensor.arranging import arranged
from cmdiad.runtime.sensor.readers import decode_scan

HEIGHT, WIDTH = 6, 8
POINTS = np.random.default_rng(5).normal(size=(HEIGHT, WIDTH, 3)).astype(np.float32)
FLAT = POINTS.reshape(-1, 3)
GRID = ScanGeometry(grid=(WIDTH, HEIGHT))
COLORS = np.random.default_rng(6).integers(0, 256, FLAT.shape).astype(np.uint8)


def read(data: bytes, geometry: ScanGeometry = AS_STORED) -> np.ndarray:
    return arranged(decode_scan(data, geometry), geometry).points


@pytest.mark.parametrize(
    ("suffix", "options"),
    [
        (".ply", {"write_ascii": False}),
        (".ply", {"write_ascii": True}),
        (".pcd", {"write_ascii": False, "compressed": False}),
        (".pcd", {"write_ascii": False, "compressed": True}),
        (".pcd", {"write_ascii": True}),
        (".xyz", {}),
        (".pts", {}),
        (".xyzrgb", {}),
        (".xyzn", {}),
    ],
    ids=["PLY", "PLY text", "PCD", "PCD compressed", "PCD text", "XYZ", "PTS", "XYZRGB", "XYZN"],
)
@pytest.mark.parametrize("with_normals", [False, True], ids=["points", "normals and colors"])
def test_open3d(suffix: str, options: dict[str, bool], with_normals: bool, tmp_path: Path) -> None:
    open3d = pytest.importorskip("open3d")
    cloud = open3d.geometry.PointCloud(open3d.utility.Vector3dVector(FLAT.astype(np.float64)))
    if with_normals or suffix in (".xyzrgb", ".xyzn"):
        cloud.colors = open3d.utility.Vector3dVector(COLORS / 255)
        cloud.normals = open3d.utility.Vector3dVector(np.tile([0.0, 0.0, 1.0], (len(FLAT), 1)))
    path = tmp_path / f"cloud{suffix}"
    assert open3d.io.write_point_cloud(str(path), cloud, **options)
    np.testing.assert_allclose(read(path.read_bytes(), GRID), POINTS, atol=1e-5)  # its text has six digits


@pytest.mark.parametrize("text", [False, True], ids=["binary", "text"])
@pytest.mark.parametrize("order", ["<", ">"], ids=["little endian", "big endian"])
@pytest.mark.parametrize("kind", ["f4", "f8"])
def test_plyfile(text: bool, order: str, kind: str, tmp_path: Path) -> None:
    plyfile = pytest.importorskip("plyfile")
    layout = [("red", "u1"), ("z", kind), ("nx", "f4"), ("x", kind), ("label", "i4"), ("y", kind)]
    vertices = np.zeros(len(FLAT), layout)
    for axis, name in enumerate("xyz"):
        vertices[name] = FLAT[:, axis]
    faces = np.array([([0, 1, 2],), ([1, 2, 3, 4],)], dtype=[("vertex_indices", object)])
    ply = plyfile.PlyData(
        [plyfile.PlyElement.describe(faces, "face"), plyfile.PlyElement.describe(vertices, "vertex")],
        text=text,
        byte_order=order,
        comments=["made by plyfile", "num_cols 8", "num_rows 6"],
        obj_info=["a remark of many words"],
    )
    ply.write(str(tmp_path / "cloud.ply"))
    np.testing.assert_allclose(read((tmp_path / "cloud.ply").read_bytes()), POINTS, rtol=1e-6)


@pytest.mark.parametrize("encoding", ["ASCII", "BINARY", "BINARY_COMPRESSED"])
@pytest.mark.parametrize("kind", ["xyz", "xyzi", "xyzrgb", "xyzl", "xyzirgb", "doubles"])
def test_pypcd4(encoding: str, kind: str, tmp_path: Path) -> None:
    pypcd4 = pytest.importorskip("pypcd4")
    cloud = {
        "xyz": lambda: pypcd4.PointCloud.from_xyz_points(FLAT),
        "xyzi": lambda: pypcd4.PointCloud.from_xyzi_points(np.column_stack([FLAT, FLAT[:, 0]])),
        "xyzrgb": lambda: pypcd4.PointCloud.from_xyzrgb_points(
            np.column_stack([FLAT, pypcd4.PointCloud.encode_rgb(COLORS)])
        ),
        "xyzl": lambda: pypcd4.PointCloud.from_xyzl_points(np.column_stack([FLAT, np.arange(len(FLAT))])),
        "xyzirgb": lambda: pypcd4.PointCloud.from_xyzirgb_points(
            np.column_stack([FLAT, FLAT[:, 1], pypcd4.PointCloud.encode_rgb(COLORS)])
        ),
        "doubles": lambda: pypcd4.PointCloud.from_points(
            FLAT[:, ::-1].astype(np.float64), ("z", "y", "x"), (np.float64,) * 3
        ),
    }[kind]()
    path = tmp_path / "cloud.pcd"
    cloud.save(path, encoding=getattr(pypcd4.Encoding, encoding))
    np.testing.assert_allclose(read(path.read_bytes(), GRID), POINTS, rtol=1e-5, atol=1e-6)


def ply(header: list[str], body: bytes) -> bytes:
    return "\n".join(["ply", *header, "end_header\n"]).encode() + body


def rows(record: list[tuple[str, str]], **extra: float) -> bytes:
    """FLAT as packed records of named fields, others constant."""
    table = np.zeros(len(FLAT), record)
    for axis, name in enumerate("xyz"):
        table[name] = FLAT[:, axis]
    for name, value in extra.items():
        table[name] = value
    return table.tobytes()


XYZ = [("x", "<f4"), ("y", "<f4"), ("z", "<f4")]
XYZ_PROPERTIES = ["property float x", "property float y", "property float z"]
PLYS = {
    "PCL, organized, with its camera": (
        ply(
            [
                "format binary_little_endian 1.0",
                "comment PCL generated",
                f"element vertex {len(FLAT)}",
                *XYZ_PROPERTIES,
                "element camera 1",
                *(f"property float {name}" for name in ("view_px", "view_py", "view_pz")),
                *(f"property float {axis}_axis{part}" for axis in "xyz" for part in "xyz"),
                *(f"property float {name}" for name in ("focal", "scalex", "scaley", "centerx", "centery")),
                "property int viewportx",
                "property int viewporty",
                "property float k1",
                "property float k2",
            ],
            rows(XYZ) + struct.pack("<17f2i2f", *[0.0] * 17, WIDTH, HEIGHT, 0.0, 0.0),
        ),
        AS_STORED,
    ),
    "CloudCompare, doubles and a scalar field": (
        ply(
            [
                "format binary_little_endian 1.0",
                "comment Created by CloudCompare v2.13",
                "comment Created 11/28/2026 3:00 PM",
                "obj_info Generated by CloudCompare!",
                f"element vertex {len(FLAT)}",
                *(f"property double {axis}" for axis in "xyz"),
                "property uchar red",
                "property uchar green",
                "property uchar blue",
                "property float scalar_Intensity",
            ],
            rows([("x", "<f8"), ("y", "<f8"), ("z", "<f8"), ("rgb", "u1", (3,)), ("scalar", "<f4")]),
        ),
        GRID,
    ),
    "MeshLab, flags and faces": (
        ply(
            [
                "format binary_little_endian 1.0",
                "comment VCGLIB generated",
                f"element vertex {len(FLAT)}",
                *XYZ_PROPERTIES,
                "property int flags",
                "property float quality",
                "element face 1",
                "property list uchar int vertex_indices",
            ],
            rows([*XYZ, ("flags", "<i4"), ("quality", "<f4")]) + struct.pack("<B3i", 3, 0, 1, 2),
        ),
        GRID,
    ),
    "MATLAB, row by row with alpha": (
        ply(
            [
                "format binary_big_endian 1.0",
                f"element vertex {len(FLAT)}",
                *XYZ_PROPERTIES,
                *(f"property uchar {name}" for name in ("red", "green", "blue", "alpha")),
            ],
            rows([("x", ">f4"), ("y", ">f4"), ("z", ">f4"), ("rgba", "u1", (4,))]),
        ),
        GRID,
    ),
    "a sensor's, width and height in obj_info": (
        ply(
            [
                "format binary_little_endian 1.0",
                "obj_info width 8",
                "obj_info height 6",
                "obj_info texture none",
                f"element vertex {len(FLAT)}",
                "property uint32 timestamp",
                "property float32 z",
                "property float32 x",
                "property float32 y",
                "property list uint8 float32 samples",
            ],
            rows([("t", "<u4"), ("z", "<f4"), ("x", "<f4"), ("y", "<f4"), ("n", "u1"), ("s", "<f4", (2,))], n=2),
        ),
        AS_STORED,
    ),
}


@pytest.mark.parametrize("writer", PLYS)
def test_headers_of_ply_as_programs_write_them(writer: str) -> None:
    data, geometry = PLYS[writer]
    np.testing.assert_array_equal(read(data, geometry), POINTS)


def pcd(header: str, body: bytes) -> bytes:
    return header.encode() + body


PCDS = {
    "PCL's tools, organized, packed rgb": pcd(
        "# .PCD v0.7 - Point Cloud Data file format\nVERSION 0.7\nFIELDS x y z rgb\nSIZE 4 4 4 4\nTYPE F F F F\n"
        f"COUNT 1 1 1 1\nWIDTH {WIDTH}\nHEIGHT {HEIGHT}\nVIEWPOINT 0 0 0 1 0 0 0\nPOINTS {len(FLAT)}\nDATA binary\n",
        rows([*XYZ, ("rgb", "<f4")]),
    ),
    "PCL's padded points": pcd(
        "# .PCD v0.7 - Point Cloud Data file format\nVERSION 0.7\nFIELDS x y z _ normal_x curvature _\n"
        "SIZE 4 4 4 1 4 4 1\nTYPE F F F U F F U\nCOUNT 1 1 1 4 3 1 8\n"
        f"WIDTH {WIDTH}\nHEIGHT {HEIGHT}\nVIEWPOINT 0 0 0 1 0 0 0\nPOINTS {len(FLAT)}\nDATA binary\n",
        rows([*XYZ, ("a", "u1", (4,)), ("n", "<f4", (3,)), ("c", "<f4"), ("b", "u1", (8,))]),
    ),
    "version .7 without VIEWPOINT and POINTS": pcd(
        "VERSION .7\nFIELDS intensity z y x\nSIZE 2 8 8 8\nTYPE U F F F\n"
        f"WIDTH {WIDTH}\nHEIGHT {HEIGHT}\nDATA binary\n",
        rows([("i", "<u2"), ("z", "<f8"), ("y", "<f8"), ("x", "<f8")]),
    ),
    "version 0.5 of columns": pcd(
        f"COLUMNS x y z\nSIZE 4 4 4\nTYPE F F F\nWIDTH {WIDTH}\nHEIGHT {HEIGHT}\nPOINTS {len(FLAT)}\nDATA ascii\n",
        "\n".join(" ".join(map(repr, row)) for row in FLAT.tolist()).encode(),
    ),
}


@pytest.mark.parametrize("writer", PCDS)
def test_headers_of_pcd_as_programs_write_them(writer: str) -> None:
    np.testing.assert_array_equal(read(PCDS[writer]), POINTS)


def test_a_pcd_that_only_counts_its_points_takes_the_grid() -> None:
    data = pcd(f"VERSION .7\nFIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nPOINTS {len(FLAT)}\nDATA binary\n", rows(XYZ))
    np.testing.assert_array_equal(read(data, GRID), POINTS)
