"""Scans far from the origin of their coordinates: the same part on the same side of the plane, where the file says."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from cmdiad.calibration.calibrate import CalibrationSettings
from cmdiad.calibration.calibrated_bundle import calibrate_bundle
from cmdiad.runtime.acceptance.golden import read_case, read_golden
from cmdiad.runtime.acceptance.selftest import run_selftest
from cmdiad.runtime.bundle.parameters import STRUCTURED_LIGHT
from cmdiad.runtime.bundle.reading import open_bundle
from cmdiad.runtime.errors import ScanError
from cmdiad.runtime.inspector import Inspector
from cmdiad.runtime.preparation.prepare import evidence_of
from cmdiad.runtime.preparation.prepared_part import prepare_part
from cmdiad.runtime.sensor.find import find_scans
from cmdiad.runtime.sensor.part import POINTS, Part, part_from_arrays

from .scenes import dome, scan

TOWARDS_ORIGIN = msgspec.structs.replace(STRUCTURED_LIGHT, plane="always", side="origin")


def moved(points: npt.NDArray[np.floating], offset: tuple[float, float, float]) -> Part:
    measured = points.any(axis=-1, keepdims=True)
    return part_from_arrays(np.where(measured, points.astype(np.float64) + offset, 0.0))


@pytest.mark.parametrize("distance", [0.0, 15.0, 20.0, 24.0, 31.0, 33.0, 40.0])
@pytest.mark.parametrize("mirrored", [False, True])
def test_what_stands_towards_a_far_sensor_is_kept_wherever_the_origin_was_moved_to(
    distance: float, mirrored: bool
) -> None:
    height, part = dome()
    points = scan(height)
    points, part = (points[:, ::-1], part[:, ::-1]) if mirrored else (points, part)
    kept = prepare_part(moved(points, (0, 0, distance)), POINTS, TOWARDS_ORIGIN).kept
    np.testing.assert_array_equal(kept, part)


@pytest.mark.parametrize("offset", [(1e5, 0.0, 0.0), (-3e4, 2e4, 0.0), (0.0, 64.0, 0.0)])
def test_an_origin_far_aside_says_nothing_about_the_side(offset: tuple[float, float, float]) -> None:
    part = moved(scan(dome()[0]), offset)
    assert part.points is not None and part.origin != (0, 0, 0)
    assert evidence_of(part.points, STRUCTURED_LIGHT, part.origin).origin_m == 0


def test_a_scan_of_another_frame_is_refused_where_calibration_s_told_the_side() -> None:
    with pytest.raises(ScanError, match="is 100000 m to the side of the supporting plane"):
        prepare_part(moved(scan(dome()[0]), (1e5, 0, 0)), POINTS, TOWARDS_ORIGIN)


def test_coordinates_are_the_file_s() -> None:
    points = scan(dome()[0]).astype(np.float64)
    points[3:7, 5:9] = 0
    far = np.where(points.any(axis=-1, keepdims=True), points + np.array([100.0, -50.0, 0.25]), 0)
    part = part_from_arrays(far)
    assert part.coordinates().dtype == np.float64
    np.testing.assert_allclose(part.coordinates(), far, rtol=0, atol=1e-6)
    near = part_from_arrays(points)
    assert near.points is not None and near.coordinates() is near.points


@pytest.fixture(scope="module")
def far_scans(synth_data: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The normal scans of a class, 25 m from their camera: shifted by 32 m, its origin would lie behind the table."""
    folder = tmp_path_factory.mktemp("far")
    for file in find_scans([synth_data / "gland" / "train" / "good"]):
        points = tifffile.imread(file).astype(np.float64)
        measured = points.any(axis=-1, keepdims=True)
        tifffile.imwrite(folder / file.name, np.where(measured, points + np.array([0, 0, 24.6]), 0), photometric="rgb")
    return find_scans([folder])


def test_a_bundle_of_far_scans_says_where_the_part_is_and_repeats_itself(
    exported_bundle: Path, far_scans: list[Path], synth_data: Path, tmp_path: Path
) -> None:
    settings = CalibrationSettings(coreset_ratio=0.01)
    near_scan = find_scans([synth_data / "gland" / "train" / "good"])[0]
    calibrate_bundle(open_bundle(exported_bundle), far_scans, settings, tmp_path / "far")
    with Inspector.load(tmp_path / "far") as inspector:
        inspections = inspector(far_scans[0]), inspector(near_scan)
    assert inspections[0].score == pytest.approx(inspections[1].score, rel=0.02)
    centers = [np.array(json.loads(msgspec.json.encode(one.as_json()))["part_center_m"]) for one in inspections]
    np.testing.assert_allclose(centers[0], centers[1] + [0, 0, 24.6], atol=1e-5)
    assert run_selftest(open_bundle(tmp_path / "far"), "cpu").passed
    bundle = open_bundle(tmp_path / "far")
    recorded = read_case(bundle, read_golden(bundle).cases[0])
    assert recorded.origin == (0, 0, 32) and dataclasses.is_dataclass(recorded)
