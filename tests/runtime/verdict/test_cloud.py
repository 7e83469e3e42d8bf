"""A part's points in the heat map's colors: what is in the file, and that others read it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cmdiad.runtime.errors import OutputError, UsageError
from cmdiad.runtime.inspection import Inspection
from cmdiad.runtime.preparation.image_view import view_image
from cmdiad.runtime.sensor.readers.ply import read_ply
from cmdiad.runtime.verdict.cloud import write_cloud
from cmdiad.runtime.verdict.heatmap import color_table

SHAPE = (20, 30)
RECORD = [*((axis, "<f4") for axis in "xyz"), ("red", "u1"), ("green", "u1"), ("blue", "u1"), ("score", "<f4")]
FAR = (5_000_000.0, 160.0, 0.0)


def inspection(**more: Any) -> Inspection:
    """A plane with a strip that was not measured, a border that is no part, and one defect."""
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]] * 1e-3
    points = np.stack([columns, rows, 0.5 + 0.1 * columns], axis=-1).astype(np.float32)
    points[:, :3] = 0
    valid = np.zeros(SHAPE, bool)
    valid[2:-2, 5:-2] = True
    map_hw = np.full(SHAPE, 0.2, np.float32)
    map_hw[8:12, 10:20] = 2.5
    view = view_image(valid)
    values = {"map": map_hw, "points": points, "rgb": None, "valid": valid, "view": view, "pixel_threshold": 1.0}
    return Inspection(product="gland", score=3.0, threshold=2.0, is_defect=True, seconds={}, **{**values, **more})


def vertices(path: Path, record: list[tuple[str, str]] = RECORD) -> Any:
    header, body = path.read_bytes().split(b"end_header\n", 1)
    count = int(header.split(b"element vertex ")[1].split()[0])
    return np.frombuffer(body, np.dtype(record), count)


def test_the_parts_points_have_the_maps_values_and_the_heat_maps_colors(tmp_path: Path) -> None:
    part = inspection()
    write_cloud(tmp_path / "new" / "part.ply", part)
    cloud = vertices(tmp_path / "new" / "part.ply")
    assert len(cloud) == np.count_nonzero(part.valid)
    np.testing.assert_array_equal(np.stack([cloud[axis] for axis in "xyz"], axis=-1), part.points[part.valid])  # type: ignore[index]
    np.testing.assert_array_equal(cloud["score"], part.map[part.valid])
    colors = np.stack([cloud[name] for name in ("red", "green", "blue")], axis=-1)
    is_high = cloud["score"] > 1
    assert np.ptp(colors[~is_high], axis=1).max() == 0 and len(np.unique(colors[is_high], axis=0)) == 1
    # What is over the scale's end has its last color, over a fifth of gray.
    assert np.abs(colors[is_high][0] - (0.8 * color_table()[-1] + 0.2 * 120)).max() <= 2


def test_our_own_reader_gives_every_pixel_its_point_back(tmp_path: Path) -> None:
    part = inspection()
    write_cloud(tmp_path / "part.ply", part)
    points = read_ply((tmp_path / "part.ply").read_bytes())
    np.testing.assert_array_equal(points, np.where(part.valid[..., None], part.points, 0))  # type: ignore[arg-type]


def test_coordinates_far_away_are_the_files_own_in_doubles(tmp_path: Path) -> None:
    part = inspection(origin=FAR)
    write_cloud(tmp_path / "part.ply", part)
    points = read_ply((tmp_path / "part.ply").read_bytes())
    assert points.dtype == np.float64 and part.points is not None
    np.testing.assert_array_equal(points[part.valid], part.points[part.valid].astype(np.float64) + FAR)


def test_all_measured_points_on_demand_are_dark_and_without_a_score_beside_the_part(tmp_path: Path) -> None:
    part = inspection()
    write_cloud(tmp_path / "all.ply", part, everything=True)
    cloud = vertices(tmp_path / "all.ply")
    assert len(cloud) == SHAPE[0] * (SHAPE[1] - 3)
    inside = part.valid[:, 3:].reshape(-1)
    assert np.isnan(cloud["score"][~inside]).all() and np.isfinite(cloud["score"][inside]).all()
    assert cloud["red"][~inside].max() < cloud["red"][inside].min()


def test_equal_input_gives_equal_bytes(tmp_path: Path) -> None:
    for name in ("one.ply", "two.ply"):
        write_cloud(tmp_path / name, inspection())
    assert (tmp_path / "one.ply").read_bytes() == (tmp_path / "two.ply").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.ply", "two.ply"]


def test_a_part_without_a_measured_point_is_an_empty_cloud(tmp_path: Path) -> None:
    write_cloud(tmp_path / "part.ply", inspection(valid=np.zeros(SHAPE, bool)))
    assert len(vertices(tmp_path / "part.ply")) == 0


def test_an_image_alone_has_no_cloud(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="needs points"):
        write_cloud(tmp_path / "part.ply", replace(inspection(), points=None))


def test_a_place_that_cannot_be_written_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(OutputError):
        write_cloud(tmp_path / "file" / "part.ply", inspection())


@pytest.mark.parametrize("origin", [(0.0, 0.0, 0.0), FAR])
def test_plyfile_reads_it(tmp_path: Path, origin: tuple[float, float, float]) -> None:
    plyfile = pytest.importorskip("plyfile")
    part = inspection(origin=origin)
    write_cloud(tmp_path / "part.ply", part)
    read = plyfile.PlyData.read(str(tmp_path / "part.ply"))
    assert [prop.name for prop in read["vertex"].properties] == ["x", "y", "z", "red", "green", "blue", "score"]
    np.testing.assert_array_equal(read["vertex"]["score"], part.map[part.valid])
    listed = [len(entry) for entry in read["range_grid"]["vertex_indices"]]
    assert listed == part.valid.reshape(-1).astype(int).tolist()


def test_open3d_reads_it(tmp_path: Path) -> None:
    open3d = pytest.importorskip("open3d")
    part = inspection()
    write_cloud(tmp_path / "part.ply", part)
    cloud = open3d.io.read_point_cloud(str(tmp_path / "part.ply"))
    assert part.points is not None
    np.testing.assert_allclose(np.asarray(cloud.points), part.points[part.valid])
    assert cloud.has_colors()
