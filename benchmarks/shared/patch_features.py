"""Patch features for the benchmarks of the memory bank: real or rendered scans through the embedded extractor.

The embedded features are widened to the 768 dimensions of the full-size ones by a random two-layer GELU network,
the form of a hallucination (ALGORITHM.md, F2F). Not a benchmark itself.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from cmdiad.benchmarks.shared.scans import real_or_rendered
from cmdiad.runtime.bundle.parameters import KINECT, STRUCTURED_LIGHT
from cmdiad.runtime.patches.features import point_features
from cmdiad.runtime.patches.pooling import foreground_patches
from cmdiad.runtime.preparation.prepare import PreparedScan, prepare
from cmdiad.runtime.timing import StageTimes
from cmdiad.training.extractors.loading import load_embedded_point_extractor
from cmdiad.training.extractors.point_transformer import POINT_EMBEDDED

DIM = 768
HIDDEN = 1920

Array = npt.NDArray[np.float32]


def patch_features(n_scans: int, folder: Path | None) -> list[Array]:
    """(n_i, 768) float32 normalized features of every scan's foreground patches.

    Args:
        n_scans: how many scans.
        folder: of `*.tiff` scans, searched with its subfolders and used again in other positions where there are
            fewer than `n_scans`; None: rendered parts of one class.
    """
    embedded = embedded_features()
    generator = torch.Generator().manual_seed(0)
    inner = torch.randn(POINT_EMBEDDED.token_dim, HIDDEN, generator=generator) / POINT_EMBEDDED.token_dim**0.5
    outer = torch.randn(HIDDEN, DIM, generator=generator) / HIDDEN**0.5
    features = []
    for points in real_or_rendered(n_scans, folder):
        tokens = embedded(prepare(points, KINECT if folder else STRUCTURED_LIGHT))
        with torch.inference_mode():
            widened = torch.nn.functional.gelu(torch.from_numpy(tokens) @ inner) @ outer
        features.append(widened.numpy())
    everything = np.concatenate(features)
    mean, std = everything.mean(dtype=np.float64), everything.std(dtype=np.float64)
    return [((patches - mean) / std).astype(np.float32) for patches in features]


def embedded_features() -> Callable[[PreparedScan], Array]:
    """A scan to the features of its foreground patches, (n, D), as the line computes them by the embedded extractor."""
    network = load_embedded_point_extractor()

    @torch.inference_mode()
    def run(inputs: dict[str, Array]) -> Array:
        tokens: Array = network(torch.from_numpy(inputs["groups"]), torch.from_numpy(inputs["centers"])).numpy()
        return tokens

    def features(scan: PreparedScan) -> Array:
        return point_features(scan, foreground_patches(scan.valid), POINT_EMBEDDED.grouping, run, StageTimes())

    return features
