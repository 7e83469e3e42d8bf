"""What a scan is after reading: metres, float32, (0, 0, 0) where nothing was measured; and where scans are."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from cmdiad.runtime.errors import ScanError, UsageError
from cmdiad.runtime.scan import SCAN_SUFFIXES, Scan, find_scans, read_scan, valid_mask
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

POINTS = np.random.default_rng(0).normal(size=(5, 6, 3)).astype(np.float32)


def save(path: Path, points: Any = POINTS) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as stream:
        np.save(stream, points)
    return path


def test_measured_values_are_kept_and_missing_ones_are_zero(tmp_path: Path) -> None:
    points = POINTS.copy()
    points[0, 0] = np.nan
    points[0, 1] = (1, np.nan, 2)
    points[0, 2] = (1, np.inf, 2)
    points[0, 3] = (0, -0.0, 0)
    points[0, 4] = (0, 0, 1)
    scan = read_scan(save(tmp_path / "a.npy", points))
    expected = points.copy()
    expected[0, :4] = 0
    assert scan.path == tmp_path / "a.npy"
    assert scan.points.dtype == np.float32
    assert scan.points.flags.c_contiguous
    np.testing.assert_array_equal(scan.points, expected)
    assert not np.signbit(scan.points[0, 3]).any()
    np.testing.assert_array_equal(valid_mask(points), valid_mask(scan.points))
    assert valid_mask(scan.points).sum() == points.shape[0] * points.shape[1] - 4


# Any number that a scan near its origin may hold beside real ones: none can be mistaken for a mark or a unit.
COORDINATES = st.floats(-4, 4, width=32) | st.sampled_from([np.nan, np.inf, -np.inf, 3.4028234e38, -1e30, 1.1e8])


@settings(max_examples=50, deadline=None)
@given(hnp.arrays(np.float32, (3, 2, 3), elements=COORDINATES))
def test_every_point_is_either_kept_or_zero(tmp_path_factory: pytest.TempPathFactory, points: Any) -> None:
    path = save(tmp_path_factory.mktemp("scan") / "a.npy", points)
    measured = (np.nan_to_num(np.abs(points), nan=np.inf) <= 1e8).all(axis=2) & points.any(axis=2)
    if not measured.any():
        with pytest.raises(ScanError, match="no measured point"):
            read_scan(path)
        return
    scan = read_scan(path)
    np.testing.assert_array_equal(scan.points[measured], points[measured])
    assert not scan.points[~measured].any()
    assert not scan.origin.any()
    np.testing.assert_array_equal(valid_mask(points), measured)
    np.testing.assert_array_equal(valid_mask(scan.points), measured)


def test_doubles_are_rounded_once(tmp_path: Path) -> None:
    points = np.random.default_rng(1).normal(size=(5, 6, 3))
    path = save(tmp_path / "a.npy", points)
    np.testing.assert_array_equal(read_scan(path).points, points.astype(np.float32))
    np.testing.assert_array_equal(read_scan(path, 0.001).points, (points * 0.001).astype(np.float32))


@pytest.mark.parametrize("mark", [1e300, -1e300, 3.4028234663852886e38, 1e30, -1.1e8])
@pytest.mark.parametrize("unit", [None, 0.5, 2.0])
def test_what_no_sensor_measures_is_missing(tmp_path: Path, mark: float, unit: float | None) -> None:
    points = POINTS.astype(np.float64)
    points[1, 1, 2] = mark * 2
    read = read_scan(save(tmp_path / "a.npy", points), unit).points
    assert not read[1, 1].any()
    assert valid_mask(read).sum() == 29


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "int64"])
def test_integers_need_their_unit(tmp_path: Path, dtype: str) -> None:
    points = np.arange(90, dtype=dtype).reshape(5, 6, 3)
    path = save(tmp_path / "a.npy", points)
    with pytest.raises(ScanError, match=f"{dtype} numbers without a unit.*--metres-per-unit.*manifest"):
        read_scan(path)
    np.testing.assert_array_equal(read_scan(path, 0.001).points, (points * 0.001).astype(np.float32))


@pytest.mark.parametrize("unit", [0.0, -1.0, float("nan"), float("inf")])
def test_a_unit_that_is_none_is_refused(tmp_path: Path, unit: float) -> None:
    with pytest.raises(UsageError, match="positive"):
        read_scan(save(tmp_path / "a.npy"), unit)


def _png() -> bytes:
    from PIL import Image

    stream = io.BytesIO()
    Image.new("RGB", (4, 4)).save(stream, "PNG")
    return stream.getvalue()


def _npy(points: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, points)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("case", "name", "content", "says"),
    [
        ("empty file", "a.tiff", b"", "is empty"),
        ("truncated", "a.npy", _npy(POINTS)[:-1], "truncated"),
        ("unknown content, unknown suffix", "a.xyz", b"1 2 3\n4 5 6\n", "TIFF, PLY, PCD, NPY and NPZ"),
        ("unknown content, known suffix", "a.ply", b"solid stl", "TIFF, PLY, PCD, NPY and NPZ"),
        ("an image", "a.png", _png(), "is a PNG image, not a scan"),
        ("an image called a scan", "a.tiff", _png(), "is a PNG image, not a scan"),
        ("two dimensions", "a.npy", _npy(POINTS[..., 2]), "5 x 6"),
        ("four channels", "a.npy", _npy(np.ones((5, 6, 4))), "5 x 6 x 4"),
        ("integers without a unit", "a.npy", _npy(POINTS.astype(np.int32)), "--metres-per-unit"),
        ("all zero", "a.npy", _npy(0 * POINTS), "no measured point"),
        ("all NaN", "a.npy", _npy(np.nan * POINTS), "no measured point"),
    ],
)
def test_an_unusable_file_is_one_line_with_its_name(
    tmp_path: Path, case: str, name: str, content: bytes, says: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ScanError, match=says) as caught:
        read_scan(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 3


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ScanError, match="there is no such file"):
        read_scan(tmp_path / "missing.tiff")
    with pytest.raises(ScanError, match="is a folder"):
        read_scan(tmp_path)
    with pytest.raises(ScanError, match="cannot be read"):
        read_scan("a\0b.tiff")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.tiff")
    with pytest.raises(ScanError, match="regular file"):
        read_scan(tmp_path / "pipe.tiff")


def test_the_content_decides_where_the_suffix_lies(tmp_path: Path) -> None:
    np.testing.assert_array_equal(read_scan(save(tmp_path / "a.tiff")).points, POINTS)
    tifffile.imwrite(tmp_path / "b.ply", POINTS, photometric="rgb")
    np.testing.assert_array_equal(read_scan(tmp_path / "b.ply").points, POINTS)


def test_a_scan_is_checked_when_it_is_made() -> None:
    with pytest.raises(ScanError, match="not H x W x 3"):
        Scan(POINTS[..., :2])
    with pytest.raises(ScanError, match="float64"):
        Scan(POINTS.astype(np.float64))


def names(found: list[Path], root: Path) -> list[str]:
    return [path.relative_to(root).as_posix() for path in found]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in (
        "line/b.tiff",
        "line/a.PLY",
        "line/.hidden.tiff",
        "line/notes.txt",
        "line/xyz/ignored.tiff",
        "good/xyz/002.tiff",
        "good/xyz/001.npz",
        "good/rgb/001.tiff",
        "test/hole/xyz/2.pcd",
        "test/good/xyz/1.npy",
        "test/good/gt/1.tiff",
        "empty/readme.md",
    ):
        save(tmp_path / name)
    return tmp_path


@pytest.mark.parametrize(
    ("case", "asked", "expected"),
    [
        ("a file, whatever its suffix", ["line/notes.txt"], ["line/notes.txt"]),
        ("a folder's own scans", ["line"], ["line/a.PLY", "line/b.tiff"]),
        ("a folder with xyz", ["good"], ["good/xyz/001.npz", "good/xyz/002.tiff"]),
        ("folders below", ["test"], ["test/good/xyz/1.npy", "test/hole/xyz/2.pcd"]),
        ("a pattern of files", ["line/*.tiff"], ["line/b.tiff"]),
        ("a pattern of folders", ["test/*/xyz"], ["test/good/xyz/1.npy", "test/hole/xyz/2.pcd"]),
        ("a recursive pattern", ["**/00?.*"], ["good/rgb/001.tiff", "good/xyz/001.npz", "good/xyz/002.tiff"]),
        ("a class of characters", ["line/[ab].*"], ["line/a.PLY", "line/b.tiff"]),
        ("twice the same", ["line/b.tiff", "line/*.tiff", "line/../line"], ["line/a.PLY", "line/b.tiff"]),
        ("sorted over all", ["test/hole", "good/xyz/00[1]*"], ["good/xyz/001.npz", "test/hole/xyz/2.pcd"]),
    ],
)
def test_files_folders_and_patterns(tree: Path, case: str, asked: list[str], expected: list[str]) -> None:
    found = find_scans([str(tree / path) for path in asked])
    assert names([Path(os.path.normpath(path)) for path in found], tree) == expected
    assert found == sorted(found)


def test_a_file_may_be_called_like_a_pattern(tmp_path: Path) -> None:
    odd = save(tmp_path / "part[1].npy")
    save(tmp_path / "part1.npy")
    assert find_scans([odd]) == [odd]


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ("line/*.npy", "no file matches"),
        ("empty", r"no scan \(.tiff, .*xyz/"),
        ("test/*/rgb", "no file matches"),
    ],
)
def test_what_stands_for_nothing_is_named(tree: Path, asked: str, says: str) -> None:
    with pytest.raises(ScanError, match=says) as caught:
        find_scans([tree / "line", str(tree / asked)])
    assert str(tree / asked) in str(caught.value)


def test_a_name_that_no_system_has_is_refused() -> None:
    with pytest.raises(ScanError):
        find_scans(["a\0b"])


def test_no_path_at_all_is_refused() -> None:
    with pytest.raises(ScanError, match="no scan was named"):
        find_scans([])


def test_suffixes_are_lower_case_with_dots() -> None:
    assert {".tiff", ".tif", ".ply", ".pcd", ".npy", ".npz"} == set(SCAN_SUFFIXES)


def test_real_scans_are_read_as_tifffile_reads_them(shared_data: Path) -> None:
    scans = find_scans([shared_data])
    assert len(scans) == len(find_scans([str(shared_data / "**" / "xyz" / "*.tiff")]))
    scans += sorted(shared_data.glob("tabletop_scenes/*/xyz.tiff"))
    for path in scans[::9]:
        reference = tifffile.imread(path)
        missing = ~np.isfinite(reference).all(axis=2)
        reference[missing] = 0
        np.testing.assert_array_equal(read_scan(path).points, reference)


def test_a_named_file_that_is_missing_stays_in_the_list(tmp_path: Path) -> None:
    (tmp_path / "here.npy").write_bytes(b"")
    named = [tmp_path / "here.npy", tmp_path / "missing.tiff"]
    assert find_scans(named) == named
