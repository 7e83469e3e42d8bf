"""Datasets whose scans show several parts: evaluation and training take each part as a sample of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from cmdiad.calibration.calibration_settings import CalibrationSettings
from cmdiad.calibration.evaluation.contenders import Candidate
from cmdiad.calibration.evaluation.evaluate import evaluate_dataset
from cmdiad.runtime.bundle.parameters import Preprocessing
from cmdiad.runtime.bundle.reading import open_bundle
from cmdiad.runtime.errors import UsageError
from PIL import Image

from ...runtime.preparation.trays import Tray, tray

ALL = Preprocessing(plane="always", side="origin", window="part", window_pixels=224, parts="all")


def write_sample(folder: Path, name: str, trays: Tray) -> None:
    for kind in ("xyz", "rgb", "gt"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    points = trays.points()
    tifffile.imwrite(folder / "xyz" / f"{name}.tiff", points, photometric="rgb")
    shade = np.clip(255 * (0.51 - points[..., 2:]) / 0.03, 20, 235).astype(np.uint8)
    Image.fromarray(np.repeat(shade, 3, axis=2)).save(folder / "rgb" / f"{name}.png")
    if trays.mask().any():
        Image.fromarray(trays.mask().astype(np.uint8) * 255).save(folder / "gt" / f"{name}.png")


@pytest.fixture(scope="module")
def tray_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("trays")
    for seed in range(3):
        write_sample(root / "cookie" / "train" / "good", f"{seed:03d}", tray(seed, "oooo", 2))
    write_sample(root / "cookie" / "test" / "good", "000", tray(61, "o.oo", 2))
    write_sample(root / "cookie" / "test" / "crack", "000", tray(60, "oxoo", 2, defect="crack"))
    return root


def test_each_part_of_a_test_scan_counts_with_a_label_of_its_own(exported_bundle: Path, tray_data: Path) -> None:
    settings = CalibrationSettings(coreset_ratio=0.02, seed=5)
    candidate = Candidate("trays", open_bundle(exported_bundle), settings, ALL)
    (outcome,) = evaluate_dataset(tray_data, [], [candidate], "cpu", lambda *_: None).outcomes
    assert outcome.row.n_test == 7 and outcome.threshold.n_scans == 12
    assert sorted(outcome.names) == [
        "crack/crack/000#2",
        *(f"good/crack/000#{number}" for number in (1, 3, 4)),
        *(f"good/good/000#{number}" for number in (1, 2, 3)),
    ]
    assert outcome.defects.tolist().count("crack") == 1
    assert outcome.row.i_auroc == 1.0 and outcome.row.p_auroc is not None and outcome.row.p_auroc > 0.8
    assert all(not reasons for reasons in outcome.refusals)


def test_a_defective_tray_without_a_mask_is_refused(exported_bundle: Path, tray_data: Path, tmp_path: Path) -> None:
    for source in (tray_data / "cookie").rglob("*.*"):
        if source.parent.name != "gt":
            target = tmp_path / "data" / source.relative_to(tray_data)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(source)
    candidate = Candidate("trays", open_bundle(exported_bundle), CalibrationSettings(coreset_ratio=0.02), ALL)
    with pytest.raises(UsageError, match="shows 4 parts and is labeled crack, but has no mask"):
        evaluate_dataset(tmp_path / "data", [], [candidate], "cpu", lambda *_: None)


@pytest.mark.slow
def test_training_takes_every_part_of_every_scan(tray_data: Path, tmp_path: Path) -> None:
    from cmdiad.training.train import TrainingSettings, train_route

    settings = TrainingSettings(epochs=1, batch_size=4, seed=1, threads=1, preprocessing=ALL)
    folder = train_route(tray_data, [], settings, tmp_path / "run", lambda *_: None, tmp_path / "cache")
    assert len(list((tmp_path / "cache").glob("*.npz"))) == 12
    assert (folder / "f2f.safetensors").is_file()
