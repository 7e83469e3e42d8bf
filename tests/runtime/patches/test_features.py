"""The feature path: pooling of tokens, the image's grid, and what each route asks for."""

import numpy as np
import pytest
from cmdiad.runtime.bundle.reading import open_bundle
from cmdiad.runtime.errors import ScanError
from cmdiad.runtime.inspector import Inspector
from cmdiad.runtime.patches.features import FeatureExtractor, image_features, token_of_patch
from cmdiad.runtime.patches.routes import modalities
from cmdiad.runtime.preparation.prepared_part import prepare_file, prepare_part
from cmdiad.runtime.sensor.part import Part, registered_image
from cmdiad.runtime.timing import StageTimes


@pytest.fixture(scope="module")
def scan(synth_data):
    return synth_data / "gland" / "test" / "crack" / "xyz" / "000.tiff"


def test_each_image_token_covers_two_by_two_patches():
    grid = token_of_patch(784).reshape(56, 56)
    np.testing.assert_array_equal(grid, np.kron(np.arange(784).reshape(28, 28), np.ones((2, 2), int)))


def test_image_features_are_the_foreground_patches_tokens():
    tokens = np.random.default_rng(0).normal(size=(1, 784, 4)).astype(np.float32)
    foreground = np.zeros(3136, bool)
    foreground[[0, 1, 57, 3135]] = True
    image = np.zeros((100, 100, 3), np.uint8)
    features = image_features(image, foreground, lambda _: tokens, StageTimes())
    np.testing.assert_array_equal(features, tokens[0][[0, 0, 0, 783]])


def test_points_and_torch_give_the_same_features_as_the_exported_path(exported_bundle, scan):
    """Training's features, from torch, equal calibration's and inspection's, from ONNX."""
    from cmdiad.runtime.sensor.dataset import Sample
    from cmdiad.training.extractors.by_name import open_extractor
    from cmdiad.training.features.paired_features import Wanted, paired_features

    bundle = open_bundle(exported_bundle)
    prepared = prepare_file(scan, modalities(bundle.manifest), bundle.manifest.preprocessing)
    features = FeatureExtractor(bundle).extract(prepared, StageTimes())
    sample = Sample(scan, registered_image(scan), None, "crack")
    extractors = open_extractor("embedded", "pc"), open_extractor("embedded", "rgb")
    pc = paired_features(Wanted(sample), *extractors, bundle.manifest.preprocessing).pc
    assert features.foreground.sum() == len(features.main) == len(features.second)
    np.testing.assert_allclose(features.main, pc, atol=1e-4 * np.abs(pc).max())


def test_a_missing_sensor_is_said_plainly(exported_bundle):
    manifest = open_bundle(exported_bundle).manifest
    with pytest.raises(ScanError, match="3D scans"):
        prepare_part(Part(None, np.zeros((4, 4, 3), np.uint8)), modalities(manifest), manifest.preprocessing)


def test_the_same_scan_gives_the_same_inspection_whatever_came_before(calibrated_bundle, scan, synth_data):
    inspector = Inspector.load(calibrated_bundle)
    first = inspector(scan)
    inspector(synth_data / "gland" / "test" / "good" / "xyz" / "001.tiff")
    again = inspector(scan)
    assert first.score == again.score
    np.testing.assert_array_equal(first.map, again.map)


def test_an_inspection_is_complete(calibrated_bundle, scan):
    inspection = Inspector.load(calibrated_bundle)(scan)
    shape = inspection.points.shape[:2]
    assert inspection.map.shape == inspection.valid.shape == shape
    assert inspection.map.dtype == np.float32 and np.isfinite(inspection.map).all() and inspection.map.min() >= 0
    assert 0 < inspection.valid.mean() < 0.6
    assert inspection.is_defect == (inspection.score > inspection.threshold)
    assert all(seconds >= 0 for seconds in inspection.seconds.values())


def test_threads_do_not_change_the_score_beyond_rounding(calibrated_bundle, scan):
    scores = [Inspector.load(calibrated_bundle, threads=n)(scan).score for n in (1, 2)]
    assert scores[0] == pytest.approx(scores[1], rel=1e-4)
