"""The main tables: nothing is trained, what is finished is not run again, and what cannot be run is said."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from cmdiad.calibration.evaluation.outcomes import Row, Verdicts
from cmdiad.reproduce.mvtec3d import look_for_needs, reproduce_main_tables, with_published
from cmdiad.reproduce.paper_runs import GridSettings
from cmdiad.reproduce.paper_tables import PAPER_PAIR, ExtractorPair
from cmdiad.runtime.errors import UsageError
from cmdiad.training.extractors.by_name import open_extractor
from cmdiad.training.routes.distillation import distillation
from cmdiad.training.train import TrainingSettings

EMBEDDED = ExtractorPair("embedded", "embedded")
CLASSES = ("bagel", "carrot", "tire")


def silent(*_: object) -> None:
    """No progress."""


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights of F2F as wide as the embedded pair's features, in the published format."""
    dims = open_extractor("embedded", "pc").dim, open_extractor("embedded", "rgb").dim
    torch.manual_seed(0)
    weights = distillation("f2f").new("pc", *dims).state_dict()
    path = tmp_path_factory.mktemp("published") / "MTFI_FtoF_PCs.pth"
    torch.save({"model": weights, "epoch": 64, "args": argparse.Namespace(lr=5e-4, AMP=False)}, path)
    return path


@pytest.fixture
def settings(checkpoint: Path, tmp_path: Path) -> GridSettings:
    return GridSettings(EMBEDDED, TrainingSettings(), [], [("pc", checkpoint)], tmp_path / "cells", 0.3, 0, "cpu")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A stand-in in the layout of MVTec 3D-AD, of files that nobody reads."""
    for name in CLASSES:
        for place in ("train/good", "test/good", "test/hole"):
            (tmp_path / "data" / name / place / "xyz").mkdir(parents=True)
            (tmp_path / "data" / name / place / "xyz" / "000.tiff").write_bytes(b"scan")
    return tmp_path / "data"


class FakeEvaluation:
    """Counts what is evaluated, and is stopped at one class."""

    def __init__(self) -> None:
        self.classes: list[str] = []
        self.stop_at = ""

    def __call__(self, data: Path, names: list[str], candidates: list[SimpleNamespace], *_: object) -> SimpleNamespace:
        (name,) = names
        if name == self.stop_at:
            raise KeyboardInterrupt
        self.classes.append(name)
        return SimpleNamespace(of=lambda _: [self._outcome(name)])

    @staticmethod
    def _outcome(name: str) -> SimpleNamespace:
        return SimpleNamespace(
            row=Row(name, "f2f", "pc", 0.5, 0.5, 0.5, 0.5, 2),
            verdicts=Verdicts(1, 0, 1, 1, 0),
            milliseconds={"total": 1.0},
            bank_bytes=10,
        )


@pytest.fixture
def evaluated(monkeypatch: pytest.MonkeyPatch) -> FakeEvaluation:
    fake = FakeEvaluation()
    made: Callable[..., object] = lambda self, experiments: ({one: SimpleNamespace() for one in experiments}, {})  # noqa: E731
    monkeypatch.setattr("cmdiad.reproduce.mvtec3d.evaluate_dataset", fake)
    monkeypatch.setattr("cmdiad.reproduce.mvtec3d.Grid.candidates", made)
    return fake


def run(data: Path, settings: GridSettings, out: Path) -> SimpleNamespace:
    needs = look_for_needs(data, list(CLASSES), settings)
    done = reproduce_main_tables(data, needs, settings, out, silent)
    return SimpleNamespace(n_run=done.n_run, n_kept=done.n_kept, done=done)


def test_what_was_stopped_goes_on_and_what_is_finished_is_not_run_again(
    data: Path, settings: GridSettings, evaluated: FakeEvaluation, tmp_path: Path
) -> None:
    evaluated.stop_at = "carrot"
    with pytest.raises(KeyboardInterrupt):
        run(data, settings, tmp_path / "out")
    assert evaluated.classes == ["bagel"]
    evaluated.stop_at = ""
    second = run(data, settings, tmp_path / "out")
    assert evaluated.classes == ["bagel", "carrot", "tire"]
    methods = second.n_kept
    assert methods > 1 and second.n_run == 2 * methods
    third = run(data, settings, tmp_path / "out")
    assert evaluated.classes == ["bagel", "carrot", "tire"] and (third.n_run, third.n_kept) == (0, 3 * methods)
    assert third.done.tables == second.done.tables


def test_other_scans_or_settings_are_run_anew(
    data: Path, settings: GridSettings, evaluated: FakeEvaluation, tmp_path: Path
) -> None:
    run(data, settings, tmp_path / "out")
    (data / "tire" / "test" / "hole" / "xyz" / "001.tiff").write_bytes(b"another")
    run(data, settings, tmp_path / "out")
    assert evaluated.classes == [*CLASSES, "tire"]
    run(data, replace(settings, seed=1), tmp_path / "out")
    assert evaluated.classes == [*CLASSES, "tire", *CLASSES]


def test_a_cell_that_was_changed_is_refused_by_name(
    data: Path, settings: GridSettings, evaluated: FakeEvaluation, tmp_path: Path
) -> None:
    run(data, settings, tmp_path / "out")
    cell = min((tmp_path / "out" / "cells").iterdir())
    cell.write_text("{}")
    with pytest.raises(UsageError, match=rf"{cell.name}: is not a finished cell .*remove it"):
        run(data, settings, tmp_path / "out")


def test_what_has_no_weights_is_not_run_and_nothing_is_compared_with_other_weights(
    data: Path, settings: GridSettings, evaluated: FakeEvaluation, tmp_path: Path
) -> None:
    done = run(data, settings, tmp_path / "out").done
    assert {cell.verdict for cell in done.comparisons} == {"not run", "not comparable"} and done.outside == []
    rows = {(row[0], row[1]): row[2:] for row in done.tables[0].rows}
    assert set(rows["F2I", "ours"]) == {"not run"} and "not run" not in rows["F2F", "ours"]
    assert any("nothing is trained" in table.note for table in done.tables)


def test_published_routes_in_the_weights_folder_are_found(
    checkpoint: Path, settings: GridSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CMDIAD_WEIGHTS", str(checkpoint.parent))
    paper = with_published(replace(settings, pair=PAPER_PAIR, checkpoints=[]))
    assert paper.checkpoints == [("pc", checkpoint)]
    assert with_published(settings) == settings
    absent = replace(settings, checkpoints=[("rgb", tmp_path / "MTFI_FtoI_RGB.pth")])
    data = tmp_path / "empty"
    data.mkdir()
    needs = look_for_needs(data, ["bagel"], absent)
    assert "MTFI_FtoI_RGB.pth" in [need.name for need in needs if need.is_lacking]


@pytest.mark.slow
def test_a_stand_in_is_reproduced_end_to_end_and_then_found(
    synth_data: Path, settings: GridSettings, tmp_path: Path
) -> None:
    """One class of synthetic parts under the name of one of the paper's, with checkpoints of random weights."""
    shutil.copytree(synth_data / "gland", tmp_path / "root" / "cable_gland")
    needs = look_for_needs(tmp_path / "root", ["cable_gland"], settings)
    assert next(need for need in needs if need.name == "cable_gland").state == "differs"
    first = reproduce_main_tables(tmp_path / "root", needs, settings, tmp_path / "out", silent)
    assert first.n_run == 4 and first.n_kept == 0
    again = reproduce_main_tables(tmp_path / "root", needs, settings, tmp_path / "out", silent)
    assert (again.n_run, again.n_kept, again.tables) == (0, 4, first.tables)
    ours = [cell.ours for cell in first.comparisons if cell.class_name == "cable_gland" and cell.ours is not None]
    assert len(ours) > 4 and all(0 <= figure <= 1 for figure in ours)
