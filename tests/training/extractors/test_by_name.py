"""Extractors open by name with exactly the weights that were meant."""

import json
from pathlib import Path

import pytest
import timm
import torch
from cmdiad.runtime.errors import UsageError, WeightsError
from cmdiad.training.extractors import by_name
from cmdiad.training.extractors.by_name import open_extractor, reopen_extractor, weights_digest
from cmdiad.training.extractors.point_transformer import POINT_BERT_FULL, POINT_MAE_FULL, PointTransformer
from cmdiad.training.extractors.vit import VIT_BASE, VIT_BASE_AUGREG, VIT_SMALL, timm_image_transformer

CHECKPOINT_KEYS = Path(__file__).resolve().parents[4] / "shared" / "paper" / "checkpoint_keys.json"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("CMDIAD_WEIGHTS", str(tmp_path))
    return tmp_path


def published_point_mae(weights):
    extra = {"mask_token": torch.zeros(1, 1, 384), "increase_dim.0.weight": torch.zeros(96, 384, 1)}
    tensors = {f"module.MAE_encoder.{name}": value for name, value in weights.items()}
    return {"base_model": tensors | {f"module.{name}": value for name, value in extra.items()}, "epoch": 300}


def test_seeded_weights_repeat_are_said_to_be_random_and_leave_other_random_numbers_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first, again, other = (open_extractor("point-mae", "pc", f"random:{seed}") for seed in (0, 0, 1))
    assert torch.equal(torch.rand(3), expected)
    assert first.digest == again.digest != other.digest
    assert first.checkpoint == "random:0" and not first.network.training
    assert first.grouping == POINT_MAE_FULL.grouping
    torch.manual_seed(0)
    assert weights_digest(PointTransformer(POINT_MAE_FULL)) == first.digest


def test_the_published_file_is_found_in_the_weights_folder_at_full_size(folder):
    seeded = open_extractor("point-mae", "pc", "random:3")
    torch.save(published_point_mae(seeded.network.state_dict()), folder / "pretrain.pth")
    extractor = open_extractor("point-mae", "pc")
    assert extractor.digest == seeded.digest and extractor.checkpoint == str((folder / "pretrain.pth").resolve())
    with pytest.raises(WeightsError, match=r"missing blocks\.blocks\.0\.attn\.proj\.bias"):
        open_extractor("point-bert", "pc", str(folder / "pretrain.pth"))


@pytest.mark.parametrize(
    ("entry", "name", "config"),
    [("point_mae (pretrain.pth)", "point-mae", POINT_MAE_FULL), ("point_bert", "point-bert", POINT_BERT_FULL)],
)
def test_a_file_with_the_published_names_and_shapes_loads(folder, entry, name, config):
    if not CHECKPOINT_KEYS.exists():
        pytest.skip("the list of published checkpoint keys (../shared/paper) is not here")
    published = json.loads(CHECKPOINT_KEYS.read_text())[entry]
    ours = PointTransformer(config).state_dict()
    tensors = {
        key: torch.full(shape, float(number % 7)).to(ours[key.split(".", 2)[2]].dtype)
        for number, (key, shape) in enumerate(published["tensors"].items())
    }
    torch.save({published["container"]: tensors}, folder / "file.pth")
    network = open_extractor(name, "pc", str(folder / "file.pth")).network
    for key, value in tensors.items():
        assert torch.equal(network.state_dict()[key.split(".", 2)[2]], value), key


@pytest.mark.parametrize("name", [VIT_SMALL, pytest.param(VIT_BASE, marks=pytest.mark.slow)])
def test_a_local_dino_file_loads_with_its_own_width(folder, name):
    published = timm_image_transformer(name, initialized=False)
    file = folder / {VIT_SMALL: "dino_deitsmall8_pretrain.pth", VIT_BASE: "dino_vitbase8_pretrain.pth"}[name]
    torch.save(published.vit.state_dict(), file)
    extractor = open_extractor(name, "rgb")
    assert extractor.digest == weights_digest(published) and extractor.grouping is None
    assert extractor.network.token_dim == {VIT_SMALL: 384, VIT_BASE: 768}[name]


def test_an_extractor_is_opened_again_with_the_same_weights_or_not_at_all(folder):
    seeded = open_extractor("point-mae", "pc", "random:3")
    torch.save(published_point_mae(seeded.network.state_dict()), folder / "elsewhere.pth")
    used = open_extractor("point-mae", "pc", str(folder / "elsewhere.pth"))
    record = ("point-mae", "pc", used.checkpoint, used.digest)
    assert reopen_extractor(*record).digest == used.digest
    (folder / "elsewhere.pth").rename(folder / "pretrain.pth")
    assert reopen_extractor(*record).digest == used.digest
    torch.save(
        published_point_mae(open_extractor("point-mae", "pc", "random:4").network.state_dict()), folder / "pretrain.pth"
    )
    with pytest.raises(WeightsError, match="not the weights that the run was trained with"):
        reopen_extractor(*record)
    (folder / "pretrain.pth").unlink()
    with pytest.raises(WeightsError, match="put it there"):
        reopen_extractor(*record)


def test_the_embedded_pair_of_another_version_is_noticed():
    embedded = open_extractor("embedded", "pc")
    assert embedded.checkpoint is None
    assert reopen_extractor("embedded", "pc", None, embedded.digest).digest == embedded.digest
    with pytest.raises(WeightsError, match="embedded"):
        reopen_extractor("embedded", "pc", None, "0" * 64)
    with pytest.raises(UsageError, match="its own weights"):
        open_extractor("embedded", "rgb", "random:0")


@pytest.mark.parametrize(
    ("name", "modality", "checkpoint", "words"),
    [
        ("pointnet", "pc", None, "choose one of embedded, point-mae, point-bert"),
        ("point-mae", "pc", "random:x", "random:0"),
        ("vit_nonsense", "rgb", "random:0", "vit_base_patch8_224.dino"),
        ("vit_base_patch8_224.nonsense", "rgb", "random:0", "timm does not make"),
        ("point-mae", "rgb", None, "choose one of embedded, vit_base_patch8_224.dino"),
        ("resnet18@7", "rgb", "random:0", "no stage of stride 7: choose of 2, 4, 8, 16, 32, as in resnet18@8,16"),
        ("resnet18@2,8", "rgb", "random:0", "begin at 4 or 8"),
        ("resnet18@eight", "rgb", "random:0", "stages are chosen by their strides, as in resnet18@8,16"),
        ("vit_base_patch16_384.augreg_in21k_ft_in1k", "rgb", "random:0", "24x24 tokens of 384x384"),
    ],
)
def test_what_cannot_be_an_extractor_is_refused(name, modality, checkpoint, words):
    with pytest.raises(UsageError, match=words):
        open_extractor(name, modality, checkpoint)


def test_another_vit_is_taken_with_a_warning():
    with pytest.warns(UserWarning, match="untried"):
        network = timm_image_transformer("vit_tiny_patch16_224").eval()
    with torch.no_grad():
        assert network(torch.zeros(1, 3, 224, 224)).shape == (1, 14 * 14, 192)


def test_the_augreg_vit_has_a_classifier_that_is_left_alone(folder, monkeypatch):
    """At small size: the published file's form, with the 21,843 classes of its head beside."""
    small = timm_image_transformer(VIT_SMALL, initialized=False)
    monkeypatch.setattr(by_name, "timm_image_transformer", lambda *_: timm_image_transformer(VIT_SMALL, False))
    torch.save(small.vit.state_dict() | {"head.weight": torch.zeros(5, 384)}, folder / f"{VIT_BASE_AUGREG}.pth")
    assert open_extractor(VIT_BASE_AUGREG, "rgb").digest == weights_digest(small)


def test_a_published_cnn_file_loads_without_its_classifier(folder):
    network = timm.create_model("convnext_atto", pretrained=False)
    torch.save(network.state_dict(), folder / "convnext_atto.pth")
    extractor = open_extractor("convnext_atto@8,16", "rgb")
    assert extractor.checkpoint == str((folder / "convnext_atto.pth").resolve())
    assert extractor.dim == 80 + 160 and extractor.grouping is None
    first = network.stages[0].blocks[0].conv_dw.weight
    assert torch.equal(extractor.network.backbone.stages[0].blocks[0].conv_dw.weight, first)
    torch.save({"state_dict": {"stem.0.weight": torch.zeros(3)}}, folder / "convnext_atto.pth")
    with pytest.raises(WeightsError, match=r"missing .*stem\.0\.bias"):
        open_extractor("convnext_atto", "rgb")


def test_the_weights_of_a_cnn_are_asked_for_by_its_name(folder):
    with pytest.raises(WeightsError, match=r"resnet18\.safetensors: the weights of resnet18 are not here"):
        open_extractor("resnet18@8,16", "rgb")
