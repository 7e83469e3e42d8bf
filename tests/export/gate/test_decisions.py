"""Verdicts in two precisions are compared on what the labels and masks of the dataset say."""

import shutil

import numpy as np
import pytest
from cmdiad.calibration.parity import Tolerance
from cmdiad.export.gate import decisions
from cmdiad.export.gate.decisions import check_verdicts, judged_of_data
from cmdiad.runtime.bundle.reading import open_bundle
from cmdiad.runtime.errors import ScanError
from PIL import Image


def test_a_defect_whose_mask_marks_nothing_is_refused_before_the_work(
    exported_bundle, synth_data, tmp_path, monkeypatch
):
    shutil.copytree(synth_data, tmp_path / "data")
    mask = tmp_path / "data" / "gland" / "test" / "crack" / "gt" / "000.png"
    Image.fromarray(np.zeros((200, 200), np.uint8)).save(mask)
    bundle = open_bundle(exported_bundle)
    networks = {role: bundle.read(network.file) for role, network in bundle.manifest.networks.items()}
    judged = judged_of_data(tmp_path / "data", [], bundle.manifest)
    monkeypatch.setattr(decisions, "calibrate", None)
    with pytest.raises(ScanError, match=r"crack/gt/000\.png: marks nothing"):
        check_verdicts(
            bundle.manifest, networks, {"fp16": networks}, judged, Tolerance(atol=1e-3, rtol=1e-3, score=0.1)
        )
