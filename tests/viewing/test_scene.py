"""A scene shows the scan, what was taken as the part, and the heat; what cannot be shown is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from cmdiad.runtime.bundle.parameters import STRUCTURED_LIGHT
from cmdiad.runtime.bundle.reading import open_bundle
from cmdiad.runtime.errors import ScanError
from cmdiad.runtime.sensor.scan import read_scan
from cmdiad.runtime.verdict.cloud import write_cloud
from cmdiad.viewing.scene import Scene, look_at_scan, look_with_bundle


@pytest.fixture(scope="module")
def scan(synth_data: Path) -> Path:
    return synth_data / "gland" / "test" / "dent" / "xyz" / "000.tiff"


@pytest.fixture(scope="module")
def inspected(scan: Path, calibrated_bundle: Path) -> Scene:
    return look_with_bundle(scan, open_bundle(calibrated_bundle))


def test_without_a_bundle_there_is_the_scan_and_its_part(scan: Path) -> None:
    scene = look_at_scan(scan, STRUCTURED_LIGHT)
    assert [panel.title for panel in scene.panels] == ["scan", "taken as the part"]
    part = scene.panels[1].picture
    greener = part[..., 1].astype(int) - part[..., 0] > 20
    assert np.array_equal(greener, scene.valid) and scene.view is not None
    assert scene.view.part_pixels == scene.valid.sum() > 0


def test_a_hole_in_the_measurement_is_no_edge_of_the_part(scan: Path, tmp_path: Path) -> None:
    points = read_scan(scan).points.copy()
    kept = look_at_scan(scan, STRUCTURED_LIGHT).valid
    row, column = (int(np.median(places)) for places in np.nonzero(kept))
    points[row, column] = 0
    np.save(tmp_path / "holed.npy", points)
    pure = np.array((60, 210, 120))
    picture = look_at_scan(tmp_path / "holed.npy", STRUCTURED_LIGHT).panels[1].picture
    around = picture[row - 1 : row + 2, column - 1 : column + 2]
    assert not (around == pure).all(axis=-1).any() and (picture == pure).all(axis=-1).any()


def test_a_calibrated_bundle_adds_its_verdict_and_heat(inspected: Scene) -> None:
    assert inspected.inspection is not None
    assert [panel.title for panel in inspected.panels[:2]] == ["scan", "taken as the part"]
    assert inspected.panels[2].title.startswith(("good: score", "defect: score"))
    assert np.array_equal(inspected.panels[2].picture, inspected.inspection.heatmap())


def test_an_uncalibrated_bundle_shows_the_part_and_says_what_is_missing(scan: Path, exported_bundle: Path) -> None:
    scene = look_with_bundle(scan, open_bundle(exported_bundle))
    assert len(scene.panels) == 2 and "not calibrated" in scene.remarks[0]


def test_a_scan_without_a_part_is_shown_with_the_reason(tmp_path: Path, calibrated_bundle: Path) -> None:
    rows, columns = np.mgrid[:120, :120] * 1e-3
    np.save(tmp_path / "table.npy", np.stack([columns, rows, np.full_like(rows, 0.4)], -1).astype(np.float32))
    for scene in (
        look_at_scan(tmp_path / "table.npy", STRUCTURED_LIGHT.undecided()),
        look_with_bundle(tmp_path / "table.npy", open_bundle(calibrated_bundle)),
    ):
        assert isinstance(scene.error, ScanError) and not scene.valid.any()
        assert [panel.title for panel in scene.panels] == ["scan"]


def test_what_the_line_would_refuse_is_inspected_and_said(scan: Path, calibrated_bundle: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "large.npy", 2 * read_scan(scan).points)
    scene = look_with_bundle(tmp_path / "large.npy", open_bundle(calibrated_bundle))
    assert scene.inspection is not None and scene.remarks[0].startswith("the line would refuse it: ")


def test_a_scene_is_a_cloud_of_all_that_was_measured(inspected: Scene, scan: Path, tmp_path: Path) -> None:
    write_cloud(tmp_path / "view.ply", inspected, everything=True)
    np.testing.assert_array_equal(read_scan(tmp_path / "view.ply").points, read_scan(scan).points)
