"""What a route is trained to make small: the distance between what it hallucinates and what was there.

Sui et al. 2025, section 3.3: the mean over samples of the sum over places of the L2 norm of the difference. The
sum runs over the places that are used at inspection: the patches that carry part, for features; the pixels that
do, for a map of points; every pixel of an image, since an image extractor looks at all of it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from ...runtime.bundle.parameters import Modality
from ..choices import Loss
from ..features.paired_features import Pair


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


def patches_of(pairs: Sequence[Pair], modality: Modality, device: torch.device) -> Tensor:
    """(P, D) float32, a modality's features of the patches that carry part, of all samples together."""
    return torch.from_numpy(np.concatenate([pair.pc if modality == "pc" else pair.rgb for pair in pairs])).to(device)


def stacked(arrays: Sequence[np.ndarray], device: torch.device) -> Tensor:
    """Arrays of one shape as a batch."""
    return torch.from_numpy(np.stack(arrays)).to(device)
