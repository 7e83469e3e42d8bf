"""Which files the commands take, as a user meets it."""

import json
import shutil

import pytest

from ..forked_commands import run_command


def test_a_pattern_that_stands_for_nothing_is_an_outcome_and_the_others_are_inspected(
    calibrated_bundle, synth_data, tmp_path
):
    good = synth_data / "gland" / "test" / "good" / "xyz" / "000.tiff"
    (tmp_path / "empty").mkdir()
    arguments = ["infer", "*.nothing", good, "empty", "--bundle", calibrated_bundle, "-q"]
    answer = run_command("cmdiad-rt", *arguments, "--json", cwd=tmp_path)
    assert answer.returncode == 3
    lines = {line["scan"]: line for line in map(json.loads, answer.stdout.splitlines())}
    assert lines[str(good)]["score"] > 0 and len(lines) == 3
    assert lines["*.nothing"]["error"] == {"kind": "scan", "message": "*.nothing: no file matches this pattern"}
    assert "there is no scan" in lines["empty"]["error"]["message"]
    answer = run_command("cmdiad-rt", *arguments, cwd=tmp_path)
    assert answer.returncode == 3 and "1 inspected" in answer.stdout and "2 could not be inspected" in answer.stdout
    assert len(answer.stderr.strip().splitlines()) == 2


@pytest.mark.parametrize(
    ("asked", "code", "says"),
    [
        ("nowhere.tiff", 3, "nowhere.tiff: there is no such file"),
        ("gland/test", 2, "is labeled"),
        ("gland/test/crack", 2, "is labeled crack"),
        (".", 2, "several classes (gland, other)"),
    ],
)
def test_calibrate_refuses_what_is_not_normal_before_it_counts(
    exported_bundle, synth_data, tmp_path, asked, code, says
):
    shutil.copytree(synth_data, tmp_path / "data")
    shutil.copytree(tmp_path / "data" / "gland" / "train", tmp_path / "data" / "other" / "train")
    answer = run_command(
        "cmdiad", "calibrate", asked, "--bundle", exported_bundle, "--out", "x", "-q", cwd=tmp_path / "data"
    )
    assert answer.returncode == code and says in answer.stderr, answer.stderr
    assert len(answer.stderr.strip().splitlines()) == 1 and not (tmp_path / "data" / "x").exists()


def test_calibrate_takes_the_normal_training_parts_of_a_dataset_of_one_class(exported_bundle, synth_data, tmp_path):
    found = []
    for number, asked in enumerate((synth_data, synth_data / "gland", synth_data / "gland" / "train" / "good")):
        options = ["--bundle", exported_bundle, "--out", f"{number}", "--coreset-ratio", "0.005", "-q"]
        answer = run_command("cmdiad", "calibrate", asked, *options, "--no-line-graph", cwd=tmp_path)
        assert answer.returncode == 0, answer.stderr
        found.append(json.loads((tmp_path / f"{number}" / "manifest.json").read_text())["calibration"])
    assert found[0] == found[1] == found[2] and found[0]["n_scans"] == 5


def test_features_takes_the_files_that_the_bundle_looks_at(exported_bundle, synth_data, tmp_path):
    good = synth_data / "gland" / "test" / "good"
    answer = run_command("cmdiad", "features", good, "--bundle", exported_bundle, "--out", "arrays", "-q", cwd=tmp_path)
    assert answer.returncode == 0, answer.stderr
    assert sorted(file.name for file in (tmp_path / "arrays").iterdir()) == ["000.npz", "001.npz"]
    answer = run_command("cmdiad", "features", good, "*.no", "--bundle", exported_bundle, "--out", "none", cwd=tmp_path)
    assert answer.returncode == 3 and "*.no: no file matches" in answer.stderr and not (tmp_path / "none").exists()


def test_files_of_a_dataset_that_nothing_reads_are_a_warning_on_standard_error(calibrated_bundle, synth_data, tmp_path):
    shutil.copytree(synth_data / "gland" / "test" / "good", tmp_path / "good")
    (tmp_path / "good" / "xyz" / "002.stl").write_bytes(b"solid")
    answer = run_command("cmdiad-rt", "infer", "good", "--bundle", calibrated_bundle, "--json", cwd=tmp_path)
    assert answer.returncode == 0 and len(answer.stdout.splitlines()) == 2
    assert answer.stderr.startswith("warning: good/xyz: 1 of 3 files are left out (002.stl): a scan")


def test_files_among_scans_that_are_left_out_are_told_in_words_and_in_json(exported_bundle, synth_data, tmp_path):
    shutil.copytree(synth_data / "gland" / "train" / "good" / "xyz", tmp_path / "scans")
    (tmp_path / "scans" / "image.png").write_bytes(b"a picture")
    options = ["--bundle", exported_bundle, "--out", "new", "--coreset-ratio", "0.01", "--json"]
    answer = run_command("cmdiad", "calibrate", "scans", *options, cwd=tmp_path)
    assert answer.returncode == 0, answer.stderr
    told = "scans: 1 of 6 files are left out (image.png): a scan ends in"
    assert answer.stderr.count(f"warning: {told}") == 1
    assert json.loads(answer.stdout)["warnings"][0].startswith(told)
    answer = run_command("cmdiad-rt", "infer", "scans", "--bundle", "new", cwd=tmp_path)
    assert answer.returncode == 0 and answer.stderr.startswith(f"warning: {told}")
