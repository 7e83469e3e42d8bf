"""What falsifies the figures of a class is said, one sentence for each kind; real masks and labels trip nothing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pytest
from cmdiad.calibration.calibration_settings import CalibrationSettings
from cmdiad.calibration.copies import KnownParts
from cmdiad.calibration.evaluation.contenders import Candidate
from cmdiad.calibration.evaluation.doubts import PartDoubts, class_doubts, threshold_doubts
from cmdiad.calibration.evaluation.evaluate import evaluate_dataset, has_masks, left_out
from cmdiad.calibration.evaluation.report_tables import as_json
from cmdiad.calibration.threshold import threshold_from_good
from cmdiad.runtime.bundle.reading import open_bundle
from cmdiad.runtime.errors import UsageError
from cmdiad.runtime.preparation.frame import Frame, prepare_mask
from cmdiad.runtime.sensor.dataset import Sample, find_samples
from PIL import Image

SIDE = 400
WHOLE = Frame.of(SIDE, SIDE, 100, 224)


@pytest.fixture
def data(synth_data: Path, tmp_path: Path) -> Path:
    """A copy of the dataset, to be spoiled."""
    return Path(shutil.copytree(synth_data, tmp_path / "data"))


def doubts_of(folder: Path) -> list[str]:
    samples = find_samples(folder, "test")
    return class_doubts(samples, find_samples(folder, "validation"))


def copied(folder: Path, source: str, target: str) -> None:
    """The scan and image of one part again, as another part."""
    for kind, suffix in (("xyz", "tiff"), ("rgb", "png")):
        split, name = source.rsplit("/", 1)
        new_split, new_name = target.rsplit("/", 1)
        place = folder / new_split / kind / f"{new_name}.{suffix}"
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / split / kind / f"{name}.{suffix}", place)


def square(top: int, left: int, side: int) -> npt.NDArray[np.bool_]:
    area = np.zeros((SIDE, SIDE), np.bool_)
    area[top : top + side, left : left + side] = True
    return area


def of_masks(*masks: npt.NDArray[np.bool_]) -> list[str]:
    """The doubts about masks of parts that are 200 pixels wide, in the middle of the scan."""
    tested, prepared = PartDoubts(KnownParts()), SimpleNamespace(kept=square(100, 100, 200))
    for number, mask in enumerate(masks):
        sample = Sample(Path(f"{number:03}.tiff"), None, None, "dent")
        unchecked: Any = prepared
        tested.add_mask(sample, unchecked, prepare_mask(mask, WHOLE), WHOLE)
    return tested.doubts(len(masks))


def test_a_mask_that_is_inverted_is_named() -> None:
    right = square(150, 150, 30)
    (sentence,) = of_masks(right, ~right)
    assert sentence.startswith("1 of 2 masks mark most of the part or of the scan: test/dent/001 (98% of the part): ")
    assert "inverted" in sentence


def test_an_inverted_mask_of_a_large_defect_is_known_by_the_background_that_it_marks() -> None:
    assert "most of the part or of the scan" in of_masks(~square(100, 100, 120))[0]


def test_a_mask_on_the_empty_table_is_named() -> None:
    (sentence,) = of_masks(square(150, 150, 30), square(5, 5, 40))
    assert sentence.startswith("1 of 2 masks mark next to nothing on the part or beside it: test/dent/001: ")


@pytest.mark.parametrize(
    ("top", "left", "side"),
    [
        pytest.param(100, 100, 170, id="more than half of the part is worn"),
        pytest.param(60, 300, 90, id="a missing piece beside the part"),
        pytest.param(310, 150, 200, id="a missing piece as large as the part, some pixels away"),
        pytest.param(280, 280, 60, id="a defect that reaches beyond the part"),
        pytest.param(200, 200, 3, id="a small defect"),
    ],
)
def test_masks_of_real_defects_trip_nothing(top: int, left: int, side: int) -> None:
    assert of_masks(square(top, left, side)) == []


def test_a_good_part_whose_mask_marks_something_is_named(data: Path) -> None:
    folder = data / "gland" / "test" / "good" / "gt"
    folder.mkdir(exist_ok=True)
    Image.fromarray(np.zeros((200, 200), np.uint8)).save(folder / "000.png")
    assert doubts_of(data / "gland") == []
    Image.fromarray(255 * square(0, 0, 20)[:200, :200].astype(np.uint8)).save(folder / "001.png")
    (sentence,) = doubts_of(data / "gland")
    assert sentence.startswith("1 of 2 masks of good test parts are not empty: test/good/001 (1.00% of the pixels): ")
    (folder / "001.png").write_bytes(b"no image")
    assert "test/good/001 (it cannot be read)" in doubts_of(data / "gland")[0]


def test_validation_scans_that_are_tested_too_are_named(data: Path) -> None:
    copied(data / "gland", "validation/good/000", "test/good/001")
    (sentence,) = doubts_of(data / "gland")
    assert sentence.startswith("1 of 1 validation scans are test scans too: validation/good/000 (test/good/001): ")


def test_a_folder_that_looks_good_and_counts_as_a_defect_is_named(data: Path) -> None:
    copied(data / "gland", "test/good/001", "test/OK/000")
    (sentence,) = doubts_of(data / "gland")
    assert sentence.startswith("test/OK counts as a defect: only test/good holds normal parts: ")
    with pytest.raises(UsageError, match="test/OK counts as a defect"):
        has_masks(find_samples(data / "gland", "test"))


def test_a_class_whose_normal_parts_have_the_wrong_folder_is_not_left_out_without_a_word(data: Path) -> None:
    assert left_out(data) == []
    copied(data, "gland/train/good/000", "cookie/train/ok/000")
    assert left_out(data) == ["cookie is left out: its normal parts lie in train/ok, not good"]


def calibrated(*scores: float) -> Any:
    threshold = threshold_from_good(scores, 0.01)
    return SimpleNamespace(scores=np.array(scores), calibration=SimpleNamespace(threshold=threshold))


def test_an_outlier_and_a_threshold_far_out_are_said_once_for_each_route(exported_bundle: Path) -> None:
    manifest = open_bundle(exported_bundle).manifest
    single = msgspec.structs.replace(manifest, route="single")
    names = [f"train/good/{number:03}" for number in range(6)]
    outcomes = calibrated(1.0, 1.001, 0.999, 1.002, 1.003, 3.0), calibrated(1.0, 1.01, 1.02, 1.03, 1.04, 1.05)
    far = calibrated(2.0, 2.001, 1.999, 2.002, 2.003, 6.0)
    told = threshold_doubts([(manifest, names, outcomes[0]), (manifest, names, far), (single, names, outcomes[1])])
    assert len(told) == 2 and all(sentence.startswith("F2F") for sentence in told)
    assert "1 of 6 normal scans scores far above the others" in told[0] and "train/good/005 (3, " in told[0]
    assert "times the highest score of the 6 good scans" in told[1] and "--defective" not in told[1]


def test_evaluation_says_what_the_files_of_a_class_tell_and_which_class_is_left_out(
    route_bundle: Any, data: Path
) -> None:
    copied(data / "gland", "validation/good/000", "test/good/001")
    copied(data, "gland/train/good/000", "cookie/train/Good/000")
    settings = CalibrationSettings(false_reject_rate=0.2, coreset_ratio=0.01)
    candidate = Candidate("single", open_bundle(route_bundle("single", "pc")), settings)
    with pytest.warns(UserWarning):
        evaluation = evaluate_dataset(data, [], [candidate], "cpu", lambda *_: None)
    left, shared = evaluation.warnings
    assert left.startswith("cookie is left out") and shared.startswith("gland: 1 of 1 validation scans are test scans")


def test_evaluation_says_what_calibration_says_of_the_same_scans(route_bundle: Any, data: Path) -> None:
    candidate = Candidate(
        "single",
        open_bundle(route_bundle("single", "pc")),
        CalibrationSettings(false_reject_rate=1e-4, coreset_ratio=0.01),
    )
    with pytest.warns(UserWarning, match="times the highest score"):
        evaluation = evaluate_dataset(data, [], [candidate], "cpu", lambda *_: None)
    (sentence,) = evaluation.warnings
    assert sentence.startswith("gland: Single bank, PC: the threshold is ")
    (entry,) = json.loads(as_json(evaluation))["thresholds"]
    assert entry["method"] == "extrapolated" and 0 <= entry["rate_low"] <= entry["rate_high"] <= 1


def test_a_test_scan_that_is_there_twice_is_named_and_a_contradiction_of_labels_too(
    route_bundle: Any, data: Path
) -> None:
    folder = data / "gland"
    copied(folder, "test/good/000", "test/good/002")
    copied(folder, "test/dent/000", "test/good/003")
    settings = CalibrationSettings(false_reject_rate=0.2, coreset_ratio=0.01)
    image, points = (Candidate(main, open_bundle(route_bundle("single", main)), settings) for main in ("rgb", "pc"))
    mask = next((folder / "test" / "crack" / "gt").iterdir())
    Image.fromarray(255 - np.asarray(Image.open(mask))).save(mask)
    with pytest.warns(UserWarning) as told:
        evaluation = evaluate_dataset(data, [], [image, points], "cpu", lambda *_: None)
    warnings = json.loads(as_json(evaluation))["warnings"]
    assert {str(warning.message) for warning in told} >= set(warnings)
    inverted = [warning for warning in warnings if "masks mark most" in warning]
    assert len(inverted) == 1 and inverted[0].startswith("gland: 1 of 5 masks ") and "test/crack/000 (" in inverted[0]
    twice = [warning for warning in warnings if "same measurement" in warning]
    assert [warning.split(": ", 3)[:3] for warning in twice] == [
        ["gland", "1 of 9 test scans are the same measurement as another test scan", "test/good/002 (test/good/000)"],
        [
            "gland",
            "1 of 9 test scans are the same measurement as another test scan that is labeled otherwise",
            "test/good/003 (test/dent/000)",
        ],
    ]
