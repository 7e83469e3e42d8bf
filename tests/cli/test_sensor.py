"""`cmdiad sensor`, --sensor and --set from end to end: a file is made, measured, checked, shown, and used."""

import json
import shutil

import numpy as np
import pytest
from cmdiad.runtime.bundle.reading import open_bundle

from ..forked_commands import run_command


def run(*arguments, cwd, program="cmdiad"):
    return run_command(program, *arguments, cwd=cwd)


@pytest.fixture
def good(synth_data):
    return synth_data / "gland" / "train" / "good"


def test_a_new_file_is_checked_and_shown(tmp_path):
    answer = run(
        "sensor", "new", "--preset", "kinect", "--out", "cell.toml", "--set", "geometry.grid=64x48", cwd=tmp_path
    )
    assert answer.returncode == 0, answer.stderr
    assert "grid = [64, 48]" in (tmp_path / "cell.toml").read_text()
    answer = run("sensor", "new", "--out", "cell.toml", cwd=tmp_path)
    assert answer.returncode == 2 and "cell.toml: is there already" in answer.stderr
    answer = run("sensor", "check", "cell.toml", cwd=tmp_path)
    assert answer.returncode == 0 and "sensor 'cell', preset kinect" in answer.stdout
    answer = run("sensor", "show", "cell.toml", "--json", "--set", "preprocessing.plane=never", cwd=tmp_path)
    shown = json.loads(answer.stdout)
    assert shown["preprocessing.plane"] == "never" and shown["preprocessing.cluster_distance_m"] == 0.02
    assert shown["geometry.grid"] == [64, 48] and shown["derived"] == []


def test_a_sensor_is_fitted_and_its_scans_are_checked(tmp_path, good):
    answer = run("sensor", "fit", good, "--out", "cell.toml", "-q", cwd=tmp_path)
    assert answer.returncode == 0, answer.stderr
    assert "pixel pitch:" in answer.stdout and "cell_fit.png" in answer.stdout
    assert {path.name for path in tmp_path.iterdir()} == {"cell.toml", "cell_fit.png", "cell_fit.html"}
    answer = run("sensor", "check", "cell.toml", good, "--json", cwd=tmp_path)
    assert answer.returncode == 0, answer.stderr
    checked = json.loads(answer.stdout)
    assert checked["plane"].startswith("always") and len(checked["scans"]) == 5
    assert checked["scans"][0]["pixel_pitch_m"] == pytest.approx(0.0005, rel=0.05)


def test_a_scan_that_cannot_be_read_fails_the_check(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((8, 8, 3), np.float32))
    answer = run("sensor", "check", "kinect", "a.npy", cwd=tmp_path)
    assert answer.returncode == 3 and "has no measured point" in answer.stdout and "1 of 1 scans" in answer.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train", "data", "--set", "preprocessing.plain=never"], "did you mean preprocessing.plane?"),
        (["preprocess", "data", "out", "--set", "plane=never"], "did you mean preprocessing.plane?"),
        (["preprocess", "data", "out", "--sensor", "kinct"], "the presets are structured-light"),
        (["sensor", "show", "nothing.toml"], "nothing.toml: cannot be read"),
        (["sensor", "new", "--set", "preprocessing.border_pixels=0"], "border_pixels is 0, must be from 1"),
    ],
)
def test_what_makes_no_sense_is_refused_before_any_work(tmp_path, arguments, words):
    answer = run(*arguments, cwd=tmp_path)
    assert answer.returncode == 2 and words in answer.stderr and len(answer.stderr.splitlines()) == 1


@pytest.mark.slow
def test_a_calibrated_bundle_says_what_another_sensor_changes_and_carries_it(tmp_path, good, calibrated_bundle):
    shutil.copytree(calibrated_bundle, tmp_path / "bundle")
    (tmp_path / "cell.toml").write_text('[sensor]\nname = "cell 3"\n[preprocessing]\nplane_distance_m = 0.002\n')
    words = "preprocessing.plane_distance_m 0.005 -> 0.002"
    answer = run("sensor", "check", "cell.toml", "--bundle", "bundle", cwd=tmp_path)
    assert answer.returncode == 0 and words in answer.stdout and "must be made again" in answer.stdout
    scan = good / "xyz" / "000.tiff"
    answer = run("infer", scan, "--sensor", "cell.toml", cwd=tmp_path, program="cmdiad-rt")
    assert answer.returncode == 2 and words in answer.stderr and "leave --sensor out" in answer.stderr
    answer = run("watch", good, "--sensor", "cell.toml", cwd=tmp_path, program="cmdiad-rt")
    assert answer.returncode == 2 and words in answer.stderr and not (tmp_path / "inspections").exists()
    options = ("--sensor", "cell.toml", "--set", "preprocessing.cluster_min_points=40", "--out", "new")
    answer = run("calibrate", good, *options, "--coreset-ratio", "0.01", "-q", cwd=tmp_path)
    assert answer.returncode == 0, answer.stderr
    assert f"sensor: {words}; preprocessing.cluster_min_points 30 -> 40: banks were made from other" in answer.stdout
    assert "are now made from these" in answer.stdout and "must be made again" not in answer.stdout
    manifest = open_bundle(tmp_path / "new").manifest
    assert manifest.sensor.name == "cell 3" and manifest.preprocessing.plane_distance_m == 0.002
    assert manifest.preprocessing.cluster_min_points == 40 and manifest.preprocessing.plane == "always"
    answer = run("sensor", "show", "new", cwd=tmp_path)
    assert 'name = "cell 3"' in answer.stdout and "plane_distance_m = 0.002" in answer.stdout
    answer = run("infer", scan, "--bundle", "new", "--sensor", "cell.toml", "--json", cwd=tmp_path, program="cmdiad-rt")
    assert answer.returncode == 2 and "cluster_min_points 40 -> 30" in answer.stderr
