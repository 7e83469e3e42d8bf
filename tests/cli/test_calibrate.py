"""`cmdiad calibrate` keeps what is calibrated, refuses numbers that mean nothing, and says which scans to look at."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile
from cmdiad.runtime.bundle.reading import open_bundle
from cmdiad.runtime.files.audit import verify_audit
from PIL import Image

from ..forked_commands import run_command


def cmdiad(*arguments, cwd):
    return run_command("cmdiad", *arguments, cwd=cwd)


@pytest.fixture
def here(calibrated_bundle, tmp_path):
    shutil.copytree(calibrated_bundle, tmp_path / "bundle")
    return tmp_path


@pytest.fixture
def good(synth_data):
    return synth_data / "gland" / "train" / "good"


@pytest.mark.parametrize("command", ["calibrate", "export"])
def test_a_calibrated_bundle_is_not_overwritten(here, good, trained_run, command):
    before = (here / "bundle" / "manifest.json").read_bytes()
    arguments = [good] if command == "calibrate" else ["--run", trained_run]
    answer = cmdiad(command, *arguments, cwd=here)
    assert answer.returncode == 2, answer.stderr
    assert "is calibrated for product 'gland' (5 normal scans, threshold " in answer.stderr
    assert "--force replaces it" in answer.stderr and ".cmdiad keeps it" in answer.stderr
    assert answer.stderr.count("\n") == 1 and (here / "bundle" / "manifest.json").read_bytes() == before


def test_another_product_is_offered_a_bundle_of_its_own(here, good):
    carton = here / "data" / "carton" / "train" / "good"
    shutil.copytree(good, carton)
    answer = cmdiad("calibrate", carton, cwd=here)
    assert answer.returncode == 2 and "--out carton.cmdiad keeps it" in answer.stderr
    answer = cmdiad("calibrate", carton, "--out", "carton.cmdiad", "--coreset-ratio", "0.01", cwd=here)
    assert answer.returncode == 0, answer.stderr
    assert [open_bundle(here / name).manifest.product for name in ("bundle", "carton.cmdiad")] == ["gland", "carton"]
    assert "product: carton" in answer.stdout and "coreset of the main bank" in answer.stderr
    shares = [line.strip() for line in answer.stdout.splitlines() if "of the threshold: " in line]
    assert len(shares) == 3 and all(str(carton) in line for line in shares)
    scores = [float(line.split(",")[0]) for line in shares]
    assert scores == sorted(scores, reverse=True)


def test_known_defects_place_the_threshold_and_everything_is_told_as_json_and_html(here, good):
    """The rule is that of `known_defects`; here a crack is far above the normal scans, and a good part is not."""
    tests = good.parent.parent / "test"
    among = shutil.copy(good / "xyz" / "000.tiff", here / "among.tiff")
    options = ["--coreset-ratio", "0.01", "--false-reject-rate", "0.3", "--json", "--report", "report.html", "-q"]
    answer = cmdiad("calibrate", good, "--out", "b", "--defective", tests / "crack", *options, cwd=here)
    assert answer.returncode == 0, answer.stderr
    told = json.loads(answer.stdout)
    (crack,) = told["known_defects"]
    placement = told["threshold"]["placement"]
    assert placement["digests"] == [crack["sha256"]] and placement["lowest"] == crack["score"]
    assert told["threshold"] == json.loads((here / "b" / "manifest.json").read_text())["calibration"]["threshold"]
    if crack["score"] > placement["normal_value"]:
        assert told["threshold"]["value"] == pytest.approx((placement["normal_value"] * crack["score"]) ** 0.5)
    assert [scan["score"] for scan in told["scans"]] == sorted((scan["score"] for scan in told["scans"]), reverse=True)
    assert len(told["scans"]) == 5 and told["recommended"]["n_scans"] == 5 and told["trade"]
    assert told["report"] == "report.html" and told["suspicious_above_sigmas"] > 3
    page = (here / "report.html").read_text()
    assert page.count("data:image/jpeg;base64,") == 5 and "Known defects" in page and "calibrated" in page
    assert not re.search(r"https?://|<script|<link", page)
    answer = cmdiad("calibrate", good, "--out", "c", "--defective", among, "--coreset-ratio", "0.01", "-q", cwd=here)
    assert answer.returncode == 0, answer.stderr
    assert "known defects did not move it: 1 of 1 score at it or below" in answer.stdout
    assert "recommended for a false-reject rate of 1 %" in answer.stdout and "What other false-reject" in answer.stdout
    assert "1 of 1 known defects are normal scans too" in answer.stderr and "among.tiff" in answer.stderr


def test_a_good_part_is_no_known_defect(here, good):
    answer = cmdiad("calibrate", good, "--out", "b", "--defective", good.parent.parent / "test" / "good", cwd=here)
    assert answer.returncode == 2 and "is labeled good, so it is not a known defect" in answer.stderr
    answer = cmdiad("calibrate", good, "--out", "b", "--defective", "nowhere", cwd=here)
    assert answer.returncode == 3 and "nowhere" in answer.stderr and not (here / "b").exists()


def test_force_replaces_it(here, good):
    answer = cmdiad("calibrate", good, "--force", "--plane", "always", "--coreset-ratio", "0.01", "-q", cwd=here)
    assert answer.returncode == 0, answer.stderr
    manifest = open_bundle(here / "bundle").manifest
    assert manifest.calibration.coreset_ratio == 0.01 and manifest.preprocessing.plane == "always"
    assert manifest.calibration.part.n_parts == 5 and "plane: always (" in answer.stdout
    assert "bundle_parts.png" in answer.stdout
    with Image.open(here / "bundle_parts.png") as sheet:
        assert sheet.mode == "RGB" and sheet.width > 160


def test_normal_scans_that_do_not_agree_are_warned_of_by_name(here, good):
    """A part of another size among them, which learning would call normal."""
    scans = shutil.copytree(good / "xyz", here / "scans")
    points = tifffile.imread(scans / "004.tiff")
    tifffile.imwrite(scans / "004.tiff", points * np.float32(2), photometric="rgb")
    answer = cmdiad("calibrate", scans, "--out", "b", "--coreset-ratio", "0.01", "-q", cwd=here)
    assert answer.returncode == 0, answer.stderr
    warned = [line for line in answer.stderr.splitlines() if line.startswith("warning: ")]
    assert any("scans/004.tiff" in line and "shows a part of another size than most" in line for line in warned)


@pytest.mark.parametrize("unit", ["0", "-1", "nan", "inf"])
def test_a_unit_that_no_scan_can_have_is_refused(here, good, unit):
    answer = cmdiad("calibrate", good, "--out", "b", "--metres-per-unit", unit, cwd=here)
    assert answer.returncode == 2 and "per unit" in answer.stderr.replace("-", " ")
    assert not (here / "b").exists()


def test_an_update_writes_a_dated_bundle_beside_the_old_one_and_says_what_changed(here, recent_scans):
    before = (here / "bundle" / "manifest.json").read_bytes()
    names = [word for scan in sorted(recent_scans.iterdir()) for word in ("--accept-defective", scan.name)]
    answer = cmdiad("calibrate", "--update", recent_scans, *names, "--json", "-q", cwd=here)
    assert answer.returncode == 0, answer.stderr
    told = json.loads(answer.stdout)
    assert re.fullmatch(r"bundle-\d{8}", Path(told["bundle_after"]).name) and told["bundle_before"] == "bundle"
    assert told["digest_after"] == open_bundle(here / told["bundle_after"]).manifest.digest != told["digest_before"]
    assert len(told["scans"]) == 5 and told["threshold_before"]["value"] != told["threshold_after"]["value"]
    assert {"score", "plane_rms_m"} <= {measure["measure"] for measure in told["health"]}
    assert (here / "bundle" / "manifest.json").read_bytes() == before
    (entry,) = verify_audit(here / "audit.jsonl")
    assert entry.command[1:3] == ["calibrate", "--update"] and entry.bundle_after == told["digest_after"]


@pytest.mark.slow
def test_an_update_prints_both_bundles_side_by_side(here, good):
    names = [word for scan in sorted((good / "xyz").iterdir()) for word in ("--accept-defective", scan.name)]
    answer = cmdiad("calibrate", "--update", good, "--out", "new.cmdiad", "--replace", *names, "-q", cwd=here)
    assert answer.returncode == 0, answer.stderr
    assert "old bundle: bundle (unchanged)" in answer.stdout and "of 5 recent scans" in answer.stdout
    assert re.search(r"score threshold +[\d.]+ +[\d.]+\n", answer.stdout)
    assert re.search(r"golden normal +[\d.]+ good +[\d.]+ good\n", answer.stdout)
    assert "bundle: new.cmdiad" in answer.stdout and open_bundle(here / "new.cmdiad").manifest.product == "gland"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param(["--update", "--coreset-ratio", "0.1"], "--coreset-ratio: an update takes it", id="taken"),
        pytest.param(["--update", "--force"], "--force: an update takes it", id="force"),
        pytest.param(["--update", "--roi", "0,0,9,9"], "--roi: an update takes it", id="roi"),
        pytest.param(["--update", "--parts", "all"], "--parts: an update takes it", id="parts"),
        pytest.param(["--replace"], "--replace: goes with --update alone", id="replace"),
        pytest.param(["--update", "--out", "bundle"], "replaces nothing", id="in place"),
    ],
)
def test_options_that_do_not_go_together_are_refused(here, good, options, message):
    answer = cmdiad("calibrate", good, *options, cwd=here)
    assert answer.returncode == 2 and message in answer.stderr and answer.stderr.count("\n") == 1
