"""Small made-up training samples, for tests of the loop that need no extractor."""

import numpy as np
import pytest
from cmdiad.training.features.paired_features import Pair, PairedFeatures, write_pair

DIM_PC, DIM_RGB = 24, 48


def _pair(seed):
    rng = np.random.default_rng(seed)
    rows, columns = np.indices((224, 224))
    valid = np.hypot(rows - rng.uniform(95, 125), columns - rng.uniform(95, 125)) < 40
    points = np.stack([columns * 1e-3, rows * 1e-3, 0.5 + 0.01 * np.sin(rows / 9)], axis=2).astype(np.float32)
    points[~valid] = 0
    image = rng.integers(1, 255, (224, 224, 3), np.uint8) * valid[..., None]
    along = np.linspace(-1, 1, 28)
    place = np.stack(np.meshgrid(along, along, indexing="ij"), axis=2).reshape(784, 2)
    mixing = np.random.default_rng(0).normal(size=(4, DIM_PC + DIM_RGB))
    tokens = np.concatenate([place, np.sin(5 * place)], axis=1) @ mixing
    tokens = (tokens + 0.05 * rng.normal(size=tokens.shape)).astype(np.float32)
    of_patch = np.kron(np.arange(784).reshape(28, 28), np.ones((2, 2), int)).ravel()
    blank = Pair(valid, points, image, np.zeros_like(valid), tokens[:, :DIM_PC], tokens[:, DIM_PC:])
    return Pair(valid, points, image, blank.mask, tokens[of_patch[blank.foreground], :DIM_PC], tokens[:, DIM_PC:])


def _write(folder, pairs):
    files = [folder / f"{number}.npz" for number in range(len(pairs))]
    for file, pair in zip(files, pairs, strict=True):
        write_pair(file, pair)
    return PairedFeatures(files)


@pytest.fixture(scope="session")
def made_up_pair():
    """seed -> a round part whose features of both modalities (24 and 48) depend on the place, and noise."""
    return _pair


@pytest.fixture(scope="session")
def write_pairs():
    """folder, samples -> the same as the feature cache stores them."""
    return _write
