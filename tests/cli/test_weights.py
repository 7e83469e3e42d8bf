"""`cmdiad weights` and `cmdiad features` as a user types them."""

import json
import shutil

import numpy as np
import pytest
import tifffile
import torch
from cmdiad.cli.workstation import app
from cmdiad.runtime.bundle.parameters import Preprocessing
from cmdiad.runtime.errors import ScanError, UsageError, WeightsError
from cmdiad.runtime.preparation.prepare import prepare
from cmdiad.runtime.sensor.scan import read_scan
from cmdiad.training.routes.f2f import FeatureToFeature
from typer.testing import CliRunner


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("CMDIAD_WEIGHTS", str(tmp_path))
    torch.save({"model": FeatureToFeature(24, 16).state_dict()}, tmp_path / "MTFI_FtoF_PCs.pth")
    return tmp_path


def run(*arguments):
    return CliRunner().invoke(app, [str(each) for each in arguments])


def test_the_folder_is_printed(folder):
    assert run("weights", "path").stdout == f"{folder}\n"


def test_the_list_says_what_is_here(folder):
    rows = {row["name"]: row for row in json.loads(run("weights", "list", "--json").stdout)["weights"]}
    assert rows["f2f-pc"]["path"] == str(folder / "MTFI_FtoF_PCs.pth")
    assert rows["point-mae"]["path"] is None and rows["point-mae"]["license"] == "MIT"
    text = run("weights", "list").stdout
    assert "not published" in text and rows["point-mae"]["source"] in text and str(folder) in text


def test_verify_prints_digests_and_fails_on_a_wrong_file(folder):
    answer = run("weights", "verify", "--json")
    (verdict,) = json.loads(answer.stdout)["weights"]
    assert answer.exit_code == 0 and verdict["verdict"] == "ok"
    (folder / "MTFI_FtoF_PCs.pth").write_bytes(b"no weights")
    answer = run("weights", "verify")
    assert isinstance(answer.exception, WeightsError) and "wrong" in answer.stdout


def test_features_come_from_a_bundle(exported_bundle, synth_data, tmp_path):
    scan = synth_data / "gland" / "train" / "good" / "xyz" / "000.tiff"
    answer = run("features", scan, "--bundle", exported_bundle, "--out", tmp_path / "F.npz", "--quiet")
    assert answer.exit_code == 0, answer.output
    with np.load(tmp_path / "F.npz", allow_pickle=False) as stored:
        assert set(stored) == {"center_idx", "tokens", "patch", "hallucination"}


def test_features_decide_once_for_all_scans_whether_these_are_raw(synth_data, tmp_path):
    good = synth_data / "gland" / "train" / "good" / "xyz"
    for number in range(4):
        shutil.copy(good / f"{number:03}.tiff", tmp_path)
    points = read_scan(good / "004.tiff").points
    part = prepare(points, Preprocessing(plane="always", side="origin")).kept
    tifffile.imwrite(tmp_path / "cleared.tiff", np.where(part[..., None], points, 0), photometric="rgb")
    scans = sorted(tmp_path.glob("*.tiff"))
    answer = run("features", *scans[:-1], "--point-extractor", "embedded", "--out", tmp_path / "arrays")
    assert answer.exit_code == 0 and "warning" not in answer.stderr, answer.output
    answer = run("features", *scans, "--point-extractor", "embedded", "--out", tmp_path / "arrays")
    # The scan that is unlike the others is taken as they are, and nothing supports a plane in it.
    assert isinstance(answer.exception, ScanError) and "cleared.tiff" in str(answer.exception)
    assert "warning: 1 of 5 scans" in answer.stderr and "unlike the others" in answer.stderr


@pytest.mark.slow
def test_features_come_from_checkpoints_on_raw_and_preprocessed_scans(shared_data, folder):
    torch.manual_seed(0)
    torch.save({"model": FeatureToFeature(768, 768).state_dict()}, folder / "route.pth")
    box = shared_data / "tabletop_objects" / "box" / "train" / "good" / "xyz" / "000.tiff"
    for scan, sensor in ((box, "structured-light"), (shared_data / "tabletop_scenes" / "000" / "xyz.tiff", "kinect")):
        answer = run(
            *("features", scan, "--sensor", sensor, "--point-checkpoint", "random:0", "--out", folder / "F.npz"),
            *("--route-checkpoint", folder / "route.pth", "--quiet"),
        )
        assert answer.exit_code == 0, answer.output
        with np.load(folder / "F.npz", allow_pickle=False) as stored:
            shapes = {name: stored[name].shape for name in stored}
        assert shapes == {
            "center_idx": (1024,),
            "tokens": (1024, 768),
            "patch": (3136, 768),
            "hallucination": (3136, 768),
        }


def test_features_need_weights_or_a_bundle_and_not_both(folder, tmp_path):
    answer = run("features", "scan.tiff", "--bundle", tmp_path, "--point-checkpoint", "random:0", "--out", "F.npz")
    assert isinstance(answer.exception, UsageError) and "not both" in str(answer.exception)
    answer = run("features", "scan.tiff", "--route-checkpoint", folder / "MTFI_FtoF_PCs.pth", "--out", "F.npz")
    assert isinstance(answer.exception, WeightsError) and "Point-MAE" in str(answer.exception)


def test_features_come_from_extractors_that_need_no_checkpoint(synth_data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    good = synth_data / "gland" / "train" / "good"
    points = ["features", good / "xyz" / "000.tiff", "--point-extractor", "embedded"]
    image = ["features", good / "rgb" / "000.png", "--image-extractor", "embedded", "--main", "rgb"]
    for arguments, names in ((points, {"center_idx", "tokens", "patch"}), (image, {"tokens", "patch"})):
        answer = run(*arguments, "--out", "F.npz", "--quiet")
        assert answer.exit_code == 0, answer.output
        with np.load("F.npz", allow_pickle=False) as stored:
            assert set(stored) == names


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        (["--point-extractor", "point-bert"], "--point-checkpoint"),
        (["--main", "rgb", "--image-extractor", "vit_small_patch8_224.dino"], "--image-checkpoint"),
    ],
)
def test_an_extractor_whose_weights_are_not_here_says_which_option_takes_them(options, wanted):
    answer = run("features", "scan.tiff", "--out", "F.npz", *options)
    assert isinstance(answer.exception, WeightsError) and f"{wanted} FILE" in str(answer.exception)


@pytest.mark.parametrize(
    "options",
    [
        ["--point-extractor", "embedded"],
        ["--image-extractor", "embedded"],
        ["--route-checkpoint", "route.pth"],
        ["--main", "pc"],
        ["--sensor", "kinect", "--metres-per-unit", "0.001"],
    ],
)
@pytest.mark.parametrize("is_named", [True, False], ids=["named", "default"])
def test_features_of_a_bundle_take_no_option_of_networks_in_torch(exported_bundle, monkeypatch, options, is_named):
    networks = ("--point-extractor", "--image-extractor", "--route-checkpoint")
    if not is_named and options[0] in networks:
        return
    monkeypatch.setenv("CMDIAD_BUNDLE", str(exported_bundle))
    named = ["--bundle", exported_bundle] if is_named else []
    answer = run("features", "scan.tiff", "--out", "F.npz", *named, *options)
    assert isinstance(answer.exception, UsageError), answer.output
    assert ", ".join(options[::2]) in str(answer.exception) and "bundle" in str(answer.exception)


@pytest.mark.parametrize(
    ("options", "wrong", "advice"),
    [
        (["--image-extractor", "embedded"], "--image-extractor", "--main rgb"),
        (["--main", "rgb", "--point-checkpoint", "random:0"], "--point-checkpoint", "--main pc"),
    ],
)
def test_an_extractor_that_would_not_run_is_refused(options, wrong, advice):
    answer = run("features", "scan.tiff", "--out", "F.npz", *options)
    assert isinstance(answer.exception, UsageError)
    assert str(answer.exception).startswith(wrong) and advice in str(answer.exception)


def test_help_of_features_names_the_defaults():
    text = " ".join(run("features", "--help").stdout.split())
    for default in ("point-mae", "vit_base_patch8_224.dino", "pc", "structured-light"):
        assert f"[default: {default}]" in text
