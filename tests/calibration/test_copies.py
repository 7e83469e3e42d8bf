"""The same measurement is recognized in another file, format or grid; another scan of the same part is not."""

import numpy as np
import pytest
from cmdiad.calibration.calibrated_bundle import calibrate_bundle
from cmdiad.calibration.calibration_settings import CalibrationSettings
from cmdiad.calibration.copies import KnownParts
from cmdiad.runtime.bundle.parameters import Preprocessing
from cmdiad.runtime.bundle.reading import open_bundle
from cmdiad.runtime.errors import UsageError
from cmdiad.runtime.preparation.prepared_part import prepare_part
from cmdiad.runtime.sensor.find import find_scans
from cmdiad.runtime.sensor.part import Part
from cmdiad.runtime.sensor.scan import read_scan

PLAIN = Preprocessing(plane="never")


@pytest.fixture(scope="module")
def scans(synth_data):
    return find_scans([synth_data / "gland" / "train" / "good"])


def plate(noise_m=5e-5, seed=0):
    rows, columns = np.mgrid[:60, :60]
    z = 0.4 + np.random.default_rng(seed).normal(0, noise_m, rows.shape)
    return np.stack([columns * 1e-3, rows * 1e-3, z], axis=-1).astype(np.float32)


def prepared(points):
    return prepare_part(Part(points, None), {"pc"}, PLAIN)


def test_rounded_coordinates_are_the_same_measurement_and_new_noise_is_another():
    known = KnownParts()
    known.require_new(prepared(plate()), "first")
    assert known.like(prepared(np.round(plate(), 6))) == "first"
    assert known.like(prepared(plate(seed=1))) is None
    assert known.like(prepared(plate(noise_m=1e-5))) is None


def test_images_are_compared_by_their_pixels():
    pixels = np.full((30, 30, 3), 90, np.uint8)
    pixels[5:20, 5:20] = np.random.default_rng(0).integers(100, 255, (15, 15, 3))
    other = pixels.copy()
    other[7, 7] ^= 1
    known = KnownParts()
    known.require_new(prepare_part(Part(None, pixels), {"rgb"}, PLAIN), "first")
    assert known.like(prepare_part(Part(None, pixels.copy()), {"rgb"}, PLAIN)) == "first"
    assert known.like(prepare_part(Part(None, other), {"rgb"}, PLAIN)) is None


def test_a_scan_that_lies_there_in_another_format_is_refused_by_name(exported_bundle, scans, tmp_path):
    again = tmp_path / "again.npy"
    np.save(again, read_scan(scans[1]).points)
    with pytest.raises(UsageError, match=rf"again\.npy holds the same measurement as .*{scans[1].name}, in another"):
        calibrate_bundle(open_bundle(exported_bundle), [*scans, again], CalibrationSettings(), tmp_path / "out")
    assert not (tmp_path / "out").exists()
