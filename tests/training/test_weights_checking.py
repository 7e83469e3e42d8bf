"""Files at hand are checked against their network, and against a digest where one is published."""

import dataclasses

import pytest
import torch
from cmdiad.runtime.errors import WeightsError
from cmdiad.training import weights_checking
from cmdiad.training.routes.f2f import FeatureToFeature
from cmdiad.training.weights import published as weights
from cmdiad.training.weights_checking import OK, verify_weights


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("CMDIAD_WEIGHTS", str(tmp_path))
    return tmp_path


def put(path):
    torch.save({"model": FeatureToFeature(24, 16).state_dict()}, path)


def test_a_whole_file_is_ok_and_one_under_a_wrong_name_is_not(folder):
    put(folder / "MTFI_FtoF_PCs.pth")
    put(folder / "MTFI_FtoI_RGB.pth")
    first, second = verify_weights([])
    assert (first.name, first.verdict) == ("f2f-pc", OK) and len(first.sha256) == 64
    assert second.name == "f2i-rgb" and "holds an F2F network" in second.verdict


def test_a_damaged_file_is_wrong_in_words(folder):
    (folder / "pretrain.pth").write_bytes(b"<html>")
    (verdict,) = verify_weights(["point-mae", "point-mae"])
    assert "pretrain.pth" in verdict.verdict and "get it again" in verdict.verdict


def test_a_published_digest_decides(folder, monkeypatch):
    put(folder / "MTFI_FtoF_PCs.pth")
    (verdict,) = verify_weights([])
    for digest, expected in ((verdict.sha256, OK), ("0" * 64, "not the published file")):
        entry = dataclasses.replace(weights.published_weights("f2f-pc"), sha256=digest)
        monkeypatch.setattr(weights_checking, "PUBLISHED", (entry,))
        assert expected in verify_weights([])[0].verdict


def test_what_is_not_there_is_said(folder):
    with pytest.raises(WeightsError, match="weights list"):
        verify_weights([])
    with pytest.raises(WeightsError, match=r"pretrain\.pth: is not here"):
        verify_weights(["point-mae"])
    with pytest.raises(WeightsError, match="no published weights 'pointnet'"):
        verify_weights(["pointnet"])
