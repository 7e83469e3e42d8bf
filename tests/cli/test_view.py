"""`cmdiad view SCAN`: what it prints and writes, and what it refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from cmdiad.runtime.sensor.scan import read_scan
from PIL import Image

from ..forked_commands import run_command


@pytest.fixture(scope="module")
def scan(synth_data: Path) -> Path:
    return synth_data / "gland" / "test" / "dent" / "xyz" / "000.tiff"


def view(*arguments: object, folder: Path) -> subprocess.CompletedProcess[str]:
    return run_command("cmdiad", "view", *arguments, cwd=folder)


def view_fresh(*arguments: object, folder: Path) -> subprocess.CompletedProcess[str]:
    """In an interpreter that has imported nothing."""
    command = [sys.executable, "-m", "cmdiad", "view", *map(str, arguments)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def size_of(path: Path) -> tuple[int, int]:
    with Image.open(path) as picture:
        return picture.size


def test_a_picture_is_saved_without_a_window_and_the_verdict_said(
    scan: Path, calibrated_bundle: Path, tmp_path: Path
) -> None:
    answer = view_fresh(scan, "--bundle", calibrated_bundle, "--save", "view.png", folder=tmp_path)
    assert answer.returncode == 0, answer.stderr
    assert size_of(tmp_path / "view.png") == (3 * 480, 504)
    scanned, part, verdict, written = answer.stdout.splitlines()
    assert scanned.startswith("scan: 200 x 200 pixels, ") and part.startswith("part: ")
    assert "score" in verdict and "regions above" in verdict and written == "written: view.png"


def test_a_cloud_is_saved_without_a_bundle(scan: Path, tmp_path: Path) -> None:
    answer = view(scan, "--save", "view.PLY", "--json", folder=tmp_path)
    assert answer.returncode == 0, answer.stderr
    said = json.loads(answer.stdout)
    assert said["saved"] == "view.PLY" and said["part_pixels"] > 0 and "score" not in said
    assert np.array_equal(read_scan(tmp_path / "view.PLY").points, read_scan(scan).points)


def test_a_scan_without_a_part_is_shown_and_ends_with_three(tmp_path: Path) -> None:
    rows, columns = np.mgrid[:120, :120] * 1e-3
    np.save(tmp_path / "table.npy", np.stack([columns, rows, np.full_like(rows, 0.4)], -1).astype(np.float32))
    answer = view("table.npy", "--plane", "always", "--save", "view.png", "--json", folder=tmp_path)
    assert answer.returncode == 3 and len(answer.stderr.splitlines()) == 1
    assert json.loads(answer.stdout)["error"]["kind"] == "scan"
    assert size_of(tmp_path / "view.png") == (480, 504)


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("--save", "view.jpg"), 2, "ends in .png for a picture, or .ply for a cloud"),
        (("--bundle", "bundle", "--sensor", "kinect", "--save", "view.png"), 2, "are the bundle's"),
        (("--bundle", "nothing", "--save", "view.png"), 4, "nothing"),
    ],
)
def test_what_makes_no_sense_is_refused(
    scan: Path, tmp_path: Path, arguments: tuple[str, ...], code: int, says: str
) -> None:
    answer = view(scan, *arguments, folder=tmp_path)
    assert answer.returncode == code and says in answer.stderr and len(answer.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_the_window_needs_its_extra_and_says_so_before_any_work(tmp_path: Path) -> None:
    code = "import sys; sys.modules['open3d'] = None; from cmdiad.cli.workstation import main; main()"
    command = [sys.executable, "-c", code, "view", "scan.tiff"]
    answer = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert answer.returncode == 2 and "cmdiad view needs the extra `viz`: pip install 'cmdiad[viz]'" in answer.stderr
