"""Golden scans: small whatever the sensor, the same bytes for the same calibration, and read back as written."""

import io

import numpy as np
import pytest
import tifffile
from cmdiad.calibration.calibrated_bundle import golden_scans
from cmdiad.runtime.acceptance import golden as golden_module
from cmdiad.runtime.acceptance.golden import (
    INDEX,
    MAX_ELEMENTS,
    MAX_PIXELS,
    bounded,
    choose_elements,
    golden_files,
    read_case,
    read_golden,
    record_golden,
)
from cmdiad.runtime.bundle.reading import open_bundle
from cmdiad.runtime.bundle.writing import draft_bundle, rewrite_bundle
from cmdiad.runtime.errors import BundleError, EngineError
from cmdiad.runtime.inspector import Inspector
from cmdiad.runtime.sensor.find import find_scans
from cmdiad.runtime.sensor.part import Part, read_part


@pytest.fixture(scope="module")
def bundle(calibrated_bundle):
    return open_bundle(calibrated_bundle)


def test_a_calibrated_bundle_holds_a_normal_scan_and_the_highest_scoring_one(bundle):
    golden = read_golden(bundle)
    assert [case.name for case in golden.cases] == ["normal", "highest"]
    assert golden.provider == "cpu"
    for case in golden.cases:
        names = [tensor.name for tensor in case.tensors]
        assert names[:4] == ["extractor.groups", "extractor.centers", "extractor.tokens", "hallucinator.features"]
        assert names[-1] == "map"
        assert all(bundle.array(tensor.file).size <= MAX_ELEMENTS for tensor in case.tensors)


def test_the_recorded_scan_is_the_sensor_s_own(bundle, synth_data):
    """One of the training scans, bit by bit."""
    recorded = read_case(bundle, read_golden(bundle).cases[0]).points
    scans = find_scans([synth_data / "gland" / "train" / "good"])
    assert any(
        np.array_equal(recorded, read_part(scan, {"pc"}, bundle.manifest.preprocessing).points) for scan in scans
    )
    raw = bundle.read("golden/normal_scan.tiff")
    np.testing.assert_array_equal(tifffile.imread(io.BytesIO(raw)), recorded)
    assert len(raw) < recorded.nbytes


def test_the_golden_scans_are_the_median_and_the_highest_or_a_defective_one(tmp_path):
    scans = [tmp_path / f"{number}.tiff" for number in range(5)]
    scores = np.array([3.0, 9.0, 1.0, 4.0, 2.0])
    assert golden_scans(scans, scores, None) == {"normal": scans[0], "highest": scans[1]}
    assert golden_scans(scans, scores, tmp_path / "d.tiff") == {"normal": scans[0], "defective": tmp_path / "d.tiff"}


def test_large_tensors_keep_the_same_elements_of_every_row_and_column():
    tensor = np.arange(1024 * 768, dtype=np.float32).reshape(1, 1024, 768)
    chosen = choose_elements(tensor)
    assert chosen.size == MAX_ELEMENTS and len(np.unique(chosen)) == MAX_ELEMENTS
    np.testing.assert_array_equal(chosen, choose_elements(tensor.copy()))
    assert len(np.unique(chosen.astype(int) % 768)) == 768 and len(np.unique(chosen.astype(int) // 768)) == 1024
    np.testing.assert_array_equal(choose_elements(tensor[0, :5]), tensor[0, :5].ravel())


@pytest.mark.parametrize("shape", [(600, 800), (1024, 1024), (1025, 1024), (3000, 4000)])
def test_a_large_scan_is_thinned_with_its_image(shape):
    points = np.broadcast_to(np.arange(shape[1], dtype=np.float32)[:, None], (*shape, 3))
    part = bounded(Part(points, np.zeros((*shape, 3), np.uint8)))
    height, width = part.points.shape[:2]
    assert height * width <= MAX_PIXELS and part.rgb.shape == part.points.shape
    if shape[0] * shape[1] <= MAX_PIXELS:
        assert part.points.shape[:2] == shape
    else:
        assert height * width > MAX_PIXELS / 4
    steps = np.diff(part.points[0, :, 0])
    assert len(np.unique(steps)) == 1


def test_recording_again_replaces_what_was_there(bundle, synth_data, tmp_path):
    dent = synth_data / "gland" / "test" / "dent" / "xyz" / "000.tiff"
    files = record_golden(bundle, {"defective": dent})
    manifest = rewrite_bundle(bundle, tmp_path / "b", bundle.manifest, files, dropped=golden_files(bundle.manifest))
    names = set(golden_files(manifest))
    assert INDEX in names and all("defective" in name for name in names - {INDEX})


def test_a_part_of_another_record_is_recorded_as_its_scan_was(bundle):
    recorded = read_golden(bundle).cases[0]
    files = record_golden(bundle, {recorded.name: read_case(bundle, recorded)})
    for name, content in files.items():
        if name != INDEX:
            assert bytes(np.asarray(content).data) == bytes(np.asarray(_content(bundle, name)).data), name


def _content(bundle, name):
    return np.array(bundle.array(name)) if name.endswith(".npy") else bundle.read(name)


def test_a_bundle_that_is_not_written_yet_is_recorded_as_the_written_one(bundle, synth_data):
    scan = synth_data / "gland" / "train" / "good" / "xyz" / "000.tiff"
    contents = {name: bundle.read(name) for name in bundle.manifest.files if not name.startswith("bank_")}
    contents |= {name: np.array(bundle.array(name)) for name in bundle.manifest.bank_files()}
    draft = draft_bundle(bundle.path, bundle.manifest, contents)
    ours, theirs = (record_golden(each, {"normal": scan}) for each in (draft, bundle))
    assert ours.keys() == theirs.keys()
    for name, content in ours.items():
        assert bytes(np.asarray(content).data) == bytes(np.asarray(theirs[name]).data), name


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_value_that_is_not_finite_is_never_recorded(bundle, synth_data, monkeypatch, value):
    scan = synth_data / "gland" / "train" / "good" / "xyz" / "000.tiff"
    tensors = {"extractor.tokens": np.array([1, value, 2], np.float32)}
    inspection = Inspector(bundle)(scan)
    monkeypatch.setattr(golden_module, "replay", lambda *_: (inspection, tensors))
    with pytest.raises(EngineError, match=r"000\.tiff: 1 of 3 values of extractor\.tokens are not finite"):
        record_golden(bundle, {"normal": scan})


def test_a_bundle_without_them_says_how_to_get_them(exported_bundle):
    with pytest.raises(BundleError, match="cmdiad calibrate"):
        read_golden(open_bundle(exported_bundle))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b'{"provider": "cpu"}',
        b'{"provider": "cpu", "cases": []}',
        b'{"provider": "cpu", "cases": [{"name": "a", "scan": null, "image": null, "score": 1e999, "is_defect": true, '
        b'"tensors": []}]}',
        b'{"provider": "cpu", "cases": [], "x": 1}',
    ],
    ids=["empty", "list", "cases_missing", "no_case", "infinite_score", "unknown_key"],
)
def test_a_damaged_record_is_refused(bundle, tmp_path, content):
    rewrite_bundle(bundle, tmp_path / "b", bundle.manifest, {INDEX: content})
    with pytest.raises(BundleError, match=r"golden\.json"):
        read_golden(open_bundle(tmp_path / "b"))


def test_a_golden_scan_that_is_none_is_refused(bundle, tmp_path):
    rewrite_bundle(bundle, tmp_path / "b", bundle.manifest, {"golden/normal_scan.tiff": b"II*\0 nothing"})
    changed = open_bundle(tmp_path / "b")
    with pytest.raises(BundleError, match="golden scan normal"):
        read_case(changed, read_golden(changed).cases[0])
