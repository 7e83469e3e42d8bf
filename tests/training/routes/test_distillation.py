"""What training and export know of each distillation route."""

import pytest
import torch
from cmdiad.runtime.errors import UsageError
from cmdiad.runtime.patches.routes import other
from cmdiad.training.routes.distillation import DISTILLATIONS, distillation, load_network, serves
from cmdiad.training.runs.record import read_run
from msgspec.structs import replace
from safetensors.torch import save_file

DIMS = {"pc": 24, "rgb": 48}
BOTH = [(name, main) for name in DISTILLATIONS for main in ("pc", "rgb")]


@pytest.mark.parametrize(("name", "main"), BOTH)
def test_one_direction_runs_on_the_input_it_is_traced_with(name, main):
    route = distillation(name)
    direction = route.one_direction(route.new(main, DIMS["pc"], DIMS["rgb"]), main).eval()
    input_name, example = route.example(direction)
    with torch.no_grad():
        output = direction(example)
    assert input_name == ("input" if name == "i2f" else "features")
    # A route that takes features patch by patch takes any number of them.
    n_patches = example.shape[1] if len(route.free_axes) > 1 else 3136
    assert output.shape == ((2, 3, 224, 224) if name == "f2i" else (2, n_patches, DIMS[other(main)]))
    assert torch.equal(example, route.example(direction)[1])


@pytest.mark.parametrize(("name", "main"), BOTH)
def test_a_network_is_as_wide_as_the_features_that_it_says(name, main):
    route = distillation(name)
    weights = route.new(main, DIMS["pc"], DIMS["rgb"]).state_dict()
    widths = route.widths(main)
    assert widths and all(weights[parameter].shape[axis] == DIMS[modality] for parameter, axis, modality in widths)
    again = route.with_widths(lambda parameter, axis, _: weights[parameter].shape[axis]).state_dict()
    assert {key: value.shape for key, value in again.items()} == {key: value.shape for key, value in weights.items()}


@pytest.mark.parametrize("name", DISTILLATIONS)
def test_weights_are_told_apart_by_their_names(name):
    parameters = distillation(name).new("pc", DIMS["pc"], DIMS["rgb"]).state_dict()
    told = [route.name for route in DISTILLATIONS.values() if any(key.startswith(route.marks) for key in parameters)]
    assert told == [name]


def test_a_run_serves_its_own_route_and_every_baseline(trained_run):
    _, run = read_run(trained_run)
    for main in ("pc", "rgb"):
        assert serves(run, "f2f", main) and serves(run, "single", main) and serves(run, "dual", main)
        assert not serves(run, "i2f", main)
    one_way = replace(run, route="f2i", main="rgb")
    assert serves(one_way, "f2i", "rgb") and not serves(one_way, "f2i", "pc") and not serves(one_way, "f2f", "rgb")


@pytest.mark.parametrize("name", DISTILLATIONS)
def test_weights_of_another_shape_are_said_plainly(tmp_path, name):
    weights = distillation(name).new("pc", DIMS["pc"], DIMS["rgb"]).state_dict()
    flat = {key: value.reshape(-1).contiguous() for key, value in weights.items()}
    save_file(flat, tmp_path / "weights.safetensors")
    with pytest.raises(UsageError, match=r"does not hold the weights of an .* network: train again"):
        load_network(tmp_path / "weights.safetensors", name)
    with pytest.raises(UsageError, match=r"has no .* weights"):
        load_network(tmp_path / "nowhere.safetensors", name)


def test_a_loss_without_a_scale_does_not_train_an_input():
    with pytest.raises(UsageError, match=r"--loss cosine.*choose l2 or l1"):
        distillation("f2i").check_loss("cosine")
    distillation("f2i").check_loss("l1")
    distillation("f2f").check_loss("cosine")
