"""`cmdiad-rt` as a user meets it: output, files, exit codes."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tifffile
from cmdiad.runtime.files.outputs import output_paths
from cmdiad.runtime.sensor.scan import read_scan
from cmdiad.runtime.threads import usable_processors
from PIL import Image

from ..forked_commands import run_command

KEYS = {
    "scan",
    "product",
    "score",
    "threshold",
    "is_defect",
    "searched_again",
    "regions_found",
    "notes",
    "regions",
    "part_pixels",
    "part_diameter_m",
    "part_center_m",
    "part_box",
    "on_plane",
    "inspected_share",
    "measured_share",
    "other_objects",
    "heatmap",
    "map",
    "cloud",
    "ms",
}
COMMAND = [sys.executable, "-c", "from cmdiad.cli.line import main; main()"]


def run(*arguments, cwd, **environment):
    return run_command("cmdiad-rt", *arguments, cwd=cwd, **environment)


def run_fresh(*arguments, cwd, **environment):
    """In an interpreter that has imported nothing."""
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        cwd=cwd,
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "CMDIAD_BUNDLE": "", **environment},
    )


@pytest.fixture(scope="module")
def test_folder(synth_data):
    return synth_data / "gland" / "test"


def test_a_scan_gives_a_verdict_and_files_in_its_own_pixels(calibrated_bundle, test_folder, tmp_path):
    scan = test_folder / "dent" / "xyz" / "000.tiff"
    answer = run_fresh("infer", scan, "--bundle", calibrated_bundle, cwd=tmp_path)
    assert answer.returncode == 0, answer.stderr
    assert "000.tiff" in answer.stdout and "1 inspected" in answer.stdout
    shape = read_scan(scan).points.shape[:2]
    paths = output_paths(tmp_path / "inspections", scan)
    assert tifffile.imread(paths.map).shape == shape
    with Image.open(paths.heatmap) as image:
        assert image.size == shape[::-1]


def test_json_is_one_documented_object_a_scan_and_nothing_else(calibrated_bundle, test_folder, tmp_path):
    answer = run_fresh("infer", test_folder, "--json", cwd=tmp_path, CMDIAD_BUNDLE=str(calibrated_bundle))
    assert answer.returncode == 0, answer.stderr
    objects = [json.loads(line) for line in answer.stdout.splitlines()]
    assert len(objects) == 7
    for each in objects:
        assert each.keys() == KEYS
        assert 0 < each["inspected_share"] <= 1 and each["part_pixels"] > 0 and each["on_plane"] is True
        assert each["product"] == "gland" and each["other_objects"] == []
        assert each["is_defect"] == (each["score"] > each["threshold"])
        assert (tmp_path / each["heatmap"]).is_file() and (tmp_path / each["map"]).is_file()
        assert {"read", "preprocess", "group", "extract", "hallucinate", "search", "score"} <= each["ms"].keys()
    assert len({each["heatmap"] for each in objects}) == 7


def test_a_cloud_and_the_regions_of_defects_are_given_on_demand(calibrated_bundle, test_folder, tmp_path):
    scan = test_folder / "dent" / "xyz" / "000.tiff"
    infer = ["infer", scan, "--bundle", calibrated_bundle, "--heatmaps", "none", "--cloud", "defects"]
    answer = run(*infer, "--threshold", "1e-6", "--json", cwd=tmp_path)
    found = json.loads(answer.stdout)
    cloud = tmp_path / found["cloud"]
    assert answer.returncode == 0 and cloud == output_paths(tmp_path / "inspections", scan).cloud
    assert found["heatmap"] is None and "write" in found["ms"]
    points = read_scan(cloud).points
    assert np.count_nonzero(points.any(axis=-1)) == found["part_pixels"]
    np.testing.assert_allclose(points[points.any(axis=-1)].mean(axis=0), found["part_center_m"], atol=1e-3)
    assert found["regions_found"] >= len(found["regions"])
    text = run(*infer, "--threshold", "1e-6", cwd=tmp_path).stdout
    assert "written: " in text and (" mm at (" in text or "no region" in text)


def test_the_default_bundle_lies_beside(calibrated_bundle, test_folder, tmp_path):
    shutil.copytree(calibrated_bundle, tmp_path / "bundle")
    scan = test_folder / "good" / "xyz" / "000.tiff"
    assert run("infer", scan, cwd=tmp_path).returncode == 0


def test_a_lower_threshold_makes_a_defect_and_exit_one_if_asked(calibrated_bundle, test_folder, tmp_path):
    scan = test_folder / "good" / "xyz" / "000.tiff"
    arguments = ["infer", scan, "--bundle", calibrated_bundle, "--threshold", "1e-6", "--json"]
    assert run(*arguments, cwd=tmp_path).returncode == 0
    answer = run(*arguments, "--fail-on-defect", cwd=tmp_path)
    assert answer.returncode == 1 and json.loads(answer.stdout)["threshold"] == 1e-6


def bad_scans(folder):
    folder.mkdir()
    points = np.random.default_rng(0).random((40, 40, 3)).astype(np.float32)
    (folder / "empty.tiff").write_bytes(b"")
    tifffile.imwrite(folder / "whole.tiff", points, compression="zlib", photometric="rgb")
    raw = (folder / "whole.tiff").read_bytes()
    (folder / "whole.tiff").unlink()
    (folder / "truncated.tiff").write_bytes(raw[: len(raw) // 2])
    (folder / "text.tiff").write_text("not an image")
    tifffile.imwrite(folder / "flat.tiff", points[..., 0])
    tifffile.imwrite(folder / "four.tiff", np.zeros((40, 40, 4), np.float32), photometric="rgb", extrasamples=[0])
    tifffile.imwrite(folder / "integer.tiff", np.ones((40, 40, 3), np.uint16), photometric="rgb")
    tifffile.imwrite(folder / "missing.tiff", np.zeros((40, 40, 3), np.float32), photometric="rgb")
    rows, columns = np.mgrid[:200, :200].astype(np.float32)
    plane = np.stack([columns * 1e-3, rows * 1e-3, np.full_like(rows, 0.4)], axis=-1)
    tifffile.imwrite(folder / "all_plane.tiff", plane, photometric="rgb")
    small = np.zeros((200, 200, 3), np.float32)
    small[100:103, 100:103] = plane[100:103, 100:103]
    tifffile.imwrite(folder / "too_small.tiff", small, photometric="rgb")
    return sorted(folder.iterdir())


def test_each_bad_scan_alone_is_one_line_and_exit_three(calibrated_bundle, tmp_path):
    for scan in [*bad_scans(tmp_path / "bad"), tmp_path / "missing_file.tiff"]:
        answer = run("infer", scan, "--bundle", calibrated_bundle, "-q", cwd=tmp_path)
        assert answer.returncode == 3, (scan.name, answer.stderr)
        lines = answer.stderr.strip().splitlines()
        assert len(lines) == 1 and scan.name in lines[0], (scan.name, answer.stderr)


def test_a_bad_scan_among_many_does_not_stop_the_others(calibrated_bundle, test_folder, tmp_path):
    folder = tmp_path / "scans"
    bad = bad_scans(folder)
    source = test_folder / "good" / "xyz" / "000.tiff"
    for number in range(3):
        shutil.copy(source, folder / f"ok_{number}.tiff")
    bad.append(tmp_path / "missing_file.tiff")
    answer = run("infer", folder, bad[-1], "--bundle", calibrated_bundle, "-q", cwd=tmp_path)
    assert answer.returncode == 3
    assert "3 inspected" in answer.stdout and f"{len(bad)} could not be inspected" in answer.stdout
    assert sorted(p.name for p in (tmp_path / "inspections").rglob("*.png")) == [
        f"ok_{number}.tiff_heatmap.png" for number in range(3)
    ]
    assert len(answer.stderr.strip().splitlines()) == len(bad)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["infer"], 2, "SCAN"),
        (["infer", "x.tiff", "--bundle", "nowhere"], 4, "nowhere"),
        (["infer", "x.tiff"], 4, "CMDIAD_BUNDLE"),
        (["nonsense"], 2, "nonsense"),
    ],
)
def test_wrong_use_says_what_to_do(tmp_path, arguments, code, words):
    answer = run(*arguments, cwd=tmp_path)
    assert answer.returncode == code and words in answer.stderr and "Traceback" not in answer.stderr


def test_an_uncalibrated_bundle_is_refused(exported_bundle, test_folder, tmp_path):
    scan = test_folder / "good" / "xyz" / "000.tiff"
    answer = run("infer", scan, "--bundle", exported_bundle, cwd=tmp_path)
    assert answer.returncode == 4 and "cmdiad calibrate" in answer.stderr


@pytest.mark.parametrize(("provider", "code"), [("cuda", 5), ("tensorrt", 5), ("tensorrt-rtx", 5), ("abacus", 2)])
def test_a_provider_that_is_not_there_is_never_replaced(calibrated_bundle, test_folder, tmp_path, provider, code):
    import onnxruntime

    if provider in ("cuda", "tensorrt") and any("CUDA" in name for name in onnxruntime.get_available_providers()):
        pytest.skip("this machine has a GPU build of ONNX Runtime")
    scan = test_folder / "good" / "xyz" / "000.tiff"
    answer = run("infer", scan, "--bundle", calibrated_bundle, "--provider", provider, cwd=tmp_path)
    assert answer.returncode == code and provider in answer.stderr


def test_debug_shows_the_traceback(tmp_path):
    answer = run("infer", "x.tiff", "--debug", cwd=tmp_path)
    assert "Traceback" in answer.stderr and "BundleError" in answer.stderr


def test_version(tmp_path):
    from cmdiad.version import __version__

    assert run("--version", cwd=tmp_path).stdout.strip() == __version__


def test_profile_writes_time_and_memory_by_stage_and_a_trace(calibrated_bundle, test_folder, tmp_path):
    answer = run("infer", test_folder, "--bundle", calibrated_bundle, "--profile", cwd=tmp_path)
    assert answer.returncode == 0, answer.stderr
    assert "median ms" in answer.stdout
    stages = {
        each["stage"]: each for each in json.loads((tmp_path / "inspections" / "profile.json").read_text())["stages"]
    }
    assert {"read", "preprocess", "group", "extract", "hallucinate", "search", "score", "write"} <= stages.keys()
    assert all(each["runs"] % 7 == 0 and each["median_ms"] > 0 for each in stages.values())
    events = json.loads((tmp_path / "inspections" / "trace.json").read_text())["traceEvents"]
    assert len({event["args"]["scan"] for event in events if event["ph"] == "X"}) == 7
    # The workers, and, where there are more of them than scans, the thread of the networks.
    assert 1 <= len({event["tid"] for event in events if event["ph"] == "X"}) <= usable_processors() + 1
