"""What is proposed separates parts from tables at any scale, and says what was measured and what was not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from cmdiad.calibration.sensor_fit.fit_files import fit_files, write_fit
from cmdiad.calibration.sensor_fit.fit_pictures import FitGallery, fit_sheet
from cmdiad.calibration.sensor_fit.proposed_sensor import fit_sensor
from cmdiad.runtime.bundle.parameters import KINECT, STRUCTURED_LIGHT
from cmdiad.runtime.errors import ScanError
from cmdiad.runtime.preparation.prepare import prepare, without_plane
from cmdiad.runtime.sensor.sensor_file import described, open_sensor, read_sensor_file
from PIL import Image

from .tables import table_scan, write_scans

KNOWN = open_sensor("structured-light", ["sensor.name=cell 3"])
SCALES = pytest.mark.parametrize(("pitch", "noise"), [(2e-5, 2e-6), (3e-4, 1.5e-4), (2e-3, 2e-3)])


def iou(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / (one | other).sum())


@SCALES
def test_plane_removal_works_with_what_is_proposed(tmp_path: Path, pitch: float, noise: float) -> None:
    proposed = fit_sensor(write_scans(tmp_path, pitch, noise), KNOWN)
    made = proposed.description.preprocessing
    for seed in (10, 11):
        points, part = table_scan(pitch, noise, seed)
        assert iou(without_plane(points, made), part) > 0.98
        assert iou(prepare(points, made).kept, part) > 0.98
    assert made.plane == "always" and made.cluster_distance_m == pytest.approx(10 * pitch, rel=0.1)
    assert proposed.description.identity.pixel_pitch_m == pytest.approx(pitch, rel=0.05)
    assert not proposed.warnings and proposed.description.identity.name == "cell 3"


def test_a_presets_own_sensor_gets_about_the_presets_settings(tmp_path: Path) -> None:
    made = fit_sensor(write_scans(tmp_path, 2e-3, 2e-3), KNOWN).description.preprocessing
    for name in ("ransac_threshold_m", "plane_distance_m", "cluster_distance_m"):
        assert getattr(made, name) == pytest.approx(getattr(KINECT, name), rel=0.1)


def test_what_is_set_holds_whatever_is_measured(tmp_path: Path) -> None:
    told = ["preprocessing.plane_distance_m=0.001", "preprocessing.plane=auto"]
    proposed = fit_sensor(write_scans(tmp_path, 3e-4, 3e-5), KNOWN, told)
    assert proposed.description.preprocessing.plane_distance_m == 0.001
    assert proposed.notes["preprocessing.plane_distance_m"] == "given with --set"


def test_scans_without_their_table_are_said_to_be(tmp_path: Path) -> None:
    files = [tmp_path / f"{seed}.npy" for seed in range(3)]
    for seed, file in enumerate(files):
        points, part = table_scan(3e-4, 3e-5, seed)
        np.save(file, points * part[..., None])
    proposed = fit_sensor(files, KNOWN)
    assert proposed.description.preprocessing.plane == "never"
    assert any("3 of 3 scans show no table" in warning for warning in proposed.warnings)
    assert proposed.description.identity.derived == ("ransac_threshold_m", "plane_distance_m", "cluster_distance_m")
    assert proposed.description.preprocessing.cluster_distance_m < STRUCTURED_LIGHT.cluster_distance_m


def test_a_scan_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    files = write_scans(tmp_path, 3e-4, 3e-5)
    files[1].write_bytes(b"nothing")
    with pytest.raises(ScanError, match=r"001\.npy: "):
        fit_sensor(files, KNOWN)


def test_few_scans_and_an_empty_table_are_warned_of(tmp_path: Path) -> None:
    file = tmp_path / "empty.npy"
    points, part = table_scan(3e-4, 3e-5)
    np.save(file, np.where(part[..., None], 0, points))
    proposed = fit_sensor([file], open_sensor("structured-light"), ["preprocessing.plane=always"])
    assert any("1 scans are few" in warning for warning in proposed.warnings)
    assert any("empty.npy: no measured point" in warning for warning in proposed.warnings)
    assert proposed.outcomes[0].view is None and proposed.as_json()["scans"][0]["error"]


def test_a_fit_is_written_as_a_file_a_picture_and_a_page(tmp_path: Path) -> None:
    gallery = FitGallery()
    proposed = fit_sensor(write_scans(tmp_path, 3e-4, 3e-5), KNOWN, look=gallery.look)
    written = write_fit(proposed, gallery, tmp_path / "cell.toml")
    assert written == fit_files(tmp_path / "cell.toml") and len(gallery.drawn) == 3
    assert described(read_sensor_file(written[0]), "again") == proposed.description
    page = written[2].read_text(encoding="utf-8")
    assert "<script" not in page and 'src="http' not in page and page.count("data:image/png;base64,") == 3
    assert "Sensor cell 3" in page and "pixel_pitch_m = " in page
    with Image.open(written[1]) as sheet:
        assert sheet.mode == "RGB" and sheet.width > 600


def test_pictures_show_table_and_part(tmp_path: Path) -> None:
    gallery = FitGallery()
    fit_sensor(write_scans(tmp_path, 3e-4, 3e-5, 1), KNOWN, look=gallery.look)
    surface, table, part = (panel.astype(int) for panel in gallery.drawn[0].panels)
    corner, middle = (8, 8), (surface.shape[0] // 2, surface.shape[1] // 2)
    assert table[corner][2] > table[corner][0] + 30, "the table is blue"
    assert table[middle][0] > table[middle][2] + 30, "what is above it is yellow"
    assert part[middle][1] > part[middle][0] + 30, "the part is green"
    assert np.ptp(part[corner]) == 0 and np.ptp(surface[middle]) == 0, "the rest is gray"


def test_a_sheet_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no scans"):
        fit_sheet([])
