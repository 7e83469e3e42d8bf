"""What a scan is after reading: metres, float32, (0, 0, 0) where nothing was measured."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from cmdiad.runtime.errors import WITH_A_BUNDLE, ScanError, UsageError
from cmdiad.runtime.sensor.find import find_scans
from cmdiad.runtime.sensor.missing import valid_mask
from cmdiad.runtime.sensor.scan import Scan, read_scan
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
    assert np.moveaxis(scan.points, -1, 0).flags.c_contiguous
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
    with pytest.raises(ScanError, match=f"{dtype} numbers without a unit.*--metres-per-unit.*{WITH_A_BUNDLE}$"):
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
        ("unknown content, unknown suffix", "a.xyz", b"1 2\n4 5\n", "TIFF, .*NPZ, .* and XYZ/CSV"),
        ("unknown content, known suffix", "a.ply", b"solid stl", "TIFF, .*NPZ, .* and XYZ/CSV"),
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


def test_real_scans_are_read_as_tifffile_reads_them(shared_data: Path) -> None:
    scans = find_scans([shared_data])
    assert len(scans) == len(find_scans([str(shared_data / "**" / "xyz" / "*.tiff")]))
    scans += sorted(shared_data.glob("tabletop_scenes/*/xyz.tiff"))
    for path in scans[::9]:
        reference = tifffile.imread(path)
        missing = ~np.isfinite(reference).all(axis=2)
        reference[missing] = 0
        np.testing.assert_array_equal(read_scan(path).points, reference)
