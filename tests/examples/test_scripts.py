"""Every example runs, says what it promises, and leaves nothing but what it was asked for."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parent.parent.parent / "examples"
LONGEST_SECONDS = 60


@pytest.fixture(scope="module")
def data(synth_data: Path) -> Path:
    return synth_data / "gland"


def run(name: str, *arguments: object, folder: Path) -> str:
    begin = time.monotonic()
    answer = subprocess.run(
        [sys.executable, str(EXAMPLES / name), *map(str, arguments)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=LONGEST_SECONDS,
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert time.monotonic() - begin < LONGEST_SECONDS and "Traceback" not in answer.stderr
    return answer.stdout


def test_no_example_is_left_out() -> None:
    here = Path(__file__).read_text(encoding="utf-8")
    readme = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    for script in EXAMPLES.glob("*.py"):
        assert f'run("{script.name}"' in here and f"[{script.name}]({script.name})" in readme


@pytest.mark.slow
def test_a_camera_gets_a_verdict_for_each_frame_or_hears_of_it(
    data: Path, calibrated_bundle: Path, tmp_path: Path
) -> None:
    scans = data / "test" / "good" / "xyz"
    options = "--scans", scans, "--period", 0.1, "--frames", 6
    said = run("camera_loop.py", "--bundle", calibrated_bundle, *options, folder=tmp_path)
    *verdicts, summary, dropped = said.splitlines()
    assert len(verdicts) + int(dropped.split()[0]) == 6 and len(verdicts) > 0
    assert summary.startswith(f"{len(verdicts)} verdicts, ") and all(line.startswith("frame ") for line in verdicts)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_cell_sorts_two_products(data: Path, calibrated_bundle: Path, tmp_path: Path) -> None:
    good, bad = (data / "test" / kind / "xyz" / "000.tiff" for kind in ("good", "dent"))
    jobs = [("A/1", "lid", good), ("B-1", "gland", bad), ("C-1", "nobody", good), ("A-2", "lid", "table.tiff")]
    with (tmp_path / "jobs.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([("part_id", "product", "scan"), *jobs])
    import numpy as np
    import tifffile

    tifffile.imwrite(tmp_path / "table.tiff", np.zeros((90, 90, 3), np.float32), photometric="rgb")
    products = [f"--product={name}={calibrated_bundle}" for name in ("lid", "gland")]
    said = run("robot_cell.py", *products, "--jobs", "jobs.csv", folder=tmp_path)
    assert "A/1 (lid): " in said and "B-1 (gland): " in said
    assert "C-1: there is no bundle for 'nobody'" in said and "A-2: has no measured point" in said
    assert said.splitlines()[-1].endswith("2 to look at")


@pytest.mark.slow
def test_the_notebook_walks_from_arrays_to_a_page(data: Path, exported_bundle: Path, tmp_path: Path) -> None:
    said = run("notebook_walk.py", exported_bundle, data, tmp_path, folder=tmp_path)
    assert "5 good parts of (200, 200, 3)" in said and "array " in said and "worst at" in said
    assert "data:image/png;base64," in (tmp_path / "inspection.html").read_text()
    (result,) = (tmp_path / "results").glob("*_result.json")
    assert json.loads(result.read_text())["product"] == "part"


@pytest.mark.slow
def test_a_batch_becomes_a_table_with_its_errors(data: Path, calibrated_bundle: Path, tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    scans = [data / "test" / kind / "xyz" / "000.tiff" for kind in ("good", "dent")]
    said = run("batch_table.py", "--bundle", calibrated_bundle, *scans, "missing.tiff", folder=tmp_path)
    table = pandas.read_csv(tmp_path / "parts.csv", index_col="scan")
    assert len(table) == 3 and table.loc["missing.tiff", "verdict"] == "error" and "written: parts.csv" in said
    assert table["score"].notna().sum() == 2 and "no such file" in table.loc["missing.tiff", "error"]
