from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from cmdiad.export import group_encoder
from cmdiad.export.group_encoder import SlicedGroupEncoder, for_export
from cmdiad.runtime.bundle.parameters import Grouping
from cmdiad.training.extractors.point_transformer import (
    GroupEncoder,
    PointTransformer,
    PointTransformerConfig,
    fold_batch_norm,
)
from torch import nn

TINY = PointTransformerConfig(
    grouping=Grouping(n_groups=10, group_size=8),
    dim=32,
    depth=2,
    heads=2,
    encoder_widths=(8, 16, 24),
    encoder_dim=32,
    token_blocks=(0, 1),
)


def trained(config: PointTransformerConfig = TINY) -> PointTransformer:
    """A network whose batch statistics and affine weights are not the initial ones."""
    torch.manual_seed(0)
    network = PointTransformer(config)
    with torch.no_grad():
        for _ in range(3):
            network(torch.randn(2, 10, 8, 3), torch.randn(2, 10, 3))
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return network.eval()


def sliced(network: PointTransformer) -> SlicedGroupEncoder:
    return SlicedGroupEncoder(fold_batch_norm(network).encoder, 8)


@pytest.mark.parametrize("slice_points", [8, 24, 1 << 20], ids=["one group", "a last slice that is shorter", "all"])
def test_slices_compute_what_the_encoder_does(monkeypatch: pytest.MonkeyPatch, slice_points: int) -> None:
    monkeypatch.setattr(group_encoder, "SLICE_POINTS", slice_points)
    network, groups = trained(), torch.randn(3, 10, 8, 3)
    with torch.inference_mode():
        torch.testing.assert_close(sliced(network)(groups), network.encoder(groups), rtol=1e-5, atol=1e-5)


def test_no_intermediate_tensor_is_larger_than_a_slice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_encoder, "SLICE_POINTS", 16)
    largest = 0

    class Watched(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            nonlocal largest
            out = func(*args, **(kwargs or {}))
            if isinstance(out, torch.Tensor):
                largest = max(largest, out.numel())
            return out

    encoder, groups = sliced(trained()), torch.randn(1, 10, 8, 3)
    with torch.inference_mode(), Watched():
        encoder(groups)
    assert largest == 16 * 32  # the widest layer of this encoder is its last


@pytest.mark.parametrize("encoder_dim", [32, 16], ids=["point_mae", "point_bert"])
def test_the_exported_copy_answers_as_the_network_which_stays_as_it_was(encoder_dim: int) -> None:
    network = trained(replace(TINY, encoder_dim=encoder_dim))
    groups, centers = torch.randn(2, 10, 8, 3), torch.randn(2, 10, 3)
    exported = for_export(network)
    with torch.inference_mode():
        torch.testing.assert_close(exported(groups, centers), network(groups, centers), rtol=1e-5, atol=1e-5)
    assert type(network.encoder) is GroupEncoder
    assert not any(isinstance(module, nn.BatchNorm1d) for module in exported.modules())


def test_other_networks_are_exported_as_they_are() -> None:
    network = nn.Linear(3, 4)
    assert for_export(network) is network
