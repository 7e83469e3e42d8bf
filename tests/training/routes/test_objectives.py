"""The loss is the paper's: mean over samples of the sum over places of the norm of the difference."""

import numpy as np
import pytest
import torch
from cmdiad.training.features.torch_session import CPU
from cmdiad.training.routes.distillation import distillation
from cmdiad.training.routes.f2f import Hallucinator
from cmdiad.training.routes.objectives import distillation_loss
from scipy.spatial.distance import cdist

DIM_PC, DIM_RGB = 24, 48
MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


@pytest.mark.parametrize(("loss", "metric"), [("l2", "euclidean"), ("l1", "cityblock"), ("cosine", "cosine")])
def test_it_sums_the_distances_of_the_places(loss, metric):
    hallucination, target = np.random.default_rng(0).normal(size=(2, 7, 4))
    expected = np.diag(cdist(hallucination, target, metric)).sum()
    actual = distillation_loss(torch.from_numpy(hallucination), torch.from_numpy(target), loss)
    assert actual.item() == pytest.approx(expected)


def test_f2f_learns_both_directions_on_the_patches_that_carry_part(made_up_pair):
    torch.manual_seed(0)
    network = distillation("f2f").new("pc", DIM_PC, DIM_RGB)
    pairs = [made_up_pair(seed) for seed in range(2)]
    expected = {"pc": 0.0, "rgb": 0.0}
    for pair in pairs:
        for main, target in (("pc", pair.rgb), ("rgb", pair.pc)):
            hallucination = Hallucinator(network, main)(torch.from_numpy(pair.measured(main).main)).detach().numpy()
            expected[main] += np.linalg.norm(hallucination - target, axis=1).sum()
    actual = [term.item() for term in distillation("f2f").losses(network, "pc", pairs, "l2", CPU)]
    assert actual == pytest.approx(list(expected.values()), rel=1e-5)


@pytest.mark.parametrize("main", ["pc", "rgb"])
def test_f2i_learns_the_other_sensors_input(made_up_pair, main):
    """Every pixel of an image, which an extractor sees whole; of a map of points those that carry part."""
    torch.manual_seed(0)
    network = distillation("f2i").new(main, DIM_PC, DIM_RGB)
    pair = made_up_pair(1)
    grid = np.zeros((3136, DIM_PC if main == "pc" else DIM_RGB), np.float32)
    if main == "pc":
        grid[pair.foreground] = pair.pc
        target, used = (pair.image / 255 - MEAN) / STD, np.ones((224, 224), bool)
    else:
        grid[:] = np.repeat(np.repeat(pair.rgb_tokens.reshape(28, 28, -1), 2, 0), 2, 1).reshape(3136, -1)
        target, used = pair.points, pair.valid
    hallucination = network(torch.from_numpy(grid[None]))[0].detach().numpy().transpose(1, 2, 0)
    expected = np.linalg.norm(hallucination - target, axis=2)[used].sum()
    (actual,) = distillation("f2i").losses(network, main, [pair], "l2", CPU)
    assert actual.item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("main", ["pc", "rgb"])
def test_i2f_learns_features_from_what_the_sensor_saw(made_up_pair, main):
    torch.manual_seed(0)
    network = distillation("i2f").new(main, DIM_PC, DIM_RGB).eval()
    pair = made_up_pair(1)
    sensed = pair.points if main == "pc" else (pair.image / 255 - MEAN) / STD
    hallucination = network(torch.from_numpy(sensed.transpose(2, 0, 1)[None].astype(np.float32)))[0].detach().numpy()
    target = pair.rgb if main == "pc" else pair.pc
    expected = np.linalg.norm(hallucination[pair.foreground] - target, axis=1).sum()
    (actual,) = distillation("i2f").losses(network, main, [pair], "l2", CPU)
    assert actual.item() == pytest.approx(expected, rel=1e-3)
