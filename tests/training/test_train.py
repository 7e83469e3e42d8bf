"""Training learns, says what it did, and is the same again with the same seed."""

import csv
import dataclasses
import os

import msgspec
import numpy as np
import pytest
from cmdiad.runtime.errors import EngineError, ScanError, UsageError
from cmdiad.training.runs.curves import LOG
from cmdiad.training.runs.record import mark_latest, read_run, write_run
from cmdiad.training.train import TrainingSettings, train_route

SETTINGS = TrainingSettings(epochs=3, batch_size=2, seed=1, threads=1)


@pytest.fixture(scope="module")
def shared_cache(trained_run):
    """Where the features of the run are, so that further runs on its data need not extract them."""
    return trained_run.parent / "feature_cache"


def silent(*_):
    pass


def test_the_loss_falls_and_the_run_records_it(trained_run):
    rows = list(csv.DictReader((trained_run / LOG).read_text().splitlines()))
    losses = [float(row["loss"]) for row in rows]
    assert len(losses) == 3 and losses[-1] < losses[0]
    assert float(rows[0]["learning_rate"]) == pytest.approx(5e-4 / 10)
    _, run = read_run(trained_run)
    assert run.n_scans == 5 and run.classes == ["gland"]
    assert run.final_loss == pytest.approx(losses[-1], rel=1e-6)


def test_the_same_seed_gives_the_same_weights(trained_run, synth_data):
    """In another folder beside the first, so that the features are there already."""
    again = train_route(
        synth_data, [], SETTINGS, trained_run.parent / "again", silent, trained_run.parent / "feature_cache"
    )
    for name in ("f2f.safetensors", "training.csv", "training.svg", "run.json"):
        assert (again / name).read_bytes() == (trained_run / name).read_bytes(), name


def test_the_run_says_which_checkpoint_it_ships(trained_run):
    _, run = read_run(trained_run)
    assert "painted defects" in run.selection.criterion
    assert run.selection.epochs == {"pc": 3, "rgb": 3}
    assert all(0 <= value <= 1 for value in run.selection.detection.values())
    rows = list(csv.DictReader((trained_run / LOG).read_text().splitlines()))
    assert rows[0]["detection_pc"] == "" and float(rows[2]["detection_pc"]) == pytest.approx(
        run.selection.detection["pc"], abs=1e-6
    )


def test_selection_can_be_turned_off(trained_run, synth_data):
    settings = dataclasses.replace(SETTINGS, epochs=1, select=False)
    folder = train_route(
        synth_data, [], settings, trained_run.parent / "unselected", silent, trained_run.parent / "feature_cache"
    )
    _, run = read_run(folder)
    assert run.selection.epochs == {} and "turned off" in run.selection.criterion


def test_statistics_are_those_of_all_patches(trained_run, synth_data, shared_cache):
    """By the whole 3136 x D grid of every sample, patches without points being zero."""
    from cmdiad.training.features.paired_features import PairedFeatures

    _, run = read_run(trained_run)
    files = sorted(shared_cache.glob("*.npz"))
    grids = {"pc": [], "rgb": []}
    for pair in PairedFeatures(files).pairs():
        for main, grid in grids.items():
            grid.append(pair.measured(main).grid())
    # Validation parts lie in the same cache; the statistics of seven parts are near those of five.
    for main, grid in grids.items():
        values = np.stack(grid).astype(np.float64)
        assert run.training_statistics[main].mean == pytest.approx(values.mean(), abs=0.02 * values.std())
        assert run.training_statistics[main].std == pytest.approx(values.std(), rel=0.05)


def test_latest_leads_to_the_newest_run(trained_run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("one", "two"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "run.json").write_bytes((trained_run / "run.json").read_bytes())
        mark_latest(tmp_path / "runs" / name)
    folder, _ = read_run(tmp_path / "runs" / "latest")
    assert folder.resolve() == (tmp_path / "runs" / "two").resolve()


def test_a_run_in_a_place_of_the_users_own_puts_nothing_beside_it(synth_data, tmp_path):
    settings = dataclasses.replace(SETTINGS, epochs=1, select=False)
    train_route(synth_data, [], settings, tmp_path / "mine", silent)
    assert [entry.name for entry in tmp_path.iterdir()] == ["mine"]
    assert any((tmp_path / "mine" / "feature_cache").iterdir())


def test_latest_may_be_a_file_where_there_are_no_links(trained_run, tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "run.json").write_bytes((trained_run / "run.json").read_bytes())
    (tmp_path / "latest").write_text("one\n")
    assert read_run(tmp_path / "latest")[0] == tmp_path / "one"


def test_a_finished_run_is_never_overwritten(trained_run, synth_data):
    with pytest.raises(UsageError, match="finished"):
        train_route(synth_data, [], SETTINGS, trained_run, silent)


def test_another_trainings_folder_is_left_alone(trained_run, synth_data, tmp_path):
    other = dataclasses.replace(SETTINGS, epochs=4)
    with pytest.raises(UsageError, match="not this training"):
        train_route(synth_data, [], other, trained_run, silent)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="not empty"):
        train_route(synth_data, [], SETTINGS, tmp_path, silent)


def test_a_run_that_was_killed_goes_on(trained_run, synth_data, monkeypatch):
    """Killed while the run is written: the same command ends with the same files."""
    from cmdiad.training import train

    def die(*_):
        raise KeyboardInterrupt

    folder = trained_run.parent / "killed"
    with monkeypatch.context() as patched:
        patched.setattr(train, "write_run", die)
        with pytest.raises(KeyboardInterrupt):
            train_route(synth_data, [], SETTINGS, folder, silent)
    with pytest.raises(UsageError, match="no finished"):
        read_run(folder)
    half = folder / f".{'0' * 16}.part"
    half.write_bytes(b"half a file")
    train_route(synth_data, [], SETTINGS, folder, silent)
    assert not half.exists()
    assert (folder / "f2f.safetensors").read_bytes() == (trained_run / "f2f.safetensors").read_bytes()
    assert not (folder / "state.safetensors").exists()


def test_an_impossible_loss_is_refused(synth_data, tmp_path):
    settings = dataclasses.replace(SETTINGS, route="f2i", loss="cosine")
    with pytest.raises(UsageError, match="without a scale"):
        train_route(synth_data, [], settings, tmp_path / "run", silent)


def test_no_threads_are_refused(synth_data, tmp_path):
    with pytest.raises(UsageError, match="0 threads"):
        train_route(synth_data, [], dataclasses.replace(SETTINGS, threads=0), tmp_path / "run", silent)


def test_a_missing_gpu_is_said_plainly(synth_data, tmp_path, monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    settings = dataclasses.replace(SETTINGS, device="cuda")
    with pytest.raises(EngineError, match="sees no GPU"):
        train_route(synth_data, [], settings, tmp_path / "run", silent)


def test_a_missing_tensorboard_names_the_extra(synth_data, tmp_path, monkeypatch):
    from cmdiad.training.runs import curves

    monkeypatch.setattr(curves.importlib.util, "find_spec", lambda name: None)
    settings = dataclasses.replace(SETTINGS, tensorboard=True)
    with pytest.raises(UsageError, match=r"cmdiad\[tensorboard\]"):
        train_route(synth_data, [], settings, tmp_path / "run", silent)


def test_a_run_of_names_that_are_not_utf8_comes_back_with_them(trained_run, tmp_path):
    odd = os.fsdecode(b"geh\xe4use")
    run = msgspec.structs.replace(read_run(trained_run)[1], data=f"/data/{odd}", classes=[odd])
    write_run(tmp_path / odd, run)
    (tmp_path / "latest").write_bytes(os.fsencode(odd) + b"\n")
    assert read_run(tmp_path / "latest") == (tmp_path / odd, run)


def test_a_missing_run_is_said_plainly(tmp_path):
    with pytest.raises(UsageError, match="cmdiad train"):
        read_run(tmp_path / "latest")


def test_a_scan_without_its_image_is_named(synth_data, tmp_path):
    import shutil

    copy = tmp_path / "data"
    shutil.copytree(synth_data, copy)
    (copy / "gland" / "train" / "good" / "rgb" / "002.png").unlink()
    with pytest.raises(ScanError, match=r"002\.tiff"):
        train_route(copy, [], SETTINGS, tmp_path / "run", silent)


def test_a_scan_that_is_learned_from_twice_is_named(synth_data, tmp_path):
    import shutil

    copy = tmp_path / "data"
    shutil.copytree(synth_data, copy)
    for kind in ("xyz/001.tiff", "rgb/001.png"):
        shutil.copy(
            copy / "gland" / "train" / "good" / kind, copy / "gland" / "train" / "good" / kind.replace("1", "9")
        )
    (copy / "gland" / "train" / "good" / "rgb" / "002.png").unlink()  # ends it before the work
    with pytest.warns(UserWarning, match=r"009\.tiff is the same scan as .*001\.tiff"), pytest.raises(ScanError):
        train_route(copy, [], SETTINGS, tmp_path / "run", silent)


@pytest.mark.parametrize("select", [True, False])
def test_a_validation_scan_that_is_tested_too_is_named_where_it_chooses_the_checkpoint(synth_data, tmp_path, select):
    import shutil
    import warnings

    copy = tmp_path / "data"
    shutil.copytree(synth_data, copy)
    folder = copy / "gland"
    shutil.copy(folder / "test" / "good" / "xyz" / "001.tiff", folder / "validation" / "good" / "xyz" / "000.tiff")
    (folder / "train" / "good" / "rgb" / "002.png").unlink()  # ends it before the work
    with warnings.catch_warnings(record=True) as told, pytest.raises(ScanError):
        warnings.simplefilter("always")
        train_route(copy, [], dataclasses.replace(SETTINGS, select=select), tmp_path / "run", silent)
    said = [str(warning.message) for warning in told if "validation" in str(warning.message)]
    assert [sentence[:50] for sentence in said] == ["gland: 1 of 1 validation scans are test scans too:"] * select


def test_a_folder_without_classes_is_said_plainly(tmp_path):
    with pytest.raises(UsageError, match="layout of MVTec 3D-AD"):
        train_route(tmp_path, [], SETTINGS, tmp_path / "run", silent)


def test_cached_features_are_not_computed_again(synth_data, trained_run, monkeypatch):
    from cmdiad.training.features import paired_features

    def compute(*_):
        raise AssertionError("computed again")

    monkeypatch.setattr(paired_features, "paired_features", compute)
    settings = dataclasses.replace(SETTINGS, epochs=1, seed=2)
    train_route(
        synth_data, [], settings, trained_run.parent / "other seed", silent, trained_run.parent / "feature_cache"
    )


def test_cached_features_are_those_of_both_modalities(synth_data):
    from cmdiad.runtime.bundle.parameters import Preprocessing
    from cmdiad.runtime.sensor.dataset import find_samples
    from cmdiad.training.extractors.by_name import open_extractor
    from cmdiad.training.features.paired_features import Wanted, paired_features

    sample = find_samples(synth_data / "gland", "train", "good")[0]
    pair = paired_features(
        Wanted(sample), open_extractor("embedded", "pc"), open_extractor("embedded", "rgb"), Preprocessing()
    )
    assert len(pair.pc) == len(pair.rgb) == pair.foreground.sum() > 300
    assert np.isfinite(pair.pc).all() and np.isfinite(pair.rgb).all() and not pair.mask.any()


def test_a_judged_defect_whose_mask_marks_nothing_is_refused(synth_data, tmp_path):
    from cmdiad.runtime.bundle.parameters import Preprocessing
    from cmdiad.runtime.sensor.dataset import find_samples
    from cmdiad.training.extractors.by_name import open_extractor
    from cmdiad.training.features.paired_features import Wanted, paired_features
    from PIL import Image

    sample = find_samples(synth_data / "gland", "test", "crack")[0]
    empty = dataclasses.replace(sample, mask=tmp_path / "empty.png")
    Image.fromarray(np.zeros((200, 200), np.uint8)).save(empty.mask)
    extractors = open_extractor("embedded", "pc"), open_extractor("embedded", "rgb")
    assert paired_features(Wanted(sample), *extractors, Preprocessing()).mask.any()
    with pytest.raises(ScanError, match=r"empty\.png: marks nothing"):
        paired_features(Wanted(empty), *extractors, Preprocessing())
