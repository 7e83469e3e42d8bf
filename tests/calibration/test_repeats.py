"""A scan whose patches are in the bank already is found by them, whatever its file looks like."""

import numpy as np
import pytest
import tifffile
from cmdiad.calibration.repeats import refuse_known, share_on_rows
from cmdiad.calibration.updating import UpdateRequest, update_bundle
from cmdiad.runtime.banks.bank import build_bank
from cmdiad.runtime.bundle.reading import open_bundle
from cmdiad.runtime.errors import UsageError
from cmdiad.runtime.sensor.find import find_scans
from cmdiad.runtime.verdict.decision import NormalizedBank, match_bank


@pytest.mark.parametrize("metric", ["l2", "l1", "cosine"])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_rows_are_told_from_neighbors_in_every_metric_and_precision(metric, dtype):
    rng = np.random.default_rng(0)
    features = rng.normal(3, 2, (200, 32)).astype(np.float32)
    near = features[:50] * (1 + 0.01 * rng.normal(size=(50, 32)).astype(np.float32))
    part = np.concatenate([features[100:130], near])
    bank = NormalizedBank(build_bank((features - 3) / 2, metric, dtype=dtype), 3.0, 2.0)
    assert share_on_rows(bank, part, match_bank(bank, part).distances) == pytest.approx(30 / 80)


def test_few_scans_are_named_and_many_are_counted():
    names, shares = ["a", "b", "c", "d", "e", "f"], [0.2, 0.0, 0.03, 0.3, 0.4, 0.024]
    with pytest.raises(UsageError, match=r"4 of 6 scans .*: a \(20% of its patches\), c \(3% .*, d .*, and 1 more:"):
        refuse_known(names, shares, coreset_ratio=0.1)
    refuse_known(["b", "f"], [0.0, 0.024], coreset_ratio=0.1)


def saved_otherwise(scan, folder):
    """The same measurement in a file of other bytes and another name."""
    folder.mkdir(exist_ok=True)
    path = folder / f"again_{scan.name}"
    tifffile.imwrite(path, tifffile.imread(scan), photometric="rgb", compression="zlib", compressionargs={"level": 1})
    assert path.read_bytes() != scan.read_bytes()
    return path


@pytest.mark.slow
def test_an_update_refuses_scans_that_the_bundle_learned_from_unless_they_replace_them(
    calibrated_bundle, synth_data, tmp_path
):
    scans = tuple(find_scans([synth_data / "gland" / "train" / "good"]))
    given = (*scans[:2], saved_otherwise(scans[2], tmp_path / "again"))
    request = UpdateRequest(given, tmp_path / "new")
    with pytest.raises(UsageError, match=r"3 of 3 scans are in the bundle's bank already: .*good.*again_.*--replace"):
        update_bundle(open_bundle(calibrated_bundle), request)
    assert not (tmp_path / "new").exists()
    update_bundle(open_bundle(calibrated_bundle), UpdateRequest(given, tmp_path / "new", replace=True))
