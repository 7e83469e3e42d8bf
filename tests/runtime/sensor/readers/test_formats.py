"""Formats of scans are found by their modules alone."""

import re
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
from cmdiad.runtime.bundle.scan_geometry import HeightGrid, Intrinsics, ScanGeometry
from cmdiad.runtime.errors import ScanError
from cmdiad.runtime.sensor import readers

NEW = """
from .format import Format, plain
FORMATS = (Format("NEW", (".new",), lambda data: data == b"new", plain(lambda data: None)),)
"""
KNOWN = ["TIFF", "MCAP", "ROS bag", "PTX", "PLY", "PCD", "NPY", "NPZ", "PNG", "XYZ/CSV"]


def test_what_is_read_and_in_which_order() -> None:
    assert readers.SUPPORTED == "TIFF, MCAP, ROS bag, PTX, PLY, PCD, NPY, NPZ, PNG and XYZ/CSV"
    assert (
        *(".tiff", ".tif", ".mcap", ".bag", ".ptx", ".ply", ".pcd", ".npy", ".npz"),
        *(".xyz", ".xyzn", ".xyzrgb", ".pts", ".asc"),
    ) == readers.SUFFIXES


def test_a_module_is_all_that_a_format_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "added.py").write_text(NEW)
    monkeypatch.setattr(readers, "__path__", [*readers.__path__, str(tmp_path)])
    formats = readers.find_formats()
    sys.modules.pop(f"{readers.__name__}.added")
    assert [entry.name for entry in formats] == [*KNOWN, "NEW"]


@pytest.mark.parametrize(
    ("geometry", "suffixes"),
    [
        (ScanGeometry(), []),
        (ScanGeometry(intrinsics=Intrinsics(fx=1, fy=1, cx=0, cy=0)), [".png"]),
        (ScanGeometry(height_grid=HeightGrid(x_pitch=1, y_pitch=1)), [".png"]),
        (ScanGeometry(grid=(4, 3)), [".csv", ".txt"]),
    ],
    ids=["nothing said", "a camera", "a height map", "a grid"],
)
def test_photos_and_tables_count_as_scans_where_the_sensor_makes_such_files(
    geometry: ScanGeometry, suffixes: list[str]
) -> None:
    assert list(readers.doubtful_suffixes(geometry)) == suffixes


def test_the_reader_that_the_contributing_guide_shows_is_one() -> None:
    guide = (Path(__file__).resolve().parents[4] / "CONTRIBUTING.md").read_text()
    shown = re.search(r"```python\n(.*?FORMATS.*?)```", guide, re.DOTALL)
    assert shown is not None
    namespace = {"__package__": readers.__name__, "__name__": f"{readers.__name__}.abc"}
    exec(compile(shown[1], "CONTRIBUTING.md", "exec"), namespace)
    (entry,) = namespace["FORMATS"]
    points = np.random.default_rng(0).normal(size=(4, 5, 3)).astype("<f4")
    data = b"ABC1" + struct.pack("<II", 4, 5) + points.tobytes()
    assert entry.recognizes(data)
    np.testing.assert_array_equal(entry.read(data, ScanGeometry()).numbers, points)
    for damaged in (data[:8], data[:-1], b"ABC1" + b"\xff" * 8):
        with pytest.raises(ScanError):
            entry.read(damaged, ScanGeometry())
