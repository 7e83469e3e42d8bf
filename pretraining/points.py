"""The first half of the point training, on random parts (`scans`): tokens regress `surface_targets`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from ..training.extractors.point_transformer import POINT_EMBEDDED, PointTransformer
from .regression import FIRST_GAIN, Isometry, optimize
from .scans import TrainingScan

Float32 = npt.NDArray[np.float32]

SCANS_PER_STEP, GROUPS_PER_SCAN = 4, 256
LEARNING_RATE = 3e-3
# The embedded extractor's first blocks, an extractor of their own.
DESCRIBER = replace(POINT_EMBEDDED, depth=4, token_blocks=(1, 3))
# Noise levels drawn in training, in pixel pitches.
MAX_WHITE_NOISE, MIN_WHITE_NOISE, MAX_SMOOTH_NOISE = 0.25, 0.02, 0.15
# The early block's tokens know the inner two ring pairs, of both kinds of heights; the late one's all.
EARLY_HISTOGRAMS = [0, 1, 3, 4]


def train_describer(scans: Sequence[TrainingScan], steps: int, seed: int) -> PointTransformer:
    """The trained first blocks, in eval mode. The seed fixes weights and batches."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    model = PointTransformer(DESCRIBER).train()
    nn.init.constant_(model.norm.weight, FIRST_GAIN)
    dim = DESCRIBER.dim
    all_targets = np.concatenate([scan.targets for scan in scans])
    early = Isometry.fit(all_targets[:, EARLY_HISTOGRAMS].reshape(len(all_targets), -1), dim, seed)
    late = Isometry.fit(all_targets.reshape(len(all_targets), -1), dim, seed + 1)

    def loss_of_step() -> Tensor:
        drawn = rng.choice(len(scans), SCANS_PER_STEP, replace=False)
        groups, centers, targets = _batch([scans[number] for number in drawn], rng)
        wanted_early = early(targets[:, :, EARLY_HISTOGRAMS].reshape(*targets.shape[:2], -1))
        wanted_late = late(targets.reshape(*targets.shape[:2], -1))
        tokens = model(torch.from_numpy(groups), torch.from_numpy(centers))
        early_error = early.unexplained(tokens[..., :dim], torch.from_numpy(wanted_early))
        late_error = late.unexplained(tokens[..., dim:], torch.from_numpy(wanted_late))
        return (early_error.mean() + late_error.mean()) / 2

    optimize(model, loss_of_step, steps, LEARNING_RATE)
    return model.eval()


def _batch(scans: Sequence[TrainingScan], rng: np.random.Generator) -> tuple[Float32, Float32, Float32]:
    """Groups, centers and targets of some of the scans' groups, with fresh sensor noise."""
    samples = [_sample(scan, rng) for scan in scans]
    groups, centers, targets = (np.stack(parts) for parts in zip(*samples, strict=True))
    return groups, centers, targets


def _sample(scan: TrainingScan, rng: np.random.Generator) -> tuple[Float32, Float32, Float32]:
    white = rng.uniform(MIN_WHITE_NOISE, MAX_WHITE_NOISE) * rng.standard_normal(len(scan.points))
    smooth = rng.uniform(0, MAX_SMOOTH_NOISE) * scan.smooth_noise
    points = scan.points.copy()
    points[:, 2] += (scan.pitch_m * (white + smooth)).astype(np.float32)
    kept = rng.choice(len(scan.center_idx), GROUPS_PER_SCAN, replace=False)
    centers = points[scan.center_idx[kept]]
    groups = points[scan.members[kept].astype(np.int64)] - centers[:, None]
    return groups, centers, scan.targets[kept]
