"""A checkpoint becomes a run with its weights, if it fits the extractors."""

import pytest
import torch
from cmdiad.runtime.errors import WeightsError
from cmdiad.training.published_runs import run_from_checkpoint
from cmdiad.training.routes.distillation import distillation, load_network
from cmdiad.training.routes.f2i import FeatureToInput
from cmdiad.training.runs.record import read_run, weights_file
from cmdiad.training.train import TrainingSettings
from safetensors.torch import save_file


@pytest.mark.parametrize(("route", "main"), [("f2f", "pc"), ("f2i", "rgb"), ("i2f", "rgb")])
def test_a_checkpoint_becomes_a_run_with_its_weights(tmp_path, route, main):
    settings = TrainingSettings()
    dims = embedded_dims()
    network = distillation(route).new(main, *dims)
    save_file(network.state_dict(), tmp_path / "weights.safetensors")
    written = run_from_checkpoint(tmp_path / "weights.safetensors", main, settings, tmp_path / "run")
    folder, run = read_run(tmp_path / "run")
    assert run == written and (run.route, run.main, run.epochs) == (route, main, 0)
    loaded = load_network(folder / weights_file(route), route).state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in network.state_dict().items())


def test_a_checkpoint_of_other_extractors_is_refused(tmp_path):
    save_file(FeatureToInput(768).state_dict(), tmp_path / "full.safetensors")
    with pytest.raises(WeightsError, match=r"768 wide, the features of embedded are .*trained with"):
        run_from_checkpoint(tmp_path / "full.safetensors", "pc", TrainingSettings(), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def embedded_dims():
    from cmdiad.training.extractors.by_name import open_extractor

    return open_extractor("embedded", "pc").dim, open_extractor("embedded", "rgb").dim
