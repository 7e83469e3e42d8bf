"""A calibrated bundle's figures on labeled parts come with what falsifies them."""

import shutil

import pytest
from cmdiad.calibration.evaluation.bundle_scoring import score_bundle
from cmdiad.runtime.bundle.reading import open_bundle


@pytest.mark.slow
def test_what_falsifies_the_figures_is_told_beside_them(calibrated_bundle, synth_data, tmp_path):
    bundle, folder = open_bundle(calibrated_bundle), tmp_path / "gland"
    shutil.copytree(synth_data / "gland", folder)
    outcome, doubts = score_bundle(bundle, folder, "cpu", lambda *_: None)
    assert doubts == [] and outcome.row.n_test == 7
    shutil.copy(folder / "test" / "dent" / "xyz" / "000.tiff", folder / "test" / "good" / "xyz" / "001.tiff")
    (folder / "test" / "good" / "rgb" / "001.png").unlink()
    _, (doubt,) = score_bundle(bundle, folder, "cpu", lambda *_: None)
    assert doubt.startswith("1 of 7 test scans are the same measurement as another test scan that is labeled otherwise")
    assert "test/good/001" in doubt and "test/dent/000" in doubt
