"""Arrays in, an inspection out, and what can be made of it; nothing is kept, and nothing written unasked."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from cmdiad.runtime.errors import ScanError, UsageError
from cmdiad.runtime.inspection import Inspection
from cmdiad.runtime.inspector import Inspector
from cmdiad.runtime.sensor.in_memory import PartInMemory
from cmdiad.runtime.sensor.part import Part
from cmdiad.runtime.sensor.scan import read_scan
from cmdiad.runtime.stream import inspect_stream


@pytest.fixture(scope="module")
def scan(synth_data: Path) -> Path:
    return synth_data / "gland" / "test" / "dent" / "xyz" / "000.tiff"


@pytest.fixture(scope="module")
def inspector(calibrated_bundle: Path) -> Inspector:
    return Inspector.load(calibrated_bundle, threads=1)


@pytest.fixture(scope="module")
def points(scan: Path) -> np.ndarray[Any, Any]:
    return tifffile.imread(scan)


@pytest.fixture(scope="module")
def inspection(inspector: Inspector, points: np.ndarray[Any, Any]) -> Inspection:
    return inspector.inspect(points, part_id="A-17")


def test_an_array_gets_the_files_own_verdict(inspector: Inspector, scan: Path, points: np.ndarray[Any, Any]) -> None:
    of_file = inspector(scan)
    part = Part(read_scan(scan).points, None)
    for held in (points, points.astype(np.float64), np.asfortranarray(points), np.ma.masked_equal(points, 0), part):
        of_array = inspector.inspect(held)
        assert of_array.score == of_file.score and np.array_equal(of_array.map, of_file.map)
        assert of_array.part_id is None and "part_id" not in of_array.as_json()


def test_the_parts_id_is_carried_and_stands_before_errors(inspector: Inspector, inspection: Inspection) -> None:
    assert inspection.part_id == "A-17" and inspection.as_json()["part_id"] == "A-17"
    with pytest.raises(ScanError, match=r"^A-18: has no measured point"):
        inspector.inspect(np.zeros((9, 9, 3)), part_id="A-18")
    with pytest.raises(UsageError, match=r"^A-19: points is a list, not an array"):
        inspector.inspect([[1.0]], part_id="A-19")  # type: ignore[arg-type]
    with pytest.raises(ScanError, match="this bundle inspects 3D scans: give points"):
        inspector.inspect()


def test_an_image_that_the_bundle_does_not_measure_is_not_looked_at(
    inspector: Inspector, points: np.ndarray[Any, Any], inspection: Inspection
) -> None:
    assert inspector.inspect(points, np.zeros((2, 2, 3), np.uint8)).score == inspection.score


def test_an_inspection_does_not_change_with_the_cameras_memory(
    inspector: Inspector, points: np.ndarray[Any, Any], inspection: Inspection
) -> None:
    frame = points.copy()
    own = inspector.inspect(frame)
    frame[:] = 7
    assert np.array_equal(own.heatmap(), inspection.heatmap())


def test_points_come_in_the_files_coordinates_with_the_map(
    points: np.ndarray[Any, Any], inspection: Inspection
) -> None:
    located, scores = inspection.points3d()
    assert located.dtype == np.float64 and located.shape == (len(scores), 3) and scores.dtype == np.float32
    np.testing.assert_allclose(located, points[inspection.valid], atol=1e-6)
    assert np.array_equal(scores, inspection.map[inspection.valid])
    moved, _ = replace(inspection, origin=(120.0, -40.0, 0.0)).points3d()
    np.testing.assert_allclose(moved, located + np.array([120.0, -40.0, 0.0]), rtol=0, atol=1e-12)
    assert [len(array) for array in replace(inspection, points=None).points3d()] == [0, 0]


def test_what_is_saved_can_be_read_again(inspection: Inspection, tmp_path: Path) -> None:
    files = inspection.save(tmp_path / "results", cloud=True)
    assert sorted(path.name for path in (tmp_path / "results").iterdir()) == [
        "A-17_cloud.ply",
        "A-17_heatmap.png",
        "A-17_map.tiff",
        "A-17_result.json",
    ]
    assert np.array_equal(tifffile.imread(files.map), inspection.map)
    said = json.loads(files.result.read_text())
    assert said["part_id"] == "A-17" and said["score"] == inspection.score and said["ms"]
    assert files.cloud is not None and read_scan(files.cloud).points.shape == (*inspection.map.shape, 3)
    assert inspection.save(tmp_path / "results", "other").cloud is None


def test_a_notebook_shows_it(inspection: Inspection) -> None:
    html = inspection._repr_html_()
    assert "gland: A-17" in html and "data:image/png;base64," in html
    rejected = replace(inspection, threshold=0.0, pixel_threshold=0.5 * float(inspection.map.max()))
    assert "defect" in rejected._repr_html_() and rejected._repr_html_().count("<tr>") > 1


def test_a_stream_takes_parts_in_memory_beside_files(
    inspector: Inspector, scan: Path, points: np.ndarray[Any, Any], tmp_path: Path
) -> None:
    parts = [PartInMemory("lot/1", points), scan, PartInMemory("2", np.zeros((9, 9, 3))), PartInMemory("3", points)]
    outcomes = list(inspect_stream(inspector, parts, tmp_path))
    assert [str(outcome.scan) for outcome in outcomes] == ["lot/1", str(scan), "2", "3"]
    assert [outcome.error is None for outcome in outcomes] == [True, True, False, True]
    scores = {outcome.inspection.score for outcome in outcomes if outcome.inspection is not None}
    ids = [outcome.inspection.part_id for outcome in outcomes if outcome.inspection is not None]
    assert len(scores) == 1 and ids == ["lot/1", None, "3"]
    assert len({outcome.heatmap for outcome in outcomes}) == 4


def test_an_inspector_keeps_no_part(inspector: Inspector, points: np.ndarray[Any, Any]) -> None:
    """Neither the caller's array nor the inspection lives on when the caller lets them go."""
    alive = []
    for _ in range(3):
        frame = points.copy()
        own = inspector.inspect(frame)
        alive += [weakref.ref(frame), weakref.ref(own), weakref.ref(own.map)]
        del frame, own
    gc.collect()
    assert [held() for held in alive] == [None] * 9


PROGRAM = """
import gc, sys
from pathlib import Path
import numpy as np
from cmdiad import Inspector

def resident():
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20

points = np.load(sys.argv[2])
with Inspector.load(sys.argv[1], threads=1) as inspector:
    for _ in range(5):
        inspector.inspect(points.copy(), part_id="warm")
    gc.collect()
    before = resident()
    for number in range(15):
        inspector.inspect(points.copy(), part_id=str(number))
    gc.collect()
    print(resident() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux's /proc")
def test_arrays_leak_no_memory_and_leave_no_file(
    calibrated_bundle: Path, points: np.ndarray[Any, Any], tmp_path: Path
) -> None:
    """1,000 of them: benchmarks/studies/array_memory.py."""
    np.save(tmp_path / "points.npy", points)
    empty, temporary = tmp_path / "empty", tmp_path / "temporary"
    empty.mkdir()
    temporary.mkdir()
    command = [sys.executable, "-c", PROGRAM, str(calibrated_bundle), str(tmp_path / "points.npy")]
    environment = {**os.environ, "TMPDIR": str(temporary), "HOME": str(empty), "OMP_NUM_THREADS": "1"}
    answer = subprocess.run(command, cwd=empty, env=environment, capture_output=True, text=True, check=True)
    one_frame = points.nbytes / 2**20
    assert float(answer.stdout) < 5 * one_frame
    assert list(empty.iterdir()) == [] and list(temporary.iterdir()) == []
