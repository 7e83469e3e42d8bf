"""A bundle's intermediate arrays: what is in them, and that they are what inspection compares with the banks."""

from dataclasses import replace

import msgspec
import numpy as np
import pytest
import tifffile
from cmdiad.runtime.bundle.parameters import Preprocessing
from cmdiad.runtime.bundle.reading import open_bundle
from cmdiad.runtime.errors import ScanError, UsageError
from cmdiad.runtime.patches.intermediates import bundle_source, feature_arrays, settled_source, write_features
from cmdiad.runtime.preparation.part_range import range_of
from cmdiad.runtime.timing import StageTimes

from ..preparation.scenes import dome, scan, without_table


@pytest.fixture(scope="module")
def source(exported_bundle):
    return bundle_source(open_bundle(exported_bundle))


@pytest.fixture(scope="module")
def scans(synth_data):
    return sorted((synth_data / "gland" / "train" / "good" / "xyz").glob("*.tiff"))


def test_arrays_are_those_of_the_inspection_with_the_background_filled_in(source, scans):
    part = source.prepare(scans[0])
    arrays, features = feature_arrays(source, part), source.path.extract(part, StageTimes())
    n_groups = source.path.grouping.n_groups
    assert set(arrays) == {"center_idx", "tokens", "patch", "hallucination"}
    assert arrays["tokens"].shape[0] == arrays["center_idx"].shape[0] == n_groups
    assert len(arrays["patch"]) == len(arrays["hallucination"]) == 3136
    seen = features.foreground
    np.testing.assert_array_equal(arrays["patch"][seen], features.main)
    np.testing.assert_allclose(arrays["hallucination"][seen], features.second, atol=1e-5)
    assert not arrays["patch"][~seen].any()
    of_zeros = source.path.without_points(arrays["patch"].shape[1])[1]
    np.testing.assert_allclose(arrays["hallucination"][~seen], np.repeat(of_zeros, (~seen).sum(), axis=0), atol=1e-5)


def test_centers_are_the_farthest_of_the_valid_points(source, scans):
    part = source.prepare(scans[0])
    center_idx = feature_arrays(source, part)["center_idx"]
    points = part.scan.points[part.scan.valid].astype(np.float64)
    assert center_idx[0] == 0 and len(set(center_idx)) == len(center_idx)
    reach = [np.linalg.norm(points - points[center_idx[:k]][:, None], axis=2).min(0).max() for k in (8, 32, 128)]
    apart = [
        np.linalg.norm(points[center_idx[k]] - points[center_idx[:k]], axis=1).min() for k in (8, 32, 128)
    ]  # fmt: skip
    np.testing.assert_allclose(apart, reach, rtol=1e-5)


def test_one_scan_makes_a_file_and_several_a_folder(source, scans, tmp_path):
    assert write_features(source, scans[:1], tmp_path / "F.npz", lambda *_: None) == [tmp_path / "F.npz"]
    written = write_features(source, scans[:2], tmp_path / "all", lambda *_: None)
    assert [file.name for file in written] == ["000.npz", "001.npz"]
    with np.load(written[0], allow_pickle=False) as one, np.load(tmp_path / "F.npz", allow_pickle=False) as other:
        assert all(np.array_equal(one[name], other[name]) for name in one)
    with pytest.raises(UsageError, match="give a folder"):
        write_features(source, scans[:2], tmp_path / "F.npz", lambda *_: None)
    with pytest.raises(UsageError, match="same name"):
        write_features(source, [scans[0], tmp_path / "000.tiff"], tmp_path / "all", lambda *_: None)


def test_a_scan_that_cannot_be_used_is_named(source, tmp_path):
    with pytest.raises(ScanError, match=r"nowhere\.tiff"):
        write_features(source, [tmp_path / "nowhere.tiff"], tmp_path / "F.npz", lambda *_: None)
    assert not (tmp_path / "F.npz").exists()


def write_scans(folder, *points):
    folder.mkdir()
    for number, each in enumerate(points):
        tifffile.imwrite(folder / f"{number:03}.tiff", each, photometric="rgb")
    return sorted(folder.iterdir())


def test_of_several_things_in_view_a_calibrated_bundle_takes_what_calibration_saw(calibrated_bundle, tmp_path):
    small, place = dome(at=(-0.02, -0.02), size=0.6)
    large, _ = dome(at=(0.015, 0.015))
    alone, both = write_scans(tmp_path / "scans", scan(small), scan(np.maximum(small, large)))
    bundle = open_bundle(calibrated_bundle)
    raw = msgspec.structs.replace(bundle.manifest, preprocessing=Preprocessing(plane="always", side="origin"))
    exported = bundle_source(replace(bundle, manifest=msgspec.structs.replace(raw, calibration=None)))
    seen = msgspec.structs.replace(raw.calibration, part=range_of([exported.prepare(alone).view]))
    calibrated = bundle_source(replace(bundle, manifest=msgspec.structs.replace(raw, calibration=seen)))
    assert not (exported.prepare(both).kept & place).any()
    assert (calibrated.prepare(both).kept & place).sum() > 0.9 * place.sum()


def test_raw_or_preprocessed_is_decided_once_from_all_scans(source, tmp_path):
    heights, part = dome()
    raw = scan(heights)
    scans = write_scans(tmp_path / "scans", *(scan(heights, seed) for seed in range(4)), without_table(raw, part))
    unsettled = replace(source, preprocessing=Preprocessing())
    settled, warnings = settled_source(unsettled, scans)
    assert (settled.preprocessing.plane, settled.preprocessing.side) == ("always", "origin")
    (warning,) = warnings
    assert "004.tiff" in warning and "unlike the others" in warning
    with pytest.raises(UsageError, match="of one kind"):
        settled_source(unsettled, scans[-3:])


def test_what_is_settled_is_not_decided_again(source, tmp_path):
    known = replace(source, preprocessing=Preprocessing(plane="never"))
    assert settled_source(known, [tmp_path / "absent.tiff"]) == (known, ())
