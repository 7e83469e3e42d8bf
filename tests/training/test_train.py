"""Training learns, says what it did, and is the same again with the same seed."""

import csv
import dataclasses

import numpy as np
import pytest
from cmdiad.runtime.errors import ScanError, UsageError
from cmdiad.training.run import mark_latest, read_run, weights_file
from cmdiad.training.train import LOG, TrainingSettings, train_f2f

SETTINGS = TrainingSettings(epochs=3, batch_size=2, seed=1)


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


def test_the_same_seed_gives_the_same_weights_and_another_does_not(trained_run, synth_data, tmp_path):
    again = train_f2f(synth_data, [], SETTINGS, tmp_path / "again", silent)
    other = train_f2f(synth_data, [], dataclasses.replace(SETTINGS, seed=2), tmp_path / "other", silent)
    weights = [(folder / weights_file("f2f")).read_bytes() for folder in (trained_run, again, other)]
    assert weights[0] == weights[1] != weights[2]


def test_latest_leads_to_the_newest_run(trained_run, tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.json").write_bytes((trained_run / "run.json").read_bytes())
        mark_latest(tmp_path / name)
    folder, _ = read_run(tmp_path / "latest")
    assert folder.resolve() == (tmp_path / "two").resolve()


def test_latest_may_be_a_file_where_there_are_no_links(trained_run, tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "run.json").write_bytes((trained_run / "run.json").read_bytes())
    (tmp_path / "latest").write_text("one\n")
    assert read_run(tmp_path / "latest")[0] == tmp_path / "one"


def test_a_run_is_never_overwritten(trained_run, synth_data):
    with pytest.raises(UsageError, match="not empty"):
        train_f2f(synth_data, [], SETTINGS, trained_run, silent)


def test_a_missing_run_is_said_plainly(tmp_path):
    with pytest.raises(UsageError, match="cmdiad train"):
        read_run(tmp_path / "latest")


def test_a_scan_without_its_image_is_named(synth_data, tmp_path):
    import shutil

    copy = tmp_path / "data"
    shutil.copytree(synth_data, copy)
    (copy / "gland" / "train" / "good" / "rgb" / "002.png").unlink()
    with pytest.raises(ScanError, match=r"002\.tiff"):
        train_f2f(copy, [], SETTINGS, tmp_path / "run", silent)


def test_a_folder_without_classes_is_said_plainly(tmp_path):
    with pytest.raises(UsageError, match="MVTec 3D-AD layout"):
        train_f2f(tmp_path, [], SETTINGS, tmp_path / "run", silent)


def test_cached_features_are_not_computed_again(synth_data, trained_run, tmp_path, monkeypatch):
    from cmdiad.training import paired_features

    calls = []
    original = paired_features.paired_features
    monkeypatch.setattr(paired_features, "paired_features", lambda *args: calls.append(args) or original(*args))
    settings = dataclasses.replace(SETTINGS, epochs=1)
    train_f2f(synth_data, [], settings, tmp_path / "one", silent)
    train_f2f(synth_data, [], settings, tmp_path / "two", silent)
    assert len(calls) == 5


def test_cached_features_are_those_of_both_modalities(synth_data):
    from cmdiad.runtime.dataset import find_samples
    from cmdiad.runtime.preprocessing import Preprocessing
    from cmdiad.training.extractors.opening import open_extractor
    from cmdiad.training.paired_features import paired_features

    sample = find_samples(synth_data / "gland", "train", "good")[0]
    pc, rgb = paired_features(
        sample, open_extractor("embedded", "pc"), open_extractor("embedded", "rgb"), Preprocessing()
    )
    assert len(pc) == len(rgb) > 300
    assert np.isfinite(pc).all() and np.isfinite(rgb).all()
