"""Calibration holds what it says: normalized banks of the right size, honest thresholds, the same bytes."""

import dataclasses
import shutil
from dataclasses import replace

import msgspec
import numpy as np
import pytest
from cmdiad.calibration import calibrated_bundle as calibrated_bundle_module
from cmdiad.calibration.calibrate import CalibrationSettings, statistics_of
from cmdiad.calibration.calibrated_bundle import calibrate_bundle, product_of
from cmdiad.runtime.acceptance.selftest import run_selftest
from cmdiad.runtime.banks import bank as bank_module
from cmdiad.runtime.bundle.manifest import Manifest, encode
from cmdiad.runtime.bundle.reading import open_bundle
from cmdiad.runtime.bundle.writing import rewrite_bundle
from cmdiad.runtime.errors import EngineError, OutputError, ScanError, UsageError
from cmdiad.runtime.health.drift_monitor import DriftMonitor
from cmdiad.runtime.health.measures import measures_of
from cmdiad.runtime.inspector import Inspector
from cmdiad.runtime.patches.features import FeatureExtractor
from cmdiad.runtime.patches.routes import MAIN, modalities
from cmdiad.runtime.preparation.prepared_part import prepare_file
from cmdiad.runtime.sensor.find import find_scans
from cmdiad.runtime.timing import StageTimes
from cmdiad.runtime.verdict.decision import Decision, match_bank

SETTINGS = CalibrationSettings(coreset_ratio=0.02, seed=5)


@pytest.fixture(scope="module")
def scans(synth_data):
    return find_scans([synth_data / "gland" / "train" / "good"])


def features_of(bundle, scan):
    extractor = FeatureExtractor(bundle)
    return extractor, extractor.extract(
        prepare_file(scan, modalities(bundle.manifest), bundle.manifest.preprocessing), StageTimes()
    )


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
    calibrate_bundle(open_bundle(exported_bundle), scans, settings, tmp_path / "half", with_line_graph=False)
    full, half = (Inspector.load(path) for path in (calibrated_bundle, tmp_path / "half"))
    for name in ("bank_main.npy", "bank_hallucinated.npy"):
        rows = [np.load(path / name) for path in (calibrated_bundle, tmp_path / "half")]
        assert rows[1].nbytes * 2 == rows[0].nbytes
    assert half.threshold == pytest.approx(full.threshold, rel=1e-3)
    for scan in scans[:3]:
        assert half(scan).score == pytest.approx(full(scan).score, rel=1e-3)


def test_in_place_calibration_keeps_the_networks(exported_bundle, scans, tmp_path):
    path = tmp_path / "bundle"
    shutil.copytree(exported_bundle, path)
    calibrate_bundle(open_bundle(path), scans, SETTINGS, path, product="left gland", with_line_graph=False)
    bundle = open_bundle(path)
    assert bundle.manifest.product == "left gland"
    assert bundle.read("extractor.onnx") == (exported_bundle / "extractor.onnx").read_bytes()


def test_a_name_from_an_earlier_calibration_is_doubted_where_the_scans_do_not_say_whose_they_are(
    calibrated_bundle, exported_bundle, scans, tmp_path
):
    loose = [tmp_path / f"{number}.tiff" for number in range(len(scans))]
    for scan, copy in zip(scans, loose, strict=True):
        shutil.copy(scan, copy)
    settings = {"settings": SETTINGS, "with_line_graph": False}
    again = calibrate_bundle(open_bundle(calibrated_bundle), loose, out=tmp_path / "again", **settings)
    assert again.manifest.product == "gland"
    assert any("keeps the name 'gland'" in warning and "--product" in warning for warning in again.warnings)
    named = calibrate_bundle(open_bundle(calibrated_bundle), loose, out=tmp_path / "named", product="lid", **settings)
    first = calibrate_bundle(open_bundle(exported_bundle), loose, out=tmp_path / "first", **settings)
    assert not any("keeps the name" in warning for done in (named, first) for warning in done.warnings)


def test_banks_carry_their_screen_and_leave_nothing_behind_when_calibrated_again(
    exported_bundle, scans, tmp_path, monkeypatch
):
    """Banks of so few scans are searched directly, unless the limit is lowered."""
    with monkeypatch.context() as patch:
        patch.setattr(bank_module, "MIN_SCREENED_ROWS", 100)
        calibrate_bundle(open_bundle(exported_bundle), scans, SETTINGS, tmp_path / "bundle", with_line_graph=False)
    layout = {f"bank_{role}_{name}.npy" for role in (MAIN, "hallucinated") for name in ("basis", "cells")}
    assert layout <= open_bundle(tmp_path / "bundle").manifest.files.keys()
    calibrate_bundle(open_bundle(tmp_path / "bundle"), scans, SETTINGS, tmp_path / "bundle", with_line_graph=False)
    assert not layout & {path.name for path in (tmp_path / "bundle").iterdir()}


def test_the_threshold_is_that_of_parts_never_seen(calibrated_bundle, scans):
    """Scans that are in the bank score below what they score when left out of it."""
    inspector = Inspector.load(calibrated_bundle)
    threshold = inspector.bundle.manifest.calibration.threshold
    assert threshold.n_scans == len(scans) and threshold.method == "extrapolated"
    assert all(inspector(scan).score < inspector.threshold for scan in scans)


def test_the_bundle_records_what_its_normal_scans_measured(calibrated_bundle, scans):
    bundle = open_bundle(calibrated_bundle)
    calibration = bundle.manifest.calibration
    health = calibration.health
    assert {"missing_share", "plane_rms_m", "plane_tilt_x_deg", "part_z_m", "score"} < health.measures.keys()
    assert all(measure.n == len(scans) == len(measure.values) for measure in health.measures.values())
    diameters = [Inspector.load(calibrated_bundle)(scan).view.diameter_m for scan in scans]
    assert health.measures["part_diameter_m"].values == pytest.approx(diameters)
    # Each without its own rows: the extrapolated threshold lies above all of them.
    assert max(health.measures["score"].values) < calibration.threshold.value


def test_a_bundle_from_before_health_was_recorded_is_read_and_monitored(calibrated_bundle, scans):
    manifest = open_bundle(calibrated_bundle).manifest
    without = msgspec.structs.replace(manifest.calibration, health=None)
    told = msgspec.json.decode(encode(msgspec.structs.replace(manifest, calibration=without)))
    del told["calibration"]["health"]
    assert msgspec.convert(told, Manifest).calibration == without
    monitor = DriftMonitor(manifest.digest, None)
    inspection = Inspector.load(calibrated_bundle)(scans[0])
    assert monitor.update(measures_of(inspection.view, inspection.origin), inspection.score, False) == []


def test_too_few_scans_are_refused(exported_bundle, scans, tmp_path):
    with pytest.raises(UsageError, match="at least 3"):
        calibrate_bundle(open_bundle(exported_bundle), scans[:2], SETTINGS, tmp_path / "b")
    assert not (tmp_path / "b").exists()


def test_raw_or_preprocessed_is_decided_anew_for_other_scans(calibrated_bundle, scans, tmp_path):
    """A bundle that was calibrated on preprocessed scans takes raw ones for raw."""
    bundle = open_bundle(calibrated_bundle)
    told = msgspec.structs.replace(bundle.manifest.preprocessing, plane="never", side="auto")
    before = dataclasses.replace(bundle, manifest=msgspec.structs.replace(bundle.manifest, preprocessing=told))
    completed = calibrate_bundle(before, scans, SETTINGS, tmp_path / "out", with_line_graph=False)
    assert completed.manifest.preprocessing == bundle.manifest.preprocessing


def test_copies_of_a_scan_are_refused_by_name(exported_bundle, scans, tmp_path):
    """The copy's patches would be in the banks that a scan is scored by."""
    copy = tmp_path / "copy.tiff"
    copy.write_bytes(scans[1].read_bytes())
    with pytest.raises(UsageError, match=rf"copy\.tiff is the same scan as .*{scans[1].name}"):
        calibrate_bundle(open_bundle(exported_bundle), [*scans, copy], SETTINGS, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_place_that_cannot_be_written_is_refused_before_the_work(exported_bundle, scans, tmp_path):
    (tmp_path / "file").write_text("")
    stages = []
    with pytest.raises(OutputError, match="cannot be written"):
        calibrate_bundle(
            open_bundle(exported_bundle),
            scans,
            SETTINGS,
            tmp_path / "file" / "out",
            progress=lambda *stage: stages.append(stage),
        )
    assert stages == []


def test_an_unusable_scan_is_named_and_nothing_is_written(exported_bundle, scans, tmp_path):
    bad = tmp_path / "bad.tiff"
    bad.write_bytes(b"")
    with pytest.raises(ScanError, match=r"bad\.tiff"):
        calibrate_bundle(open_bundle(exported_bundle), [*scans, bad], SETTINGS, tmp_path / "b")
    assert not (tmp_path / "b").exists()


def test_the_highest_scoring_normal_scans_are_returned(exported_bundle, scans, tmp_path):
    completed = calibrate_bundle(open_bundle(exported_bundle), scans, SETTINGS, tmp_path / "b", with_line_graph=False)
    assert completed.manifest == open_bundle(tmp_path / "b").manifest
    (first, score), *_, (last, lowest) = completed.highest(len(scans))
    assert completed.scans == tuple(scans) and {first, last} < set(scans)
    assert score == max(completed.scores) and lowest == min(completed.scores)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e30], ids=str)
def test_a_scan_that_the_networks_do_not_compute_is_named_and_nothing_is_written(
    exported_bundle, scans, tmp_path, monkeypatch, value
):
    original, calls = FeatureExtractor.extract, []

    def broken(self, *args):
        features = original(self, *args)
        calls.append(1)
        if len(calls) == 2:
            features.second[3, 4] = value
        return features

    monkeypatch.setattr(FeatureExtractor, "extract", broken)
    with pytest.raises(EngineError, match=rf"{scans[1].name}: 1 of \d+ values"):
        calibrate_bundle(open_bundle(exported_bundle), scans, SETTINGS, tmp_path / "b")
    assert not (tmp_path / "b").exists()


def test_networks_that_always_give_the_same_are_refused():
    with pytest.raises(EngineError, match="the same value, 2"):
        statistics_of(np.full((10, 4), 2, np.float32))


def test_the_product_is_the_class_whose_parts_these_are(synth_data, scans, eyecandies_data, tmp_path):
    assert product_of(scans) == product_of([scan.parents[1] / "rgb" / f"{scan.stem}.png" for scan in scans]) == "gland"
    assert product_of([eyecandies_data / "Praline" / "train" / "data" / "000_depth.png"]) == "Praline"


def test_scans_of_no_class_or_of_several_have_no_product(scans, tmp_path):
    other = tmp_path / "box" / "train" / "good" / "xyz" / "000.tiff"
    other.parent.mkdir(parents=True)
    shutil.copy(scans[0], other)
    shutil.copy(scans[0], tmp_path / "000.tiff")
    assert product_of([other]) == "box"
    assert product_of([scans[0], other]) is None
    assert product_of([scans[0], tmp_path / "000.tiff"]) is None
    assert product_of([tmp_path / "000.tiff"]) is None


def test_an_interrupted_calibration_leaves_the_bundle_as_it_was(calibrated_bundle, scans, tmp_path, monkeypatch):
    """It was written without its golden scans first, and a bundle without them fails its self-test."""
    path = tmp_path / "bundle"
    shutil.copytree(calibrated_bundle, path)
    before = {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(calibrated_bundle_module, "golden_contents", interrupted)
    with pytest.raises(KeyboardInterrupt):
        calibrate_bundle(open_bundle(path), scans, replace(SETTINGS, seed=6), path, with_line_graph=False)
    assert {file: file.read_bytes() for file in path.rglob("*") if file.is_file()} == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["bundle"]


def test_a_bundle_is_calibrated_in_place_from_its_own_mapped_banks(calibrated_bundle, scans, tmp_path):
    """Twice, in both forms, with the same bytes."""
    for name in ("bundle", "bundle.cmdiad"):
        path = tmp_path / name
        bundle = open_bundle(calibrated_bundle)
        rewrite_bundle(bundle, path, bundle.manifest, {})
        mapped = open_bundle(path)
        Decision.load(mapped)
        calibrate_bundle(mapped, scans, SETTINGS, path)
        assert open_bundle(path).manifest == bundle.manifest
        assert run_selftest(open_bundle(path)).passed


def test_all_scans_that_cannot_be_used_are_named_at_once(exported_bundle, scans, tmp_path):
    """Of three kinds: not to be read, of another format, and without a part."""
    bad = [tmp_path / name for name in ("cut.tiff", "empty.tiff", "table.npy")]
    bad[0].write_bytes(scans[0].read_bytes()[:1000])
    bad[1].write_bytes(b"")
    rows, columns = np.mgrid[:200, :200] * 1e-3
    np.save(bad[2], np.stack([columns, rows, np.full_like(rows, 0.5)], axis=-1).astype(np.float32))
    with pytest.raises(ScanError) as caught:
        calibrate_bundle(open_bundle(exported_bundle), [*scans, *bad], SETTINGS, tmp_path / "new")
    message = str(caught.value)
    assert message.startswith(f"3 of {len(scans) + 3} scans cannot be used: ")
    assert all(f"{path}: " in message for path in bad) and not (tmp_path / "new").exists()
