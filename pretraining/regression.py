"""What both trainings share: tokens regress descriptors through a fixed isometry.

A token is to equal Q z, z being its centered descriptor and Q having orthonormal columns: then distances between tokens
are distances between descriptors, which is what a memory bank measures, and nothing that the descriptor leaves out
(place, turn, noise) can stay in the token.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

Float32 = npt.NDArray[np.float32]

WEIGHT_DECAY, BETAS, WARM_UP, MAX_GRADIENT_NORM = 0.02, (0.9, 0.98), 0.1, 1.0
# Share of a token's squared norm after the final norm that the descriptor fills, and that norm's gain at the start:
# small, so that training starts near the mean.
TOKEN_SCALE, FIRST_GAIN = 0.7, 0.3


@dataclass(frozen=True)
class Isometry:
    """Descriptors (n, k) to tokens (n, dim): centered, scaled to unit total variance, turned into token space."""

    mean: Float32
    matrix: Float32
    variance: float

    @classmethod
    def fit(cls, descriptors: Float32, dim: int, seed: int) -> Isometry:
        """From descriptors (n, k); if k exceeds the token width, their first principal components are kept."""
        mean = descriptors.mean(axis=0)
        centered = (descriptors - mean).astype(np.float64)
        variances, directions = np.linalg.eigh(centered.T @ centered / len(centered))
        kept = np.argsort(variances)[::-1][: dim - 1]
        frame, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((dim, len(kept))))
        amplitude = TOKEN_SCALE * np.sqrt(dim / variances.sum())
        matrix = amplitude * directions[:, kept] @ frame.T
        return cls(mean.astype(np.float32), matrix.astype(np.float32), float(TOKEN_SCALE**2 * dim))

    def __call__(self, descriptors: Float32) -> Float32:
        """(..., k) -> (..., dim) float32."""
        return np.asarray((descriptors - self.mean) @ self.matrix, dtype=np.float32)

    def unexplained(self, tokens: Tensor, wanted: Tensor) -> Tensor:
        """(...): squared error over the descriptors' total variance; 1 for a token that knows nothing."""
        return (tokens - wanted).square().sum(dim=-1) / self.variance


def optimize(model: nn.Module, loss_of_step: Callable[[], Tensor], steps: int, rate: float) -> list[float]:
    """AdamW with a one-cycle learning rate; `loss_of_step` draws a batch and gives its loss. Returns the losses."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, betas=BETAS, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, steps, pct_start=WARM_UP)
    losses = []
    for step in range(steps):
        loss = loss_of_step()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), MAX_GRADIENT_NORM)
        optimizer.step()
        schedule.step()
        losses.append(float(loss.detach()))
        if (step + 1) % 50 == 0:
            print(f"step {step + 1}/{steps}: loss {np.mean(losses[-50:]):.3f}", flush=True)
    return losses
