"""Points are grouped by one call wherever features are made, and its pooling matrix is one matrix in both forms."""

import numpy as np
import pytest
from cmdiad.calibration.calibrate import extract_features
from cmdiad.calibration.survey import Survey
from cmdiad.runtime.bundle.parameters import Grouping
from cmdiad.runtime.bundle.reading import open_bundle
from cmdiad.runtime.engines.session import OnnxSession
from cmdiad.runtime.errors import ScanError
from cmdiad.runtime.line_graph import LINE, LineGraph
from cmdiad.runtime.patches import grouped as grouped_module
from cmdiad.runtime.patches.features import FeatureExtractor, FeaturePath
from cmdiad.runtime.patches.grouped import group_on_cpu, group_part
from cmdiad.runtime.patches.pooling import foreground_patches
from cmdiad.runtime.patches.routes import modalities
from cmdiad.runtime.preparation.frame import Frame
from cmdiad.runtime.preparation.prepare import PreparedScan
from cmdiad.runtime.preparation.prepared_part import prepare_file
from cmdiad.runtime.timing import StageTimes
from cmdiad.runtime.verdict.decision import Decision
from hypothesis import given, settings
from hypothesis import strategies as st

GROUPING = Grouping(n_groups=12, group_size=8)


def scan_of(seed):
    """A wavy disk somewhere in the map."""
    rng = np.random.default_rng(seed)
    rows, columns = np.indices((224, 224))
    valid = np.hypot(rows - rng.uniform(60, 160), columns - rng.uniform(60, 160)) < rng.uniform(5, 40)
    points = np.stack([columns * 1e-3, rows * 1e-3, 0.5 + 0.01 * np.sin(rows / 9)], axis=2).astype(np.float32)
    points[~valid] = 0
    return PreparedScan(points, valid, valid, Frame(224, 224, 224, 224))


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 2**32 - 1))
def test_pooled_features_are_the_rows_of_the_dense_product(seed):
    scan = scan_of(seed)
    grouped = group_part(scan, GROUPING)
    tokens = np.random.default_rng(seed).normal(size=(12, 5)).astype(np.float32)
    foreground = foreground_patches(scan.valid)
    dense = grouped.dense_pooling(np.arange(3136))
    assert dense.shape == (3136, 12) and dense.dtype == np.float32
    np.testing.assert_allclose(grouped.pool(tokens, foreground), (dense @ tokens)[foreground], atol=1e-5)
    np.testing.assert_array_equal(dense.any(axis=1), foreground)


def test_centers_are_told_by_their_place_among_the_valid_points():
    scan = scan_of(1)
    grouped = group_part(scan, GROUPING)
    np.testing.assert_array_equal(scan.points[scan.valid][grouped.center_idx], grouped.centers)


def test_too_few_points_are_a_scan_error():
    scan = scan_of(1)
    with pytest.raises(ScanError, match=r"a group needs 100000"):
        group_part(scan, Grouping(n_groups=2, group_size=100000))


class CountingGrouper:
    """Groups as ever and remembers the points that it was given."""

    def __init__(self):
        self.seen = []

    def __call__(self, points_n3, pixels, grouping):
        assert (np.diff(pixels) > 0).all() and len(pixels) == len(points_n3)
        self.seen.append(points_n3)
        return group_on_cpu(points_n3, pixels, grouping)


@pytest.fixture(scope="module")
def prepared(calibrated_bundle, synth_data):
    manifest = open_bundle(calibrated_bundle).manifest
    scan = synth_data / "gland" / "test" / "crack" / "xyz" / "000.tiff"
    return prepare_file(scan, modalities(manifest), manifest.preprocessing)


def test_networks_and_line_graph_group_by_what_they_are_given(calibrated_bundle, prepared):
    bundle, grouper = open_bundle(calibrated_bundle), CountingGrouper()
    manifest = bundle.manifest
    sessions = {role: OnnxSession(bundle.read(network.file)) for role, network in manifest.networks.items()}
    FeaturePath(manifest.route, manifest.main, manifest.grouping, sessions, grouper).extract(prepared, StageTimes())
    LineGraph.on_host(manifest, OnnxSession(bundle.read(LINE)), Decision.load(bundle), grouper).run(
        prepared, StageTimes()
    )
    assert len(grouper.seen) == 2
    np.testing.assert_array_equal(grouper.seen[0], grouper.seen[1])


def test_what_was_grouped_ahead_is_not_grouped_again(calibrated_bundle, prepared):
    bundle, grouper = open_bundle(calibrated_bundle), CountingGrouper()
    manifest = bundle.manifest
    sessions = {role: OnnxSession(bundle.read(network.file)) for role, network in manifest.networks.items()}
    path = FeaturePath(manifest.route, manifest.main, manifest.grouping, sessions, grouper)
    ahead = path.group(prepared, StageTimes())
    one = path.extract(ahead, StageTimes())
    line = LineGraph.on_host(manifest, OnnxSession(bundle.read(LINE)), Decision.load(bundle), grouper)
    assert line.ready(ahead, StageTimes()).grouped is ahead.grouped
    assert len(grouper.seen) == 1
    np.testing.assert_array_equal(one.main, path.extract(prepared, StageTimes()).main)


def test_calibration_and_training_group_by_the_same_call(calibrated_bundle, synth_data, monkeypatch):
    from cmdiad.runtime.sensor.dataset import find_samples
    from cmdiad.training.extractors.by_name import open_extractor
    from cmdiad.training.features.paired_features import Wanted, paired_features

    called = []

    def counted(points_n3, *others):
        called.append(len(points_n3))
        return grouping_of_points(points_n3, *others)

    grouping_of_points = grouped_module.group_points
    monkeypatch.setattr(grouped_module, "group_points", counted)
    bundle = open_bundle(calibrated_bundle)
    samples = find_samples(synth_data / "gland", "train")[:3]
    scans = [sample.scan for sample in samples]
    extract_features(bundle.manifest, FeatureExtractor(bundle), scans, Survey(scans), lambda *_: None)
    assert len(called) == 3
    extractors = open_extractor("embedded", "pc"), open_extractor("embedded", "rgb")
    paired_features(Wanted(samples[0]), *extractors, bundle.manifest.preprocessing)
    assert called[3] == called[0]
