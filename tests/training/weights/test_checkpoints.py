"""Published checkpoints load as they are, wholly or not at all, and nothing in them is run."""

import argparse
import pickle
import zipfile

import numpy as np
import pytest
import torch
from cmdiad.runtime.errors import WeightsError
from cmdiad.training.weights import checkpoints
from cmdiad.training.weights.checkpoints import CMDIAD, POINT_BERT, POINT_MAE, VIT, load_checkpoint, read_checkpoint
from safetensors.torch import save_file
from torch import nn


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))


def same(network, other):
    first, second = network.state_dict(), other.state_dict()
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def other():
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))


def prefixed(prefix, model):
    return {prefix + name: value for name, value in model.state_dict().items()}


POINT_MAE_FILE = {
    "base_model": prefixed("module.MAE_encoder.", network())
    | {
        "module.mask_token": torch.zeros(1, 1, 384),
        "module.decoder_pos_embed.0.weight": torch.zeros(2, 2),
        "module.MAE_decoder.blocks.0.norm1.weight": torch.zeros(2),
        "module.increase_dim.0.weight": torch.zeros(2),
    },
    "optimizer": {"state": {0: {"step": 3}}},
    "epoch": 300,
    "metrics": {"acc": 0.0},
}
POINT_BERT_FILE = {
    "base_model": prefixed("module.transformer_q.", network())
    | prefixed("module.transformer_k.", other())
    | {
        "module.transformer_q.cls_head.0.weight": torch.zeros(2),
        "module.transformer_q.lm_head.weight": torch.zeros(2),
        "module.transformer_q.mask_token": torch.zeros(1),
        "module.dvae.codebook": torch.zeros(2),
        "module.queue": torch.zeros(2),
        "module.queue_ptr": torch.zeros(1),
    },
    "best_metrics": {"acc": np.float64(0.87)},
}
CMDIAD_FILE = {"model": network().state_dict(), "epoch": 64, "args": argparse.Namespace(lr=5e-4, AMP=False)}
DINO_FILE = {
    "teacher": prefixed("module.backbone.", network()) | {"module.head.mlp.0.weight": torch.zeros(2)},
    "student": prefixed("module.backbone.", other()),
}
FILES = {
    "point-mae": (POINT_MAE_FILE, POINT_MAE),
    "point-bert, with NumPy's numbers beside": (POINT_BERT_FILE, POINT_BERT),
    "cmdiad, with its options beside": (CMDIAD_FILE, CMDIAD),
    "dino, the backbone alone": (network().state_dict(), VIT),
    "dino, student and teacher": (DINO_FILE, VIT),
    "timm, with its classifier": (network().state_dict() | {"head.weight": torch.zeros(2)}, VIT),
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before torch 1.6"])
def test_a_published_form_loads_as_it_is(tmp_path, name, zipped):
    content, layout = FILES[name]
    torch.save(content, tmp_path / "file.pth", _use_new_zipfile_serialization=zipped)
    loaded = other()
    load_checkpoint(loaded, tmp_path / "file.pth", layout)
    assert same(loaded, network())


def test_safetensors_load_too(tmp_path):
    save_file(network().state_dict(), tmp_path / "file.safetensors")
    loaded = other()
    load_checkpoint(loaded, tmp_path / "file.safetensors", VIT)
    assert same(loaded, network())


def refused(tmp_path, content, layout, words):
    torch.save(content, tmp_path / "file.pth")
    loaded = other()
    with pytest.raises(WeightsError, match=words) as refusal:
        load_checkpoint(loaded, tmp_path / "file.pth", layout)
    assert "file.pth" in str(refusal.value) and same(loaded, other())
    return str(refusal.value)


def test_every_difference_is_named_and_nothing_is_loaded(tmp_path):
    weights = network().state_dict()
    del weights["0.bias"], weights["1.running_var"]
    weights["0.weight"] = torch.zeros(4, 5)
    weights["extra"] = weights["more"] = torch.zeros(1)
    message = refused(tmp_path, {"model": weights}, CMDIAD, "missing")
    assert "missing 0.bias, 1.running_var" in message
    assert "unexpected extra, more" in message
    assert r"0.weight (4, 5) instead of (4, 3)" in message


def test_what_is_left_alone_is_named_not_guessed(tmp_path):
    content = {"base_model": POINT_MAE_FILE["base_model"] | {"module.cls_token": torch.zeros(1)}}
    refused(tmp_path, content, POINT_MAE, "unexpected cls_token")


def test_another_container_is_no_checkpoint_of_this_form(tmp_path):
    refused(tmp_path, {"model": {"epoch": 3}}, CMDIAD, "no weights")
    refused(tmp_path, [1, 2], CMDIAD, "list")
    refused(tmp_path, {"state": network().state_dict()}, CMDIAD, "no weights")


class Payload:
    def __reduce__(self):
        return print, ("code in a checkpoint ran",)


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_file_is_refused_and_not_run(tmp_path, capsys, zipped):
    content = {"model": network().state_dict(), "args": Payload()}
    torch.save(content, tmp_path / "file.pth", _use_new_zipfile_serialization=zipped)
    with pytest.raises(WeightsError, match="never run"):
        read_checkpoint(tmp_path / "file.pth", CMDIAD)
    assert "ran" not in capsys.readouterr().out


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no archive", b"<html>not found</html>", pickle.dumps([])[:3]])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_damaged_file_is_named(tmp_path, content, suffix):
    path = tmp_path / f"file{suffix}"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=rf"file\{suffix}"):
        read_checkpoint(path, VIT)


def test_a_truncated_file_is_named(tmp_path):
    torch.save(CMDIAD_FILE, tmp_path / "whole.pth")
    content = (tmp_path / "whole.pth").read_bytes()
    for share in (0.3, 0.6, 0.95):
        (tmp_path / "file.pth").write_bytes(content[: int(share * len(content))])
        with pytest.raises(WeightsError, match=r"file\.pth"):
            read_checkpoint(tmp_path / "file.pth", CMDIAD)


def test_sizes_are_bounded_before_anything_is_read(tmp_path, monkeypatch):
    torch.save(CMDIAD_FILE, tmp_path / "file.pth")
    monkeypatch.setattr(checkpoints, "MAX_FILE_BYTES", 100)
    with pytest.raises(WeightsError, match="more than the 100"):
        read_checkpoint(tmp_path / "file.pth", CMDIAD)


def test_a_compressed_archive_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "file.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("file/data.pkl", bytes(10**6))
    with pytest.raises(WeightsError, match="compressed"):
        read_checkpoint(tmp_path / "file.pth", CMDIAD)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(WeightsError, match=r"nowhere\.pth"):
        read_checkpoint(tmp_path / "nowhere.pth", CMDIAD)
