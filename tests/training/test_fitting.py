"""The loop: the paper's schedule, the same end after any interruption, and the checkpoint that detects best."""

import pytest
import torch
from cmdiad.runtime.errors import UsageError
from cmdiad.training import fitting
from cmdiad.training.features.paired_features import PairedFeatures
from cmdiad.training.features.torch_session import CPU
from cmdiad.training.fitting import FitSettings, fit, select_epochs, selected_weights
from cmdiad.training.routes.distillation import distillation
from cmdiad.training.runs.state import STATE, checkpoint_path
from safetensors.torch import load_file

SETTINGS = FitSettings(route="f2f", main="pc", loss="l2", epochs=7, batch_size=2, learning_rate=5e-4, seed=3, amp=False)


class Killed(BaseException):
    """What ends the process here, like a signal that nothing handles."""


@pytest.fixture(scope="module")
def features(tmp_path_factory, made_up_pair, write_pairs):
    return write_pairs(tmp_path_factory.mktemp("pairs"), [made_up_pair(seed) for seed in range(5)])


def with_route(route, main, epochs):
    return FitSettings(**{**vars(SETTINGS), "route": route, "main": main, "epochs": epochs})


def end(features, settings, folder, judges=None, report=lambda _: None):
    log = fit(features, settings, judges or {}, folder, CPU, report)
    return log, checkpoint_path(folder, settings.epochs).read_bytes()


def test_the_rate_warms_up_for_ten_epochs_and_the_loss_falls(features, tmp_path):
    log, _ = end(features, with_route("f2f", "pc", 12), tmp_path)
    assert [epoch.learning_rate for epoch in log] == pytest.approx([5e-4 * min(1, n / 10) for n in range(1, 13)])
    assert log[-1].loss < log[0].loss
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == [
        f"epoch_{epoch:03d}.safetensors" for epoch in (5, 10, 12)
    ]


@pytest.mark.parametrize("rate", [1e30, float("inf")])
def test_a_training_that_diverges_ends_with_its_epoch_and_writes_no_weights(features, tmp_path, rate):
    settings = FitSettings(**{**vars(SETTINGS), "learning_rate": rate})
    with pytest.raises(UsageError, match=r"epoch \d: the loss is (nan|inf).*--learning-rate"):
        end(features, settings, tmp_path)
    assert not list(tmp_path.rglob("*.safetensors"))


@pytest.mark.parametrize(("route", "main"), [("f2f", "pc"), ("f2i", "rgb"), ("i2f", "pc")])
def test_a_killed_training_ends_with_the_same_weights(features, tmp_path, monkeypatch, route, main):
    """Killed in an epoch's middle, before a checkpoint is written, and after it but before the state is."""
    monkeypatch.setattr(fitting, "CHECKPOINT_EPOCHS", 1)
    features = PairedFeatures(features.files[:2])
    settings = FitSettings(**{**vars(SETTINGS), "route": route, "main": main, "epochs": 2, "batch_size": 1})
    log, weights = end(features, settings, tmp_path / "undisturbed")
    broken = tmp_path / "broken"
    trained = type(distillation(route))
    for owner, name, call in ((trained, "losses", 4), (fitting, "save_weights", 1), (fitting, "save_state", 1)):
        with monkeypatch.context() as patched:
            patched.setattr(owner, name, dying(getattr(owner, name), call))
            with pytest.raises(Killed):
                end(features, settings, broken)
    epochs = []
    again, same = end(features, settings, broken, report=lambda epoch: epochs.append(epoch.epoch))
    assert same == weights and again == log
    assert epochs == [2]  # it went on after the first epoch


def dying(function, call):
    """The function, which is killed on that call."""
    calls = iter(range(1, call + 1))

    def dies(*arguments):
        if next(calls) == call:
            raise Killed
        return function(*arguments)

    return dies


def test_anothers_state_is_refused(features, tmp_path):
    end(features, with_route("f2f", "pc", 5), tmp_path)
    with pytest.raises(UsageError, match=STATE):
        end(features, with_route("f2i", "pc", 6), tmp_path)


def test_the_seed_decides(features, tmp_path):
    runs = [FitSettings(**{**vars(SETTINGS), "epochs": 2, "seed": seed}) for seed in (1, 1, 2)]
    ends = [end(features, settings, tmp_path / str(number))[1] for number, settings in enumerate(runs)]
    assert ends[0] == ends[1] != ends[2]


def test_a_batch_in_parts_is_the_same_step(features, tmp_path, monkeypatch):
    settings = FitSettings(**{**vars(SETTINGS), "epochs": 1, "batch_size": 5})
    whole = load_file(checkpoint_path_of(features, settings, tmp_path / "whole"))
    monkeypatch.setattr(fitting, "PART_SAMPLES", 2)
    parts = load_file(checkpoint_path_of(features, settings, tmp_path / "parts"))
    for name, value in whole.items():
        torch.testing.assert_close(parts[name], value, rtol=0, atol=2e-5)


def checkpoint_path_of(features, settings, folder):
    end(features, settings, folder)
    return checkpoint_path(folder, settings.epochs)


def test_the_best_detection_is_chosen_for_each_direction(features, tmp_path):
    """F2F's halves share nothing, so each comes from its own best epoch; equal detections: the later one."""
    detections = {"pc": iter([0.9, 0.7, 0.7]), "rgb": iter([0.6, 0.8, 0.8])}
    judges = {main: lambda _, main=main: next(detections[main]) for main in detections}
    log, _ = end(features, with_route("f2f", "pc", 12), tmp_path, judges)
    chosen = select_epochs(log)
    assert chosen == {"pc": 5, "rgb": 12}
    weights = selected_weights(tmp_path, "f2f", "pc", chosen, 12)
    epochs = {epoch: load_file(checkpoint_path(tmp_path, epoch)) for epoch in (5, 12)}
    assert weights.keys() == epochs[5].keys()
    for name, value in weights.items():
        assert torch.equal(value, epochs[5 if name.startswith("xyz") else 12][name])


def test_without_a_judge_the_last_epoch_is_shipped(features, tmp_path):
    log, _ = end(features, with_route("f2i", "pc", 1), tmp_path)
    assert select_epochs(log) == {}
    weights = selected_weights(tmp_path, "f2i", "pc", {}, 1)
    last = load_file(checkpoint_path(tmp_path, 1))
    assert all(torch.equal(weights[name], value) for name, value in last.items())
