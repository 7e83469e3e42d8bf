"""Calibration holds what it says: normalized banks of the right size, honest thresholds, the same bytes."""

from dataclasses import replace

import numpy as np
import pytest
from cmdiad.calibration.calibrate import CalibrationSettings, calibrate_bundle
from cmdiad.runtime import bank as bank_module
from cmdiad.runtime.bundle import open_bundle
from cmdiad.runtime.decision import Decision, match_bank
from cmdiad.runtime.errors import ScanError, UsageError
from cmdiad.runtime.features import FeatureExtractor, prepare_part
from cmdiad.runtime.inspector import Inspector, read_part
from cmdiad.runtime.patches.routes import MAIN
from cmdiad.runtime.scan import find_scans
from cmdiad.runtime.timing import StageTimes

SETTINGS = CalibrationSettings(coreset_ratio=0.02, seed=5)


@pytest.fixture(scope="module")
def scans(synth_data):
    return find_scans([synth_data / "gland" / "train" / "good"])


def features_of(bundle, scan):
    extractor = FeatureExtractor(bundle)
    return extractor, extractor.extract(prepare_part(read_part(scan, bundle.manifest), bundle.manifest), StageTimes())


def test_banks_have_the_asked_size_and_the_patchless_row(calibrated_bundle, scans):
    bundle = open_bundle(calibrated_bundle)
    decision = Decision.load(bundle)
    extractor, features = features_of(bundle, scans[0])
    assert bundle.manifest.banks.keys() == {MAIN, "hallucinated"}
    for entry in bundle.manifest.banks.values():
        assert entry.n_rows == round(0.02 * 3136 * len(scans))
    empty, hallucinated = extractor.without_points(features.main.shape[1])
    assert not empty.any() and match_bank(decision.main, empty).distances[0] == pytest.approx(0, abs=1e-5)
    assert match_bank(decision.second, hallucinated).distances[0] == pytest.approx(0, abs=1e-5)


def test_the_same_seed_gives_the_same_bytes(calibrated_bundle, exported_bundle, scans, tmp_path):
    calibrate_bundle(open_bundle(exported_bundle), scans, SETTINGS, tmp_path / "again")
    ours, again = (
        sorted(path.relative_to(root) for path in root.rglob("*") if path.is_file())
        for root in (calibrated_bundle, tmp_path / "again")
    )
    assert ours == again
    for name in ours:
        assert (calibrated_bundle / name).read_bytes() == (tmp_path / "again" / name).read_bytes(), name


def test_banks_in_half_precision_take_half_the_space_and_decide_alike(
    calibrated_bundle, exported_bundle, scans, tmp_path
):
    settings = replace(SETTINGS, bank_precision="fp16")
    calibrate_bundle(open_bundle(exported_bundle), scans, settings, tmp_path / "half")
    full, half = (Inspector.load(path) for path in (calibrated_bundle, tmp_path / "half"))
    for name in ("bank_main.npy", "bank_hallucinated.npy"):
        rows = [np.load(path / name) for path in (calibrated_bundle, tmp_path / "half")]
        assert rows[1].nbytes * 2 == rows[0].nbytes
    assert half.threshold == pytest.approx(full.threshold, rel=1e-3)
    for scan in scans[:3]:
        assert half(scan).score == pytest.approx(full(scan).score, rel=1e-3)


def test_in_place_calibration_keeps_the_networks(exported_bundle, scans, tmp_path):
    import shutil

    path = tmp_path / "bundle"
    shutil.copytree(exported_bundle, path)
    calibrate_bundle(open_bundle(path), scans, SETTINGS, path, product="left gland")
    bundle = open_bundle(path)
    assert bundle.manifest.product == "left gland"
    assert bundle.read("extractor.onnx") == (exported_bundle / "extractor.onnx").read_bytes()


def test_banks_carry_their_screen_and_leave_nothing_behind_when_calibrated_again(
    exported_bundle, scans, tmp_path, monkeypatch
):
    """Banks of so few scans are searched directly, unless the limit is lowered."""
    with monkeypatch.context() as patch:
        patch.setattr(bank_module, "MIN_SCREENED_ROWS", 100)
        calibrate_bundle(open_bundle(exported_bundle), scans, SETTINGS, tmp_path / "bundle")
    layout = {f"bank_{role}_{name}.npy" for role in (MAIN, "hallucinated") for name in ("basis", "cells")}
    assert layout <= open_bundle(tmp_path / "bundle").manifest.files.keys()
    calibrate_bundle(open_bundle(tmp_path / "bundle"), scans, SETTINGS, tmp_path / "bundle")
    assert not layout & {path.name for path in (tmp_path / "bundle").iterdir()}


def test_the_threshold_is_that_of_parts_never_seen(calibrated_bundle, scans):
    """Scans that are in the bank score below what they score when left out of it."""
    inspector = Inspector.load(calibrated_bundle)
    threshold = inspector.bundle.manifest.calibration.threshold
    assert threshold.n_scans == len(scans) and threshold.method == "extrapolated"
    assert all(inspector(scan).score < inspector.threshold for scan in scans)


def test_too_few_scans_are_refused(exported_bundle, scans, tmp_path):
    with pytest.raises(UsageError, match="at least 3"):
        calibrate_bundle(open_bundle(exported_bundle), scans[:2], SETTINGS, tmp_path / "b")
    assert not (tmp_path / "b").exists()


def test_an_unusable_scan_is_named_and_nothing_is_written(exported_bundle, scans, tmp_path):
    bad = tmp_path / "bad.tiff"
    bad.write_bytes(b"")
    with pytest.raises(ScanError, match=r"bad\.tiff"):
        calibrate_bundle(open_bundle(exported_bundle), [*scans, bad], SETTINGS, tmp_path / "b")
    assert not (tmp_path / "b").exists()
