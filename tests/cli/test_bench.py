"""`cmdiad-rt bench` as a user meets it: yes or no, reports, interruption, comparison."""

import json
import os
import shutil
import signal
import subprocess
import sys

import pytest
from cmdiad.runtime.threads import usable_processors

from ..forked_commands import run_command

COMMAND = [sys.executable, "-c", "from cmdiad.cli.line import main; main()", "bench"]
# A process started in the background may have been told to ignore Ctrl-C.
LISTENING = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
SHORT = ["--seconds", "0", "--samples", "3"]


def run(*arguments, cwd):
    return run_command("cmdiad-rt", "bench", *arguments, cwd=cwd)


@pytest.fixture(scope="module")
def measured(calibrated_bundle, tmp_path_factory):
    """One run of every scenario, with a takt that every machine holds."""
    folder = tmp_path_factory.mktemp("bench")
    scenarios = ["--scenario", "all", "--takt", "100ms", "--latency", "60s", "--streams", "2"]
    return folder, run("--bundle", calibrated_bundle, *scenarios, *SHORT, cwd=folder)


@pytest.mark.slow
def test_every_scenario_is_measured_and_reported(measured):
    folder, answer = measured
    assert answer.returncode == 0, answer.stderr
    assert "YES" in answer.stdout and "no figure here is an MLPerf result" in answer.stdout
    report = json.loads((folder / "bench" / "report.json").read_text())
    (outcome,) = report["outcomes"]
    names = [result["scenario"]["name"] for result in outcome["results"]]
    assert names == ["single-stream", "multi-stream", "server", "offline", "takt"]
    assert not report["partial"] and report["verdict"]["holds"]
    assert outcome["first_result_s"] >= outcome["opened_s"] > 0
    assert {work["name"] for work in outcome["work"]} == {"extract", "hallucinate", "search"}
    for result in outcome["results"]:
        # Every stage lies inside a call: of a part alone their sum can only fall short, by what the interpreter does in
        # between; of several parts every worker and the thread of the networks is in a stage of its own.
        alone = result["scenario"]["name"] != "offline" and all(c["parts"] == 1 for c in result["recording"]["calls"])
        assert 0.5 < result["stage_share"] <= (1.0 if alone else usable_processors() + 1.0)
        assert result["stage_s"]["write"] > 0
        assert result["summary"]["p90_s"] is None
    assert (folder / "bench" / "report.html").is_file() and (folder / "bench" / "report.md").is_file()


@pytest.mark.slow
def test_a_report_compared_with_itself_is_too_short_or_the_same(measured):
    folder, _ = measured
    answer = run("compare", "bench", "bench/report.json", cwd=folder)
    assert answer.returncode == 2 and "--seconds" in answer.stderr


@pytest.mark.slow
def test_a_takt_that_cannot_be_held_is_exit_seven_and_others_are_listed(calibrated_bundle, tmp_path):
    matrix = ["--provider", "cpu,abacus", "--coreset", "0.01,0.9"]
    arguments = ["--bundle", calibrated_bundle, "--scenario", "takt", "--takt", "1ms", *matrix, *SHORT, "--json"]
    answer = run(*arguments, cwd=tmp_path)
    assert answer.returncode == 7, answer.stderr
    assert "NO" in answer.stderr and "margin -" in answer.stderr
    report = json.loads(answer.stdout)
    assert len(report["outcomes"]) == 1 and len(report["skipped"]) == 3
    reasons = " ".join(each["reason"] for each in report["skipped"])
    assert "abacus" in reasons and "--coreset-ratio" in reasons


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="has names that are not UTF-8")
def test_a_scan_and_a_bundle_whose_names_are_not_utf8_are_measured(calibrated_bundle, synth_data, tmp_path):
    scan, bundle = (os.fsdecode(os.fsencode(tmp_path) + name) for name in (b"/teil_\xfc.tiff", b"/b\xfc"))
    shutil.copy(synth_data / "gland" / "test" / "good" / "xyz" / "000.tiff", scan)
    shutil.copytree(calibrated_bundle, bundle)
    scenario = ["--scenario", "single-stream"]
    answer = run("--bundle", bundle, "--scans", scan, *scenario, *SHORT, "--json", "-q", cwd=tmp_path)
    assert answer.returncode == 0, answer.stderr
    (outcome,) = json.loads(answer.stdout)["outcomes"]
    assert outcome["configuration"]["bundle"].endswith("b\\xfc") and outcome["results"]


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="sends SIGINT")
def test_ctrl_c_writes_what_was_measured_and_says_that_it_is_partial(calibrated_bundle, tmp_path):
    arguments = ["--bundle", calibrated_bundle, "--seconds", "600"]
    command = [sys.executable, "-c", LISTENING + COMMAND[2], *COMMAND[3:], *map(str, arguments)]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for line in process.stderr:
        if "single-stream: 1 of" in line:
            break
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=240)
    assert process.returncode == 130 and "partial" in errors and "PARTIAL" in output
    report = json.loads((tmp_path / "bench" / "report.json").read_text())
    (result,) = report["outcomes"][0]["results"]
    assert report["partial"] and result["recording"]["partial"] and result["recording"]["calls"]
    assert report["outcomes"][0]["not_run"].keys() == {"offline"}


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--takt", "800"], 2, "800ms"),
        (["--scenario", "server"], 2, "--rate"),
        (["--threads", "two"], 2, "--threads"),
        (["--bundle", "nowhere"], 4, "nowhere"),
        (["compare", "a.json", "b.json"], 2, "a.json"),
        (["compare", "a.json"], 2, "'AFTER'"),
        (["--takt", "800ms", "-q", "compare", "a.json", "b.json"], 2, "--takt, --quiet: has no effect before"),
        (["estimate", "sm42"], 2, "sm86"),
        (["estimate"], 2, "'TARGET'"),
        (["compute"], 2, "'compute'"),
    ],
)
def test_wrong_use_is_one_line_with_what_to_do(tmp_path, arguments, code, words):
    answer = run(*arguments, cwd=tmp_path)
    assert answer.returncode == code, answer.stderr
    assert words in answer.stderr and "Traceback" not in answer.stderr
    assert len(answer.stderr.strip().splitlines()) == 1


@pytest.mark.slow
def test_an_estimate_is_of_the_bundle_that_is_named(calibrated_bundle, tmp_path):
    answer = run("estimate", "sm86", "--bundle", calibrated_bundle, "--json", cwd=tmp_path)
    assert answer.returncode == 0, answer.stderr
    estimated = json.loads(answer.stdout)
    assert {each["kind"] for each in estimated["estimates"]} == {"ESTIMATE, not measured"} and len(
        estimated["work"]
    ) == 3
    assert list(tmp_path.iterdir()) == []


def test_a_bundle_that_is_not_calibrated_is_refused(exported_bundle, tmp_path):
    answer = run("--bundle", exported_bundle, cwd=tmp_path)
    assert answer.returncode == 4 and "cmdiad calibrate" in answer.stderr
