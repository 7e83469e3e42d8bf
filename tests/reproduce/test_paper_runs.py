"""The paper's experiments are run on the data at hand: given runs are taken, missing ones trained once."""

import os
from types import SimpleNamespace

import msgspec
import pytest
from cmdiad.reproduce.paper_runs import Grid, GridSettings, fits, run_paper_table
from cmdiad.reproduce.paper_tables import Experiment, ExtractorPair
from cmdiad.runtime.errors import ScanError, UsageError
from cmdiad.runtime.sensor.dataset import find_classes
from cmdiad.training.runs.record import read_run
from cmdiad.training.train import TrainingSettings

EMBEDDED = ExtractorPair("embedded", "embedded")


def grid(runs, cache, pair=EMBEDDED, checkpoints=(), **training):
    settings = TrainingSettings(epochs=1, batch_size=4, select=False, **training)
    return GridSettings(pair, settings, runs, checkpoints, cache, 0.1, 0, "cpu")


def lines_of(table):
    return {(row[0], row[1]): row[2:] for row in table.rows}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*far above the others")  # five scans under untrained networks
def test_a_given_run_is_taken_and_its_untrained_twin_made(synth_data, trained_run, tmp_path):
    i_auroc, aupro = run_paper_table("a2", synth_data, [], grid([trained_run], tmp_path / "cache"), lambda *_: None)
    ours = [[float(cell) for cell in lines_of(table)["PC", "ours"]] for table in (i_auroc, aupro)]
    assert all(len(row) == 4 and all(0 <= value <= 1 for value in row) for row in ours)
    assert any(untrained != trained for *_, untrained, trained in ours), ours
    assert lines_of(i_auroc)["PC", "paper"] == ["0.860", "0.851", "0.868", "0.938"]
    assert "Not run" not in aupro.note and not (tmp_path / "cache").exists()


def test_what_is_missing_is_trained_once_and_found_again(synth_data, tmp_path):
    stages = []
    settings, classes = grid([], tmp_path / "cache"), find_classes(synth_data)
    runs = []
    for _ in range(2):
        experiments = Grid(synth_data, classes, settings, tmp_path, lambda *each: stages.append(each[0]))
        runs += [
            experiments.run(Experiment("dual", "pc", EMBEDDED)),
            experiments.run(Experiment("f2f", "pc", EMBEDDED)),
        ]
    assert stages.count("distillation") == 1 and len(set(runs)) == 1
    assert read_run(runs[0])[1].epochs == 1


@pytest.mark.parametrize("name", [b"000.tiff", b"part-\xff.tiff"])
def test_a_link_that_leads_nowhere_is_named(tmp_path, monkeypatch, name):
    scan = tmp_path / "data" / "gland" / "train" / "good" / "xyz" / os.fsdecode(name)
    scan.parent.mkdir(parents=True)
    monkeypatch.setattr("cmdiad.reproduce.paper_runs.open_extractor", lambda *_: SimpleNamespace(digest="d"))
    scan.write_bytes(b"scan")
    settings = grid([], tmp_path, point_checkpoint=str(scan))
    experiments = Grid(tmp_path / "data", find_classes(tmp_path / "data"), settings, tmp_path, lambda *_: None)
    assert len(experiments._digest(settings.training)) == 12
    scan.unlink()
    scan.symlink_to("nowhere.tiff")
    with pytest.raises(ScanError) as caught:
        experiments._digest(settings.training)
    assert str(caught.value) == f"{scan}: cannot be read: No such file or directory: repair or remove it"


def test_runs_of_other_weights_or_settings_have_a_place_of_their_own(tmp_path, monkeypatch):
    scan = tmp_path / "data" / "gland" / "train" / "good" / "xyz" / "000.tiff"
    scan.parent.mkdir(parents=True)
    scan.write_bytes(b"scan")
    trained = []
    monkeypatch.setattr("cmdiad.reproduce.paper_runs.train_route", lambda *given: trained.append(given[3]))
    for digest, seed in (("old", 0), ("old", 0), ("old", 1), ("new", 0)):
        extractor = SimpleNamespace(digest=digest)
        monkeypatch.setattr("cmdiad.reproduce.paper_runs.open_extractor", lambda *_, extractor=extractor: extractor)
        settings = grid([], tmp_path, seed=seed)
        experiments = Grid(tmp_path / "data", find_classes(tmp_path / "data"), settings, tmp_path, lambda *_: None)
        experiments.run(Experiment("f2f", "pc", EMBEDDED))
    assert trained[0] == trained[1] and len(set(trained)) == 3


def test_extractors_that_are_not_there_are_said_to_be_missing(synth_data, tmp_path, monkeypatch):
    monkeypatch.setenv("CMDIAD_WEIGHTS", str(tmp_path / "nothing"))
    settings = grid([], tmp_path / "cache", ExtractorPair("point-mae", "vit_base_patch8_224.dino"))
    i_auroc, aupro = run_paper_table("2", synth_data, [], settings, lambda *_: None)
    assert set(lines_of(i_auroc)["F2F", "ours"]) == {"not run"}
    assert "Not run: Single bank, PC; F2F; F2I; I2F: " in aupro.note and "pretrain.pth" in aupro.note


def test_a_folder_without_a_run_is_refused(synth_data, tmp_path):
    with pytest.raises(UsageError, match="cmdiad train"):
        run_paper_table("2", synth_data, [], grid([tmp_path], tmp_path), lambda *_: None)


def test_a_run_fits_its_own_route_and_every_baseline(trained_run):
    _, run = read_run(trained_run)
    assert all(fits(run, Experiment(*each, EMBEDDED)) for each in (("single", "rgb"), ("dual", "pc"), ("f2f", "rgb")))
    assert not fits(run, Experiment("f2i", "pc", EMBEDDED))
    assert not fits(run, Experiment("f2f", "pc", EMBEDDED, is_trained=False))
    assert not fits(run, Experiment("single", "pc", ExtractorPair("point-mae", "embedded")))
    other = msgspec.structs.replace(run, route="i2f", main="rgb")
    assert fits(other, Experiment("i2f", "rgb", EMBEDDED)) and not fits(other, Experiment("i2f", "pc", EMBEDDED))


def test_a_checkpoint_serves_its_main_modality_before_any_run(synth_data, trained_run, tmp_path):
    checkpoints = [("pc", read_run(trained_run)[0] / "f2f.safetensors")]
    settings = grid([trained_run], tmp_path / "cache", checkpoints=checkpoints)
    experiments = Grid(synth_data, find_classes(synth_data), settings, tmp_path, lambda *_: None)
    chosen = {each: experiments.run(Experiment(*each, EMBEDDED)) for each in (("f2f", "pc"), ("f2f", "rgb"))}
    assert chosen["f2f", "rgb"] == trained_run
    assert read_run(chosen["f2f", "pc"])[1].adopted.startswith("f2f.safetensors, SHA-256 ")
