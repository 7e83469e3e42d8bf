"""A bundle is updated from recent good parts: the old one stays, both are compared, and the trail says who did it."""

import dataclasses
from datetime import date
from pathlib import Path

import msgspec
import numpy as np
import pytest
import tifffile
from cmdiad.calibration.calibrate import CalibrationSettings
from cmdiad.calibration.calibrated_bundle import calibrate_bundle
from cmdiad.calibration.updating import UpdateRequest, dated_name, scan_named, settings_of, update_bundle
from cmdiad.runtime.acceptance.selftest import run_selftest
from cmdiad.runtime.bundle.reading import open_bundle
from cmdiad.runtime.errors import BundleError, ScanError, UsageError
from cmdiad.runtime.files.audit import verify_audit
from cmdiad.runtime.inspector import Inspector
from cmdiad.runtime.sensor.dataset import file_digests
from cmdiad.runtime.sensor.find import find_scans


@pytest.fixture(scope="module")
def recent(recent_scans):
    return tuple(find_scans([recent_scans])[:4])


@pytest.fixture(scope="module")
def defective(synth_data):
    tests = synth_data / "gland" / "test"
    return next(path for path in sorted(tests.rglob("xyz/*.tiff")) if path.parents[1].name != "good")


@pytest.fixture(scope="module")
def updated(calibrated_bundle, recent, tmp_path_factory):
    out = tmp_path_factory.mktemp("updated") / "new"
    return out, update_bundle(open_bundle(calibrated_bundle), UpdateRequest(recent, out, accepted=names(recent)))


def names(scans):
    """Of all of them: whether the old bundle rejects a scan is not what every test is about."""
    return tuple(str(scan) for scan in scans)


def test_the_new_bundle_inspects_with_the_old_networks_and_settings(updated, calibrated_bundle, recent):
    out, _ = updated
    old, new = open_bundle(calibrated_bundle), open_bundle(out)
    assert new.read("extractor.onnx") == old.read("extractor.onnx")
    assert settings_of(new, new.manifest.calibration) == settings_of(old, old.manifest.calibration)
    assert new.manifest.preprocessing == old.manifest.preprocessing and new.manifest.product == old.manifest.product
    assert {role: bank.n_rows for role, bank in new.manifest.banks.items()} == {
        role: bank.n_rows for role, bank in old.manifest.banks.items()
    }
    assert new.manifest.provenance["updated_from"] == old.manifest.digest
    assert new.manifest.calibration.part.n_parts == old.manifest.calibration.part.n_parts + len(recent)
    assert new.manifest.calibration.health.measures["score"].n == len(recent) == new.manifest.calibration.n_scans
    assert run_selftest(new).passed
    assert all(Inspector.load(out)(scan).score < new.manifest.calibration.threshold.value for scan in recent)


def test_the_comparison_says_what_the_old_bundle_says(updated, calibrated_bundle, recent):
    _, result = updated
    inspector = Inspector.load(calibrated_bundle)
    told = result.comparison
    for scan, both in zip(recent, told.scans, strict=True):
        inspection = inspector(scan)
        assert both.score_before == pytest.approx(inspection.score, rel=1e-5)
        assert both.is_defect_before == inspection.is_defect and both.scan == str(scan)
    assert told.rejected_before == sum(scan.is_defect_before for scan in told.scans)
    assert told.threshold_before.value == inspector.threshold != told.threshold_after.value
    assert [case.scan for case in told.golden] == ["normal", "highest"]
    shifts = {measure.measure: measure for measure in told.health}
    assert {"score", "plane_rms_m", "missing_share"} <= shifts.keys()
    assert told.digest_after == result.completed.manifest.digest != told.digest_before


def test_the_trail_names_scans_digests_and_bundles(updated, calibrated_bundle, recent):
    out, result = updated
    assert result.audit == out.parent / "audit.jsonl"
    (entry,) = verify_audit(result.audit)
    assert (entry.action, entry.bundle_before) == ("update", open_bundle(calibrated_bundle).manifest.digest)
    assert entry.bundle_after == result.completed.manifest.digest
    assert [scan.sha256 for scan in entry.scans] == [digest.hex() for digest in file_digests(recent)]
    assert entry.details["banks"] == "merged" and entry.details["bundle"] == str(out)


def test_the_same_request_gives_the_same_bytes(updated, calibrated_bundle, recent, tmp_path):
    out, _ = updated
    update_bundle(open_bundle(calibrated_bundle), UpdateRequest(recent, tmp_path / "again", accepted=names(recent)))
    ours, again = (
        {path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()}
        for root in (out, tmp_path / "again")
    )
    assert ours == again


@pytest.mark.slow
def test_replaced_banks_are_those_of_a_calibration_on_the_recent_parts(calibrated_bundle, recent, tmp_path):
    old = open_bundle(calibrated_bundle)
    request = UpdateRequest(recent, tmp_path / "new", replace=True, accepted=names(recent))
    update_bundle(old, request)
    settings = settings_of(old, old.manifest.calibration)
    calibrate_bundle(old, recent, settings, tmp_path / "anew", with_line_graph=False)
    for name in ("bank_main.npy", "bank_hallucinated.npy", "fusion.json"):
        assert (tmp_path / "new" / name).read_bytes() == (tmp_path / "anew" / name).read_bytes()
    new, anew = (open_bundle(tmp_path / name).manifest.calibration for name in ("new", "anew"))
    assert new == anew


def test_scans_that_the_old_bundle_rejects_are_refused_by_name(calibrated_bundle, recent, tmp_path):
    """With a threshold that rejects every scan, three of them vouched for."""
    bundle = open_bundle(calibrated_bundle)
    calibration = bundle.manifest.calibration
    low = msgspec.structs.replace(calibration, threshold=msgspec.structs.replace(calibration.threshold, value=1e-3))
    strict = dataclasses.replace(bundle, manifest=msgspec.structs.replace(bundle.manifest, calibration=low))
    request = UpdateRequest(recent, tmp_path / "new", accepted=names(recent[:3]))
    with pytest.raises(UsageError, match=rf"rejects 1 of 4 scans .*{recent[3].name} \(.*--accept-defective"):
        update_bundle(strict, request)
    assert list(tmp_path.iterdir()) == []


def test_a_scan_is_accepted_by_a_name_that_it_has_alone():
    scans = [Path("a/1.tiff"), Path("b/1.tiff"), Path("b/2.tiff")]
    assert scan_named("2.tiff", scans) == scan_named("b/2.tiff", scans) == scans[2]
    assert scan_named("a/1.tiff", scans) == scans[0]
    with pytest.raises(UsageError, match="2 scans have this name"):
        scan_named("1.tiff", scans)
    with pytest.raises(UsageError, match="not one of the scans"):
        scan_named("3.tiff", scans)


def test_a_part_of_another_size_is_refused_by_name(calibrated_bundle, recent, tmp_path):
    twice = tmp_path / "twice.tiff"
    tifffile.imwrite(twice, tifffile.imread(recent[0]) * np.float32(2), photometric="rgb")
    with pytest.raises(ScanError, match=r"twice\.tiff: is not a part .*without --update"):
        update_bundle(open_bundle(calibrated_bundle), UpdateRequest((*recent, twice), tmp_path / "new"))


@pytest.mark.slow
def test_the_old_bundles_defective_golden_scan_stays(exported_bundle, synth_data, recent, defective, tmp_path):
    scans = find_scans([synth_data / "gland" / "train" / "good"])
    settings = CalibrationSettings(coreset_ratio=0.02, seed=5)
    before = open_bundle(exported_bundle)
    calibrate_bundle(before, scans, settings, tmp_path / "old", defective=[defective], with_line_graph=False)
    old = open_bundle(tmp_path / "old")
    result = update_bundle(old, UpdateRequest(recent, tmp_path / "new", accepted=names(recent)))
    assert [case.scan for case in result.comparison.golden] == ["normal", "defective"]
    new = open_bundle(tmp_path / "new")
    scan = "golden/defective_scan.tiff"
    assert np.array_equal(tifffile.imread(tmp_path / "new" / scan), tifffile.imread(tmp_path / "old" / scan))
    assert run_selftest(new).passed


def test_nothing_is_replaced_and_a_changed_trail_stops_before_the_work(calibrated_bundle, recent, tmp_path):
    bundle, stages = open_bundle(calibrated_bundle), []
    (tmp_path / "taken").mkdir()
    with pytest.raises(UsageError, match="replaces nothing"):
        update_bundle(bundle, UpdateRequest(recent, tmp_path / "taken"), lambda *stage: stages.append(stage))
    with pytest.raises(UsageError, match="is inside the bundle"):
        update_bundle(bundle, UpdateRequest(recent, calibrated_bundle / "new"), lambda *stage: stages.append(stage))
    with pytest.raises(UsageError, match="at least 3"):
        update_bundle(bundle, UpdateRequest(recent[:2], tmp_path / "new"), lambda *stage: stages.append(stage))
    (tmp_path / "audit.jsonl").write_text("{}\n")
    with pytest.raises(BundleError, match=r"audit\.jsonl: line 1"):
        update_bundle(bundle, UpdateRequest(recent, tmp_path / "new"), lambda *stage: stages.append(stage))
    assert stages == []


def test_a_bundle_that_is_not_calibrated_is_refused(exported_bundle, recent, tmp_path):
    with pytest.raises(BundleError, match="not calibrated"):
        update_bundle(open_bundle(exported_bundle), UpdateRequest(recent, tmp_path / "new"))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("lid", "lid-20261128"),
        ("lid.cmdiad", "lid-20261128.cmdiad"),
        ("lid-20250101-3", "lid-20261128"),
        ("a.b", "a.b-20261128"),
    ],
)
def test_the_dated_name_is_free_and_keeps_its_kind(tmp_path, name, expected):
    day = date(2026, 11, 28)
    assert dated_name(tmp_path / name, day) == tmp_path / expected
    (tmp_path / expected).touch()
    stem, suffix = (expected.removesuffix(".cmdiad"), ".cmdiad" if expected.endswith(".cmdiad") else "")
    assert dated_name(tmp_path / name, day) == tmp_path / f"{stem}-2{suffix}"
