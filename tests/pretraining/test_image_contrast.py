"""Images and their labels turn together, and a few steps teach the small ViT to see a stain."""

import numpy as np
import torch
from cmdiad.pretraining.contrast import Lesson, episode_loss
from cmdiad.pretraining.episodes import DAMAGED, EITHER
from cmdiad.pretraining.image_contrast import train_image_contrast, turned_images
from cmdiad.training.extractors.loading import load_embedded_image_extractor


def stained_lesson(seed=0):
    """Gray squares with grain, on the damaged ones a red patch."""
    rng = np.random.default_rng(seed)
    images = np.zeros((7, 224, 224, 3), np.uint8)
    images[:, 48:176, 48:176] = rng.integers(90, 130, (7, 128, 128, 1))
    labels = np.full((7, 28, 28), EITHER, np.uint8)
    labels[:, 6:22, 6:22] = 0
    images[5:, 80:96, 96:120] = (150, 60, 60)
    labels[5:, 10:12, 12:15] = DAMAGED
    empty = np.zeros((7, 1, 1))
    return Lesson(
        empty.astype(np.float16), empty.astype(np.float32), empty.astype(np.uint8), images, labels.reshape(7, -1)
    )


def test_labels_turn_with_their_images():
    images, labels = turned_images(stained_lesson(), np.random.default_rng(3))
    assert images.shape == (7, 3, 224, 224) and labels.shape == (7, 784)
    redder = (images[:, 0] - images[:, 1]).reshape(7, 28, 8, 28, 8).mean(axis=(2, 4)).reshape(7, 784)
    assert (redder[5:][labels[5:] == DAMAGED] > redder[5:][labels[5:] == 0].max()).all()


def test_a_few_steps_teach_something_and_leave_the_describer_alone():
    describer, lessons = load_embedded_image_extractor(), [stained_lesson(seed) for seed in range(2)]
    before = {name: value.clone() for name, value in describer.state_dict().items()}
    trained = train_image_contrast(describer, lessons, steps=6, seed=0)

    def loss(model):
        images, labels = turned_images(lessons[0], np.random.default_rng(0))
        with torch.inference_mode():
            return float(episode_loss(model(torch.from_numpy(images)), torch.from_numpy(labels)))

    assert loss(trained) < loss(describer)
    assert all(torch.equal(value, before[name]) for name, value in describer.state_dict().items())
