"""Disk and peak memory of a training on a class of full-size scans: 244 of them, features of 768.

    python benchmarks/studies/training_memory.py [--scans 244] [--route f2f] [--share 0.4]

Writes the feature cache as training does, of made-up features in the sizes of DINO ViT-B/8 and Point-MAE for parts on
that share of the patches, runs one epoch over it and prints what the cache takes on disk, the process's peak resident
memory before and after, and what the float32 features of all patches would take in memory.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
from cmdiad.runtime.proc import peak_resident_bytes
from cmdiad.training.features.paired_features import Pair, PairedFeatures, write_pair
from cmdiad.training.fitting import FitSettings, fit
from cmdiad.training.routes.distillation import DEFAULT, DISTILLATIONS, distillation
from cmdiad.training.torch_device import open_device

DIM = 768
N_TOKENS = 784


def made_up_pair(rng: np.random.Generator, share: float) -> Pair:
    """A square part on the given share of the image, with random features."""
    side = round(224 * share**0.5)
    valid = np.zeros((224, 224), bool)
    start = (224 - side) // 2
    valid[start : start + side, start : start + side] = True
    points = rng.normal(size=(224, 224, 3)).astype(np.float32) * valid[..., None]
    image = rng.integers(1, 255, (224, 224, 3), np.uint8) * valid[..., None]
    tokens = rng.normal(size=(N_TOKENS, DIM)).astype(np.float32)
    n = int(Pair(valid, points, image, valid, tokens, tokens).foreground.sum())
    return Pair(valid, points, image, np.zeros_like(valid), rng.normal(size=(n, DIM)).astype(np.float32), tokens)


def peak_mb() -> float:
    """The process's peak resident memory so far, MiB (Linux)."""
    peak = peak_resident_bytes()
    assert peak is not None
    return peak / 2**20


def main() -> None:
    """Write, train, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scans", type=int, default=244)
    parser.add_argument("--steps", type=int, default=0, help="stop after so many scans; 0: all of them")
    parser.add_argument("--route", default=DEFAULT, choices=list(DISTILLATIONS))
    parser.add_argument("--main", default="pc", choices=["pc", "rgb"])
    parser.add_argument("--share", type=float, default=0.4, help="of the image that carries part")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / f"{number}.npz" for number in range(options.scans)]
        for file in files:
            write_pair(file, made_up_pair(rng, options.share))
        disk = sum(file.stat().st_size for file in files) / 2**20
        before = peak_mb()
        features = PairedFeatures(files[: options.steps or None])
        rate = distillation(options.route).learning_rate
        settings = FitSettings(options.route, options.main, "l2", 1, options.batch_size, rate, 0, False)
        device = open_device("cpu", options.threads)
        fit(features, settings, {}, Path(folder) / "run", device, lambda _: None)
        answer = {
            "route": options.route,
            "main": options.main,
            "scans": options.scans,
            "trained_on": len(features.files),
            "cache_disk_mb": round(disk),
            "peak_before_mb": round(before),
            "peak_mb": round(peak_mb()),
            "all_features_float32_mb": round(options.scans * 3136 * 2 * DIM * 4 / 2**20),
        }
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
