"""What a route is trained to make small: the distance between what it hallucinates and what was there.

Sui et al. 2025, section 3.3: the mean over samples of the sum over places of the L2 norm of the difference. The
sum runs over the places that are used at inspection: the patches that carry part, for features; the pixels that
do, for a map of points; every pixel of an image, since an image extractor looks at all of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from ..runtime.features import network_input
from ..runtime.manifest import Modality
from .f2f import FeatureToFeature
from .paired_features import Pair
from .run import Distillation

Loss = Literal["l2", "l1", "cosine"]


def distillation_loss(hallucination: Tensor, target: Tensor, loss: Loss = "l2") -> Tensor:
    """The sum over places of the distance.

    Args:
        hallucination: (P, D), the places of all samples together.
        target: (P, D).
        loss: l2 or l1: the norm of the difference; cosine: one minus the cosine of the angle between them.
    """
    if loss == "cosine":
        return (1.0 - nn.functional.cosine_similarity(hallucination, target, dim=-1)).sum()
    return torch.linalg.vector_norm(hallucination - target, ord=2 if loss == "l2" else 1, dim=-1).sum()


def losses(
    network: nn.Module, route: Distillation, main: Modality, pairs: Sequence[Pair], loss: Loss, device: torch.device
) -> Iterator[Tensor]:
    """The terms of the loss of some samples, summed over them; one at a time, so that memory holds one.

    Args:
        network: of the route.
        route: f2f, f2i or i2f.
        main: the modality it hallucinates from; F2F does so in both directions.
        pairs: the samples.
        loss: see `distillation_loss`.
        device: the network's.
    """
    if route == "f2f":
        assert isinstance(network, FeatureToFeature)
        pc, rgb = _patches(pairs, "pc", device), _patches(pairs, "rgb", device)
        yield distillation_loss(network.hallucinate_rgb(pc).float(), rgb, loss)
        yield distillation_loss(network.hallucinate_pc(rgb).float(), pc, loss)
    elif route == "f2i":
        grid = _stacked([pair.measured(main).grid() for pair in pairs], device)
        seen = _stacked([network_input(pair.prepared(), other(main)) for pair in pairs], device)
        used = _mask([pair.valid if main == "rgb" else np.ones_like(pair.valid) for pair in pairs], device)
        hallucination = network(grid).float().permute(0, 2, 3, 1)
        yield distillation_loss(hallucination[used], seen.permute(0, 2, 3, 1)[used], loss)
    else:
        seen = _stacked([network_input(pair.prepared(), main) for pair in pairs], device)
        foreground = _mask([pair.foreground for pair in pairs], device)
        yield distillation_loss(network(seen).float()[foreground], _patches(pairs, other(main), device), loss)


def other(modality: Modality) -> Modality:
    """The modality that is missing where this one is measured."""
    return "rgb" if modality == "pc" else "pc"


def _patches(pairs: Sequence[Pair], modality: Modality, device: torch.device) -> Tensor:
    return torch.from_numpy(np.concatenate([pair.pc if modality == "pc" else pair.rgb for pair in pairs])).to(device)


def _stacked(arrays: Sequence[np.ndarray], device: torch.device) -> Tensor:
    return torch.from_numpy(np.stack(arrays)).to(device)


def _mask(masks: Sequence[np.ndarray], device: torch.device) -> Tensor:
    return torch.from_numpy(np.stack(masks)).to(device)
