"""The second half of the image training: on the episodes' images, by the loss of `contrast`.

All of the small ViT goes on learning, since nothing but its last tokens reaches a memory bank.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..runtime.sensor.image import network_image
from ..training.extractors.vit import ImageTransformer
from .contrast import Lesson, episode_loss
from .episodes import in_any_order
from .regression import optimize

LEARNING_RATE = 5e-4


def train_image_contrast(
    describer: ImageTransformer, drawn: Sequence[Lesson], steps: int, seed: int
) -> ImageTransformer:
    """A trained copy of the describer, in eval mode. The seed fixes the batches; a step is one episode."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    model = copy.deepcopy(describer).eval()

    def loss_of_step() -> Tensor:
        images, labels = turned_images(drawn[int(rng.integers(len(drawn)))], rng)
        return episode_loss(model(torch.from_numpy(images)), torch.from_numpy(labels))

    optimize(model, loss_of_step, steps, LEARNING_RATE)
    return model


def turned_images(lesson: Lesson, rng: np.random.Generator) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]:
    """Network images (P, 3, 224, 224) and patch labels (P, 784); normal parts in any order.

    Every image is turned by quarters and mirrored at random, and its labels with it.
    """
    side = int(lesson.patch_labels.shape[1] ** 0.5)
    images, labels = [], []
    for part in in_any_order(rng):
        turns, mirrored = int(rng.integers(4)), rng.random() < 0.5
        image, label = lesson.images[part], lesson.patch_labels[part].reshape(side, side)
        if mirrored:
            image, label = image[:, ::-1], label[:, ::-1]
        images.append(network_image(np.rot90(image, turns)))
        labels.append(np.rot90(label, turns).ravel())
    return np.stack(images), np.stack(labels)
