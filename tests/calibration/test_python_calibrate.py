"""`cmdiad.calibrate` is the command of that name: the same bundle from files and from arrays of the same numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cmdiad
import numpy as np
import pytest
import tifffile
from cmdiad import CalibrationSettings, PartInMemory, UsageError, part_from_arrays
from cmdiad.calibration.calibrated_bundle import Completed
from cmdiad.calibration.python_calibrate import normal_parts
from cmdiad.runtime.acceptance.golden import golden_files
from cmdiad.runtime.bundle.reading import open_bundle
from cmdiad.runtime.sensor.part import BOTH, IMAGE, POINTS

CLOUD = np.linspace(0.1, 0.9, 60, dtype=np.float32).reshape(4, 5, 3)
SETTINGS = CalibrationSettings(coreset_ratio=0.02, seed=5)


@pytest.fixture(scope="module")
def arrays(synth_data: Path) -> list[np.ndarray[Any, Any]]:
    return [tifffile.imread(scan) for scan in sorted((synth_data / "gland" / "train" / "good" / "xyz").iterdir())]


@pytest.fixture(scope="module")
def from_arrays(
    arrays: list[np.ndarray[Any, Any]], exported_bundle: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Completed, Path]:
    out = tmp_path_factory.mktemp("calibrated") / "lid.cmdiad"
    parts = [*arrays[:-1], PartInMemory("the last", arrays[-1])]
    return cmdiad.calibrate(parts, exported_bundle, out, SETTINGS, product="lid"), out


def test_arrays_calibrate_as_files_of_the_same_numbers_do(
    from_arrays: tuple[Completed, Path], calibrated_bundle: Path
) -> None:
    completed, out = from_arrays
    of_arrays, of_files = open_bundle(out), open_bundle(calibrated_bundle)
    for name in of_files.manifest.files:
        if name.endswith(".npy") or name == "fusion.json" or name in golden_files(of_files.manifest):
            assert of_arrays.read(name) == of_files.read(name), name
    learned, known = of_arrays.manifest.calibration, of_files.manifest.calibration
    assert learned is not None and known is not None
    assert learned.threshold == known.threshold and learned.part == known.part
    assert learned.data_digest != known.data_digest
    assert of_arrays.manifest.product == completed.manifest.product == "lid"


def test_the_highest_scores_are_named(from_arrays: tuple[Completed, Path]) -> None:
    names = {str(scan) for scan, _ in from_arrays[0].highest(5)}
    assert names == {"array 1", "array 2", "array 3", "array 4", "the last"}


def test_a_calibrated_bundle_is_replaced_only_by_force(
    from_arrays: tuple[Completed, Path], arrays: list[np.ndarray[Any, Any]]
) -> None:
    with pytest.raises(UsageError, match=r"is calibrated for product 'lid' .*`force=True`"):
        cmdiad.calibrate(arrays, from_arrays[1])


def test_copies_and_too_few_are_refused(arrays: list[np.ndarray[Any, Any]], exported_bundle: Path) -> None:
    with pytest.raises(UsageError, match="array 2 is the same scan as array 1"):
        cmdiad.calibrate([arrays[0], arrays[0].copy(), arrays[1]], exported_bundle)
    with pytest.raises(UsageError, match="at least 3 normal scans, got 2"):
        cmdiad.calibrate(arrays[:2], exported_bundle)


def test_files_come_first_and_arrays_are_called_by_their_place(tmp_path: Path) -> None:
    for name in ("10.npy", "9.npy"):
        np.save(tmp_path / name, CLOUD)
    parts = normal_parts([CLOUD, str(tmp_path), part_from_arrays(CLOUD)], POINTS)
    assert [str(part) for part in parts] == [str(tmp_path / "9.npy"), str(tmp_path / "10.npy"), "array 1", "array 3"]
    assert [str(part) for part in normal_parts(tmp_path / "9.npy", POINTS)] == [str(tmp_path / "9.npy")]


def test_an_array_is_an_image_where_the_route_sees_no_points() -> None:
    (part,) = normal_parts([np.zeros((4, 5, 3), np.uint8)], IMAGE)
    assert isinstance(part, PartInMemory) and part.points is None and part.rgb is not None
    (part,) = normal_parts([CLOUD], BOTH)
    assert isinstance(part, PartInMemory) and part.rgb is None


@pytest.mark.parametrize(
    ("scans", "says"),
    [
        (CLOUD, "array 1 has 2 dimensions"),
        ([[1.0, 2.0]], "array 1 is a list"),
        ([PartInMemory("a", CLOUD), PartInMemory("a", CLOUD)], "2 parts in memory are called 'a'"),
    ],
)
def test_what_is_no_set_of_parts_is_refused(scans: Any, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        normal_parts(scans, POINTS)


def test_nothing_at_all_is_refused_as_by_the_command() -> None:
    with pytest.raises(cmdiad.ScanError, match="no scan was named"):
        normal_parts([], POINTS)


def test_without_the_extra_it_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "sklearn" else object())
    with pytest.raises(UsageError, match=r"cmdiad calibrate needs the extra `calibrate`: pip install"):
        cmdiad.calibrate([CLOUD])


def test_the_examples_in_its_docstrings_are_right() -> None:
    import doctest

    from cmdiad.calibration import python_calibrate

    assert doctest.testmod(python_calibrate).failed == 0
