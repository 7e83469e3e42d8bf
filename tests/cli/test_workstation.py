"""`cmdiad` as a user meets it: the loop with its default places, and plain words for wrong use."""

import json
import os
import subprocess
import sys

import pytest

from ..forked_commands import run_command

COMMANDS = {
    name: [sys.executable, "-c", f"from cmdiad.cli.{module} import main; main()"]
    for name, module in (("cmdiad", "workstation"), ("cmdiad-rt", "line"))
}


def run(line, cwd):
    name, *arguments = line.split()
    return run_command(name, *arguments, cwd=cwd)


def run_fresh(line, cwd):
    """In an interpreter that has imported nothing."""
    name, *arguments = line.split()
    return subprocess.run(
        [*COMMANDS[name], *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "CMDIAD_BUNDLE": ""},
    )


@pytest.mark.slow
def test_the_loop_as_the_readme_types_it(tmp_path):
    """Every command in its default place: runs/latest, ./bundle, ./inspections; one of each program from its start."""
    for line, start in (
        ("cmdiad synth data --class gland --train 4 --validation 0 --test-good 2 --per-defect 1 --size 200", run),
        ("cmdiad preprocess data clean", run),
        ("cmdiad train data --route f2f --epochs 2", run_fresh),
        ("cmdiad export --route f2f", run),
        ("cmdiad calibrate data/gland/train/good --coreset-ratio 0.02 --product gland-7", run),
    ):
        answer = start(line, tmp_path)
        assert answer.returncode == 0, (line, answer.stderr)
    assert "rejected" in answer.stdout and "95 % confidence" in answer.stdout
    assert (tmp_path / "runs" / "latest" / "run.json").is_file()
    answer = run_fresh("cmdiad-rt infer data/gland/test/crack/xyz/000.tiff --json", tmp_path)
    assert answer.returncode == 0, answer.stderr
    assert json.loads(answer.stdout)["score"] > 0
    answer = run(
        "cmdiad evaluate clean --route single --route f2f --json --coreset-ratio 0.02 --report results", tmp_path
    )
    assert answer.returncode == 0, answer.stderr
    found = json.loads(answer.stdout)
    assert {path.suffix for path in (tmp_path / "results").iterdir()} == {".html", ".md", ".csv", ".json"}
    parts = (tmp_path / "results" / "parts.csv").read_text().splitlines()
    assert len(parts) == 1 + len(found["parts"]) and parts[0].startswith(
        "class,route,main,scored_by,part,defect,score,"
    )
    assert [row["route"] for row in found["rows"]] == ["single", "f2f"]
    assert {row["defect"] for row in found["defects"]} == {
        "contamination",
        "crack",
        "dent",
        "missing_piece",
        "worn_texture",
    }


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        ("cmdiad train nowhere", 2, "nowhere: there is no such folder: check the path of the dataset"),
        ("cmdiad train nowhere --route single", 2, "'f2f', 'f2i', 'i2f'"),
        ("cmdiad export", 2, "cmdiad train"),
        ("cmdiad calibrate nowhere", 4, "no bundle"),
        ("cmdiad evaluate nowhere", 2, "cmdiad train"),
        ("cmdiad evaluate nowhere --route single --route f3f", 2, "--route: 'f3f' is not one of 'f2f', 'f2i', 'i2f',"),
        ("cmdiad evaluate nowhere --main xyz", 2, "--main: 'xyz' is not one of 'pc', 'rgb'"),
        ("cmdiad evaluate nowhere --settings here.toml", 2, "here.toml: cannot be read"),
        ("cmdiad calibrate nowhere --settings here.toml", 2, "here.toml: cannot be read"),
        ("cmdiad reproduce 2 nowhere", 2, "nowhere: there is no such folder: check the path of the dataset"),
        ("cmdiad reproduce 2 nowhere --markdown both --csv both", 2, "two reports would be written there"),
        ("cmdiad reproduce 2 nowhere --run nowhere", 2, "nowhere: there is no such folder: check the path of"),
        (
            "cmdiad reproduce mvtec3d nowhere",
            2,
            "nowhere: there is no such folder: give the root of MVTec 3D-AD, from https://",
        ),
        ("cmdiad reproduce 2 nowhere --check", 2, "--check: goes with mvtec3d alone"),
        ("cmdiad reproduce 6 nowhere", 2, "N: '6' is not one of '2', '3', '4', '5', 'a1',"),
        ("cmdiad export --precision fp8", 2, "--precision: 'fp8' is not one of 'fp32', 'fp16', 'bf16', 'int8'"),
        ("cmdiad synth . --class teapot", 2, "teapot"),
        ("cmdiad train data --batch-size 0", 2, "batch-size"),
    ],
)
def test_wrong_use_is_one_line_that_says_what_to_do(tmp_path, line, code, words):
    answer = run(line, tmp_path)
    assert answer.returncode == code, answer.stderr
    assert words in answer.stderr and "Traceback" not in answer.stderr


def test_every_command_explains_itself(tmp_path):
    for name in ("demo", "synth", "preprocess", "train", "export", "calibrate", "evaluate", "reproduce"):
        answer = run(f"cmdiad {name} --help", tmp_path)
        assert answer.returncode == 0 and "--" in answer.stdout


@pytest.mark.slow
def test_a_table_of_the_paper_is_printed_and_written(synth_data, trained_run, tmp_path):
    extractors = "--point-extractor embedded --image-extractor embedded"
    line = f"cmdiad reproduce a3 {synth_data} --run {trained_run} {extractors} --csv a3.csv --quiet"
    answer = run(line, tmp_path)
    assert answer.returncode == 0, answer.stderr
    assert "Table A3." in answer.stdout and "written: a3.csv" in answer.stdout
    rows = [row.split(",") for row in (tmp_path / "a3.csv").read_text().splitlines()]
    assert any("ours" in row for row in rows) and "not run" not in answer.stdout
    answer = run(f"{line} --json", tmp_path)
    assert answer.returncode == 0, answer.stderr
    assert json.loads(answer.stdout).keys() == {"tables"}


@pytest.mark.slow
def test_training_and_evaluation_take_eyecandies_as_it_unpacks(eyecandies_data, tmp_path):
    sensor = "--sensor eyecandies --quiet"
    for line in (
        f"cmdiad train {eyecandies_data} --route f2f --epochs 1 {sensor}",
        f"cmdiad evaluate {eyecandies_data} --route single --coreset-ratio 0.02 --json",
    ):
        answer = run(line, tmp_path)
        assert answer.returncode == 0, (line, answer.stderr)
    (row,) = json.loads(answer.stdout)["rows"]
    assert row["class"] == "Praline" and row["n_test"] == 5 and row["i_auroc"] > 0.9


@pytest.mark.parametrize("line", ["train {data} --out afile --epochs 1", "preprocess {data} afile", "demo afile"])
def test_a_file_where_a_folder_shall_be_is_named(synth_data, tmp_path, line):
    (tmp_path / "afile").write_text("words")
    answer = run(f"cmdiad {line.format(data=synth_data)}", tmp_path)
    assert answer.returncode == 2 and "afile: is a file, not a folder" in answer.stderr
    assert (tmp_path / "afile").read_text() == "words"
