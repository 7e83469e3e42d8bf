from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from cmdiad.runtime.bundle.parameters import Grouping
from cmdiad.training.extractors.point_transformer import (
    POINT_BERT_FULL,
    POINT_EMBEDDED,
    POINT_MAE_FULL,
    Block,
    GroupEncoder,
    PointTransformer,
    PointTransformerConfig,
    fold_batch_norm,
    thinned_ranks,
    turn_invariant_coordinates,
)
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

CHECKPOINT_KEYS = Path(__file__).resolve().parents[4] / "shared" / "paper" / "checkpoint_keys.json"
TINY = PointTransformerConfig(
    grouping=Grouping(n_groups=16, group_size=8),
    dim=32,
    depth=4,
    heads=2,
    encoder_widths=(8, 16, 24),
    encoder_dim=32,
    token_blocks=(1, 3),
)
TINY_BERT = replace(TINY, encoder_dim=24, class_token=True)
TINY_INVARIANT = replace(TINY, thinned_to=6, turn_invariant=True)
TINY_CONFIGS = pytest.mark.parametrize(
    "config", [TINY, TINY_BERT, TINY_INVARIANT], ids=["point_mae", "point_bert", "turn_invariant"]
)


def parameter_count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def scan(batch: int, config: PointTransformerConfig, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shape = (batch, config.grouping.n_groups)
    groups = torch.randn(*shape, config.grouping.group_size, 3, generator=generator) * 1e-3
    return groups, torch.randn(*shape, 3, generator=generator) * 2e-2 + 0.3


def trained(config: PointTransformerConfig) -> PointTransformer:
    """A model with random weights whose batch statistics are not the initial ones."""
    torch.manual_seed(0)
    model = PointTransformer(config)
    with torch.no_grad():
        for seed in range(3):
            model(*scan(2, config, seed))
        for parameter in model.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    return model.eval()


def test_full_size_has_the_papers_parameter_count() -> None:
    assert parameter_count(PointTransformer(POINT_MAE_FULL)) == pytest.approx(21.825e6, rel=1e-3)


@pytest.mark.parametrize(
    ("entry", "prefix", "config"),
    [
        ("point_mae (pretrain.pth)", "module.MAE_encoder.", POINT_MAE_FULL),
        ("point_bert", "module.transformer_q.", POINT_BERT_FULL),
    ],
    ids=["point_mae", "point_bert"],
)
def test_published_keys_are_ours_behind_a_prefix(entry: str, prefix: str, config: PointTransformerConfig) -> None:
    if not CHECKPOINT_KEYS.exists():
        pytest.skip("the list of published checkpoint keys (../shared/paper) is not here")
    published = json.loads(CHECKPOINT_KEYS.read_text())[entry]["tensors"]
    ours = PointTransformer(config).state_dict()
    assert {prefix + name: list(tensor.shape) for name, tensor in ours.items()} == published


def test_block_equals_a_plain_formula() -> None:
    torch.manual_seed(0)
    block = Block(dim=24, heads=3).eval().double()
    x = torch.randn(2, 10, 24, dtype=torch.float64)
    weights = {name: value.detach().numpy() for name, value in block.named_parameters()}

    def layer_norm(v: np.ndarray, name: str) -> np.ndarray:
        centered = v - v.mean(-1, keepdims=True)
        normal = centered / np.sqrt((centered**2).mean(-1, keepdims=True) + 1e-5)
        return normal * weights[f"{name}.weight"] + weights[f"{name}.bias"]

    def attention(v: np.ndarray) -> np.ndarray:
        out = np.empty_like(v)
        qkv = v @ weights["attn.qkv.weight"].T
        for head in range(3):
            query, key, value = (qkv[..., 24 * part + 8 * head :][..., :8] for part in range(3))
            logits = query @ key.swapaxes(1, 2) / math.sqrt(8)
            share = np.exp(logits - logits.max(-1, keepdims=True))
            out[..., 8 * head : 8 * head + 8] = share / share.sum(-1, keepdims=True) @ value
        return out @ weights["attn.proj.weight"].T + weights["attn.proj.bias"]

    def mlp(v: np.ndarray) -> np.ndarray:
        hidden = v @ weights["mlp.fc1.weight"].T + weights["mlp.fc1.bias"]
        gelu = hidden * 0.5 * (1 + np.vectorize(math.erf)(hidden / math.sqrt(2)))
        return gelu @ weights["mlp.fc2.weight"].T + weights["mlp.fc2.bias"]

    expected = x.numpy()
    expected = expected + attention(layer_norm(expected, "norm1"))
    expected = expected + mlp(layer_norm(expected, "norm2"))
    np.testing.assert_allclose(block(x).detach().numpy(), expected, atol=1e-12)


def test_group_encoder_equals_the_published_form_with_convolutions_and_concatenation() -> None:
    encoder = trained(TINY).encoder
    groups, _ = scan(2, TINY)
    points = groups.flatten(0, 1).transpose(1, 2)
    local = encoder.first_conv(points)
    both = torch.cat([local.amax(2, keepdim=True).expand_as(local), local], dim=1)
    expected = encoder.second_conv(both).amax(2).view(2, TINY.grouping.n_groups, -1)
    torch.testing.assert_close(encoder(groups), expected, atol=1e-5, rtol=1e-5)


def test_training_mode_normalizes_with_batch_statistics() -> None:
    torch.manual_seed(0)
    encoder = GroupEncoder((8, 16, 24), 32)
    groups, _ = scan(2, TINY)
    before = encoder.first_conv[1].running_mean.clone()
    encoder(groups)
    assert not torch.equal(before, encoder.first_conv[1].running_mean)


@TINY_CONFIGS
def test_tokens_have_two_blocks_widths_and_repeat_exactly(config: PointTransformerConfig) -> None:
    model, (groups, centers) = trained(config), scan(3, config)
    tokens = model(groups, centers)
    assert tokens.shape == (3, 16, config.token_dim)
    assert torch.equal(tokens, model(groups, centers))


@TINY_CONFIGS
def test_tokens_do_not_depend_on_the_rest_of_the_batch(config: PointTransformerConfig) -> None:
    model, (groups, centers) = trained(config), scan(3, config)
    alone = torch.cat([model(groups[k : k + 1], centers[k : k + 1]) for k in range(3)])
    torch.testing.assert_close(model(groups, centers), alone, atol=1e-5, rtol=1e-5)


@TINY_CONFIGS
def test_folding_batch_norm_changes_nothing_but_the_layers(config: PointTransformerConfig) -> None:
    model, (groups, centers) = trained(config), scan(2, config)
    folded = fold_batch_norm(model)
    assert not any(isinstance(module, nn.BatchNorm1d) for module in folded.modules())
    assert any(isinstance(module, nn.BatchNorm1d) for module in model.modules())
    torch.testing.assert_close(folded(groups, centers), model(groups, centers), atol=1e-5, rtol=1e-5)


def test_groups_are_a_set_of_points() -> None:
    model, (groups, centers) = trained(TINY), scan(1, TINY)
    shuffled = groups[:, :, torch.randperm(8, generator=torch.Generator().manual_seed(1))]
    torch.testing.assert_close(model(shuffled, centers), model(groups, centers), atol=1e-5, rtol=1e-5)


def test_turn_invariant_tokens_know_neither_place_nor_turn_nor_unit() -> None:
    model, (groups, centers) = trained(TINY_INVARIANT), scan(1, TINY_INVARIANT)
    cos, sin = math.cos(0.7), math.sin(0.7)
    turn = torch.tensor([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
    elsewhere = model(8 * groups @ turn, 8 * (centers @ turn + torch.tensor([0.1, -0.2, 0.4])))
    torch.testing.assert_close(elsewhere, model(groups, centers), atol=1e-3, rtol=1e-3)


def test_turn_invariant_coordinates_of_a_slope_lie_in_its_plane() -> None:
    across = torch.randn(1, 4, 32, 2, generator=torch.Generator().manual_seed(0)) * 1e-3
    slope = (across @ torch.tensor([0.3, -0.2])).unsqueeze(-1)
    points, _ = turn_invariant_coordinates(torch.cat([across, slope], dim=-1), torch.randn(1, 4, 3))
    assert points[..., 2].abs().max() < 0.01
    assert points[..., 1].abs().max() > 0.1
    expected = across.norm(dim=-1) / torch.cat([across, slope], dim=-1).square().sum(-1).mean().sqrt()
    torch.testing.assert_close(points[..., 0], expected, atol=2e-3, rtol=0)


@given(st.integers(2, 256).flatmap(lambda size: st.tuples(st.just(size), st.integers(2, size))))
def test_thinned_ranks_rise_from_the_center_to_the_rim(sizes: tuple[int, int]) -> None:
    group_size, kept = sizes
    ranks = thinned_ranks(group_size, kept)
    assert len(ranks) == kept
    assert ranks[0] == 0
    assert ranks[-1] == group_size - 1
    assert (ranks.diff() > 0).all()


def test_a_group_cannot_be_thinned_to_more_than_it_has() -> None:
    with pytest.raises(ValueError, match="cannot be thinned"):
        thinned_ranks(8, 9)


def test_metres_enter_the_published_architecture_as_they_are() -> None:
    model, (groups, centers) = trained(TINY), scan(1, TINY)
    assert not torch.allclose(model(groups, centers + 0.1), model(groups, centers), atol=1e-3)


def test_embedded_preset_is_small() -> None:
    assert parameter_count(PointTransformer(POINT_EMBEDDED)) < 1_000_000
