"""What several test folders share: small real-size data, and one run and bundle made from it."""

from __future__ import annotations

from pathlib import Path

import pytest

SHARED_DATA = Path(__file__).resolve().parent.parent.parent / "shared" / "data"
CLASS_NAME = "gland"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real scans beside the repository; tests that need them skip where they are not."""
    if not SHARED_DATA.is_dir():
        pytest.skip("../shared/data with real scans is not here")
    return SHARED_DATA


@pytest.fixture(scope="session")
def synth_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small synthetic dataset of one class."""
    from cmdiad.training.synth.dataset import write_dataset

    root = tmp_path_factory.mktemp("synth") / "data"
    write_dataset(root, classes=[CLASS_NAME], train=5, validation=1, test_good=2, per_defect=1, size=200, seed=3)
    return root


@pytest.fixture(scope="session")
def trained_run(synth_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short F2F training run on it."""
    from cmdiad.training.train import TrainingSettings, train_route

    folder = tmp_path_factory.mktemp("runs") / "run"
    settings = TrainingSettings(epochs=3, batch_size=2, seed=1, threads=1)
    return train_route(synth_data, [], settings, folder, lambda *_: None)


@pytest.fixture(scope="session")
def exported_bundle(trained_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run's F2F bundle, not calibrated."""
    from cmdiad.export.bundles import export_bundle

    path = tmp_path_factory.mktemp("exported") / "bundle"
    export_bundle(trained_run, "f2f", "pc", path)
    return path


@pytest.fixture(scope="session")
def calibrated_bundle(exported_bundle: Path, synth_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, calibrated on the normal training scans."""
    from cmdiad.calibration.calibrate import CalibrationSettings, calibrate_bundle
    from cmdiad.runtime.bundle import open_bundle
    from cmdiad.runtime.scan import find_scans

    path = tmp_path_factory.mktemp("calibrated") / "bundle"
    scans = find_scans([synth_data / CLASS_NAME / "train" / "good"])
    settings = CalibrationSettings(coreset_ratio=0.02, seed=5)
    calibrate_bundle(open_bundle(exported_bundle), scans, settings, path)
    return path
