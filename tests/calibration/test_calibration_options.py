"""Every option of the paper reaches what it is for, and the manifest says how a bundle was calibrated."""

import msgspec
import numpy as np
import pytest
from cmdiad.calibration import calibrate as calibration
from cmdiad.calibration.calibrate import (
    CalibrationSettings,
    build_normalized_bank,
    calibrate_side,
    combine,
    fixed_statistics,
)
from cmdiad.calibration.coreset import select_coreset, sparse_random_projection
from cmdiad.runtime.bundle.manifest import Statistics
from cmdiad.runtime.bundle.reading import open_bundle
from cmdiad.runtime.errors import UsageError
from scipy.spatial.distance import cdist

KNOWN = {"pc": Statistics(mean=0.25, std=2.0), "rgb": Statistics(mean=-3.0, std=4.0)}


def silent(*_):
    pass


@pytest.fixture(scope="module")
def features():
    """Three scans of 90 patches of 6 values, none of them alike."""
    rng = np.random.default_rng(0)
    return [(rng.normal(2, 3, (90, 6)) * rng.uniform(0.5, 2, (90, 1))).astype(np.float32) for _ in range(3)]


def settings(**changes):
    return CalibrationSettings(**{"coreset_ratio": 60 / (3 * 3136), **changes})


@pytest.mark.parametrize(("metric", "scipy_metric"), [("l2", "euclidean"), ("l1", "cityblock"), ("cosine", "cosine")])
def test_the_metric_is_that_of_bank_coreset_and_score(features, metric, scipy_metric):
    side = calibrate_side(features, None, settings(metric=metric), silent)
    bank = side.bank.bank
    assert bank.metric == metric and len(bank.rows) == 60
    pool = np.concatenate(features)
    normalized = ((pool - pool.mean()) / pool.std()).astype(np.float32)
    chosen = select_coreset(normalized, 60, 0, metric)
    rest = normalized[:90]
    expected = cdist(rest, normalized[chosen[chosen >= 90]], scipy_metric).min(axis=1)
    np.testing.assert_allclose(side.matches[0].distances, expected, rtol=1e-3, atol=1e-5)


def test_the_number_of_neighbors_is_that_of_the_re_weighting(features):
    bank = build_normalized_bank(features, None, settings(n_neighbors=5), silent)
    assert bank.bank.neighbors.shape == (60, 5)
    scores = {k: calibrate_side(features, None, settings(n_neighbors=k), silent).matches[0].score for k in (1, 2, 5)}
    assert scores[1] < scores[2] < scores[5]


def test_eps_sets_the_dimension_of_the_projection():
    many = np.random.default_rng(0).normal(size=(500, 400)).astype(np.float32)
    coarse, fine = (sparse_random_projection(many, 0, eps).shape[1] for eps in (0.9, 0.5))
    assert coarse < fine < 400


def test_eps_reaches_the_coreset(features, monkeypatch):
    distortions = []
    original = calibration.select_coreset
    monkeypatch.setattr(
        calibration,
        "select_coreset",
        lambda *args, **options: distortions.append(options["eps"]) or original(*args, **options),
    )
    build_normalized_bank(features, None, settings(projection_eps=0.4), silent)
    assert distortions == [0.4]


def test_given_statistics_normalize_the_bank(features):
    bank = build_normalized_bank(features, None, settings(), silent, Statistics(mean=1.0, std=7.0))
    assert (bank.feature_mean, bank.feature_std) == (1.0, 7.0)
    np.testing.assert_allclose(bank.normalize(features[0]), (features[0] - 1) / 7, rtol=1e-6)


def test_reference_mixes_the_modalities_as_the_published_code_does(exported_bundle):
    manifest = msgspec.structs.replace(open_bundle(exported_bundle).manifest, training_statistics=KNOWN)
    reference = settings(normalization="reference")
    assert fixed_statistics(manifest, settings()) is None
    for route in ("f2f", "f2i", "i2f"):
        for main in ("pc", "rgb"):
            of_route = msgspec.structs.replace(manifest, route=route, main=main)
            assert fixed_statistics(of_route, reference) == Statistics(mean=0.25, std=4.0)
    for route in ("single", "dual"):
        assert fixed_statistics(msgspec.structs.replace(manifest, route=route), reference) is None
    with pytest.raises(UsageError, match="does not carry"):
        fixed_statistics(msgspec.structs.replace(manifest, training_statistics={}), reference)


def test_a_trained_bundle_carries_the_statistics(exported_bundle):
    statistics = open_bundle(exported_bundle).manifest.training_statistics
    assert statistics.keys() == {"pc", "rgb"} and all(entry.std > 0 for entry in statistics.values())


def test_the_manifest_says_how_it_was_calibrated_and_the_svm_is_as_asked(features):
    asked = settings(
        normalization="reference", projection_eps=0.7, n_neighbors=3, nu=0.3, svm_iterations=200, score="map"
    )
    side = calibrate_side(features, None, asked, silent)
    foreground = np.zeros(3136, bool)
    foreground[:90] = True
    calibrated = combine([foreground] * 3, side, side, "digest", asked)
    record = calibrated.calibration
    assert (record.normalization, record.projection_eps, record.n_neighbors) == ("reference", 0.7, 3)
    assert (record.nu, record.svm_iterations, record.score) == (0.3, 200, "map")
    assert calibrated.decision.score == "map"
    other = combine([foreground] * 3, side, side, "digest", settings(nu=0.9))
    assert calibrated.decision.fusion.map.coefficients != other.decision.fusion.map.coefficients


@pytest.mark.parametrize(
    "wrong",
    [
        {"nu": 0.0},
        {"nu": 1.5},
        {"coreset_ratio": 0.0},
        {"n_neighbors": 0},
        {"svm_iterations": 0},
        {"projection_eps": 1.0},
        {"false_reject_rate": 0.0},
        {"false_reject_rate": 1.0},
        {"seed": -1},
        {"metric": "l3"},
        {"bank_precision": "fp12"},
        {"normalization": "none"},
        {"score": "best"},
        {"neighborhood": 2},
        *(
            {name: value}
            for name in ("false_reject_rate", "coreset_ratio", "projection_eps", "nu", "n_neighbors", "svm_iterations")
            for value in (float("nan"), float("inf"), float("-inf"))
        ),
        {"seed": float("nan")},
    ],
    ids=str,
)
def test_values_out_of_range_are_named(wrong):
    (name,) = wrong
    with pytest.raises(UsageError, match=name):
        CalibrationSettings(**wrong)
