"""Trains the embedded image extractor on random parts and photographs: its tokens regress `image_targets`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import skimage.data
import torch
from PIL import Image
from torch import Tensor, nn

from ..runtime.sensor.image import IMAGENET_MEAN, IMAGENET_STD
from ..training.extractors.vit import IMAGE_EMBEDDED, IMAGE_SIZE, ImageTransformer, image_transformer
from .image_targets import GRID, image_targets
from .regression import FIRST_GAIN, Isometry, optimize

Float32 = npt.NDArray[np.float32]
Rgb = npt.NDArray[np.uint8]
Scalar = TypeVar("Scalar", bound=np.generic)

# Shipped with scikit-image, public domain or CC0 (training/embedded/PROVENANCE.md).
PHOTOGRAPHS = ("astronaut", "brick", "camera", "chelsea", "coffee", "grass", "gravel", "hubble_deep_field", "rocket")
PHOTOGRAPH_SHARE, CROP_SHARE = 0.25, (0.3, 1.0)
IMAGES_PER_STEP = 6
LEARNING_RATE = 2e-3
MAX_NOISE, EXPOSURE = 0.02, (0.8, 1.2)


@dataclass(frozen=True)
class _Example:
    """An image (224, 224, 3) float32 0..1 without noise, its targets (784, k), and which patches have one (784,)."""

    image: Float32
    targets: Float32
    has_target: npt.NDArray[np.bool_]


def train_image_extractor(parts: Sequence[Rgb], steps: int, seed: int) -> ImageTransformer:
    """A trained extractor, in eval mode; the seed fixes weights and batches.

    Args:
        parts: (224, 224, 3) uint8 images of parts, background zeroed.
        steps: of the optimizer.
        seed: of everything random.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    photographs = [_as_color(getattr(skimage.data, name)()) for name in PHOTOGRAPHS]
    model = image_transformer(IMAGE_EMBEDDED).train()
    assert isinstance(model.vit.norm, nn.LayerNorm)
    nn.init.constant_(model.vit.norm.weight, FIRST_GAIN)
    pool = [_example(part, photographs, rng) for part in parts]
    descriptors = np.concatenate([example.targets[example.has_target] for example in pool])
    isometry = Isometry.fit(descriptors, IMAGE_EMBEDDED.dim, seed)

    def loss_of_step() -> Tensor:
        examples = [_turned(pool[int(rng.integers(len(pool)))], rng) for _ in range(IMAGES_PER_STEP)]
        tokens = model(torch.from_numpy(np.stack([_seen(example.image, rng) for example in examples])))
        wanted = torch.from_numpy(isometry(np.stack([example.targets for example in examples])))
        error = isometry.unexplained(tokens, wanted)
        weight = torch.from_numpy(np.stack([example.has_target for example in examples]).astype(np.float32))
        return (error * weight).sum() / weight.sum()

    optimize(model, loss_of_step, steps, LEARNING_RATE)
    return model.eval()


def _example(part: Rgb, photographs: Sequence[Rgb], rng: np.random.Generator) -> _Example:
    """A part, or a photograph's piece in a part's outline or without one, exposed at random."""
    image, inside = part, np.any(part, axis=2)
    if rng.random() < PHOTOGRAPH_SHARE:
        image = _piece(photographs[int(rng.integers(len(photographs)))], rng)
        inside = inside | (rng.random() < 0.5)
    scaled = np.clip(image.astype(np.float32) / 255 * np.float32(rng.uniform(*EXPOSURE)), 0, 1) * inside[..., None]
    targets, has_target = image_targets(scaled, inside)
    return _Example(scaled, targets, has_target)


def _turned(example: _Example, rng: np.random.Generator) -> _Example:
    """Turned by quarters and mirrored at random; a patch's targets go with it."""
    turns, mirrored = int(rng.integers(4)), rng.random() < 0.5

    def turn(grid: npt.NDArray[Scalar]) -> npt.NDArray[Scalar]:
        return np.rot90(grid[:, ::-1] if mirrored else grid, turns)

    targets = turn(example.targets.reshape(GRID, GRID, -1)).reshape(GRID * GRID, -1)
    return _Example(turn(example.image), targets, turn(example.has_target.reshape(GRID, GRID)).ravel())


def _piece(photograph: Rgb, rng: np.random.Generator) -> Rgb:
    height, width = photograph.shape[:2]
    side = int(min(height, width) * rng.uniform(*CROP_SHARE))
    top, left = rng.integers(height - side + 1), rng.integers(width - side + 1)
    piece = Image.fromarray(photograph[top : top + side, left : left + side])
    return np.asarray(piece.resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.BICUBIC))


def _as_color(photograph: Rgb) -> Rgb:
    return photograph if photograph.ndim == 3 else np.repeat(photograph[..., None], 3, axis=2)


def _seen(image: Float32, rng: np.random.Generator) -> Float32:
    """What the network is given: (3, 224, 224), with a camera's noise on the part."""
    noise = rng.standard_normal(image.shape, dtype=np.float32) * np.float32(rng.uniform(0, MAX_NOISE))
    noisy = np.clip(image + noise * image.any(axis=2, keepdims=True), 0, 1)
    return np.ascontiguousarray(((noisy - IMAGENET_MEAN) / IMAGENET_STD).transpose(2, 0, 1))
