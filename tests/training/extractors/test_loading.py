from __future__ import annotations

from pathlib import Path

import pytest
import torch
from cmdiad.training.extractors.loading import (
    EMBEDDED_DIR,
    IMAGE_WEIGHTS,
    POINT_WEIGHTS,
    load_embedded_image_extractor,
    load_embedded_point_extractor,
    load_half,
    save_half,
)
from cmdiad.training.extractors.point_transformer import POINT_EMBEDDED
from cmdiad.training.extractors.vit import N_TOKENS
from safetensors.torch import load_file


def test_embedded_weights_are_under_four_megabytes_together() -> None:
    assert POINT_WEIGHTS.stat().st_size + IMAGE_WEIGHTS.stat().st_size < 4_000_000


def test_embedded_point_extractor_gives_finite_tokens_in_eval_mode() -> None:
    model = load_embedded_point_extractor()
    grouping = POINT_EMBEDDED.grouping
    groups = torch.randn(1, grouping.n_groups, grouping.group_size, 3) * 1e-3
    with torch.no_grad():
        tokens = model(groups, torch.randn(1, grouping.n_groups, 3) * 2e-2)
    assert not model.training
    assert tokens.dtype == torch.float32
    assert tokens.shape == (1, grouping.n_groups, POINT_EMBEDDED.token_dim)
    assert torch.isfinite(tokens).all()


def test_embedded_image_extractor_gives_finite_tokens_in_eval_mode() -> None:
    model = load_embedded_image_extractor()
    with torch.no_grad():
        tokens = model(torch.randn(1, 3, 224, 224))
    assert not model.training
    assert tokens.dtype == torch.float32
    assert tokens.shape == (1, N_TOKENS, model.token_dim)
    assert torch.isfinite(tokens).all()


def test_half_precision_round_trip_keeps_what_half_precision_holds(tmp_path: Path) -> None:
    model = load_embedded_point_extractor()
    save_half(model, tmp_path / "weights.safetensors")
    written, embedded = load_file(tmp_path / "weights.safetensors"), load_file(POINT_WEIGHTS)
    assert written.keys() == embedded.keys()
    assert all(torch.equal(written[name], embedded[name]) for name in written)


def test_weights_of_another_architecture_are_refused() -> None:
    with pytest.raises(RuntimeError, match=r"size mismatch|Missing key"):
        load_half(load_embedded_point_extractor(), IMAGE_WEIGHTS)


def test_provenance_stands_beside_the_weights() -> None:
    assert (EMBEDDED_DIR / "PROVENANCE.md").is_file()
