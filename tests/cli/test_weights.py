"""`cmdiad weights` and `cmdiad features` as a user types them."""

import json

import numpy as np
import pytest
import torch
from cmdiad.cli.workstation import app
from cmdiad.runtime.errors import UsageError, WeightsError
from cmdiad.training.f2f import FeatureToFeature
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
