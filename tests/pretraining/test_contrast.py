"""The last blocks learn to set damage apart, and leave the first ones as they are."""

import numpy as np
import torch
from cmdiad.pretraining import contrast
from cmdiad.pretraining.contrast import Lesson, episode_loss, first_blocks, train_last_blocks, with_more_blocks
from cmdiad.pretraining.episodes import DAMAGED, NORMAL
from cmdiad.pretraining.points import DESCRIBER
from cmdiad.training.extractors.point_transformer import POINT_EMBEDDED, PointTransformer

PARTS, GROUPS = 7, 40


def describer():
    torch.manual_seed(0)
    return PointTransformer(DESCRIBER).eval()


def one_lesson(seed):
    """Damaged groups differ from the others along one direction that is small beside the rest."""
    rng = np.random.default_rng(seed)
    states = rng.normal(size=(PARTS, GROUPS, DESCRIBER.dim))
    labels = np.zeros((PARTS, GROUPS), np.uint8)
    labels[5:, :6] = DAMAGED
    states[labels == DAMAGED, 0] += 3
    centers = rng.normal(size=(PARTS, GROUPS, 3)).astype(np.float32)
    return Lesson(states.astype(np.float16), centers, labels)


def test_the_loss_falls_as_damage_moves_away():
    torch.manual_seed(0)
    tokens, labels = torch.randn(PARTS, GROUPS, 8), torch.full((PARTS, GROUPS), NORMAL)
    labels[5:, :4] = DAMAGED
    losses = []
    for away in (0.0, 5.0, 50.0):
        moved = tokens.clone()
        moved[5:, :4] += away
        losses.append(float(episode_loss(moved, labels)))
    assert losses[0] > losses[1] > losses[2] and losses[2] < 0.1


def test_parts_whose_damage_no_group_sees_have_nothing_to_teach():
    tokens = torch.randn(PARTS, GROUPS, 8, requires_grad=True)
    loss = episode_loss(tokens, torch.full((PARTS, GROUPS), NORMAL))
    assert float(loss) == 0


def test_more_blocks_keep_the_first_ones_tokens():
    model = describer()
    deeper = with_more_blocks(model)
    groups, centers = torch.randn(1, 20, 192, 3) * 0.002, torch.randn(1, 20, 3) * 0.02
    with torch.inference_mode():
        tokens, before = deeper(groups, centers), model(groups, centers)
    torch.testing.assert_close(tokens[..., :96], before[..., 96:])
    assert all(
        torch.equal(value, model.state_dict()[name]) for name, value in first_blocks(deeper).state_dict().items()
    )


def test_training_sets_damage_apart_and_leaves_the_first_blocks_alone(monkeypatch):
    monkeypatch.setattr(contrast, "EPISODES_PER_STEP", 2)
    model, lessons = describer(), [one_lesson(seed) for seed in range(4)]

    def loss_of(network):
        with torch.inference_mode():
            losses = [
                episode_loss(
                    contrast._tokens(network, torch.from_numpy(each.states).float(), torch.from_numpy(each.centers)),
                    torch.from_numpy(each.labels),
                )
                for each in lessons
            ]
        return float(torch.stack(losses).mean())

    trained = train_last_blocks(model, lessons, steps=60, seed=0)
    assert trained.config == POINT_EMBEDDED
    assert loss_of(trained) < 0.7 * loss_of(with_more_blocks(model))
    kept = first_blocks(trained).state_dict()
    assert all(torch.equal(value, kept[name]) for name, value in model.state_dict().items())


def test_lessons_come_in_the_order_of_the_seed(monkeypatch):
    monkeypatch.setattr(contrast, "BATCH", 2)
    model = describer()
    drawn = contrast.lessons(model, seed=0, workers=1)
    first = next(drawn)
    drawn.close()
    number, episode = 0, None
    while episode is None:
        episode = contrast.episode(0, number, DESCRIBER.grouping)
        number += 1
    alone = contrast.lesson(model, episode)
    assert np.array_equal(first.states, alone.states) and np.array_equal(first.labels, alone.labels)
