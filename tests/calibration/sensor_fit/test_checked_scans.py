"""Scans are read and prepared by a description; what cannot be is said, and the others are checked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from cmdiad.calibration.sensor_fit.checked_scans import check_scans
from cmdiad.runtime.sensor.sensor_file import open_sensor

from .tables import table_scan, write_scans

FINE = open_sensor("structured-light", ["sensor.pixel_pitch_m=0.0003"])


def nothing(*_: object) -> None:
    """No progress."""


def test_every_scan_is_told_of_and_a_broken_one_ends_nothing(tmp_path: Path) -> None:
    files = write_scans(tmp_path, 3e-4, 3e-5)
    files[1].write_bytes(b"nothing")
    checked = check_scans([str(tmp_path)], FINE, nothing)
    assert [bool(scan.error) for scan in checked.outcomes] == [False, True, False] and checked.n_failed == 1
    assert checked.decision.startswith("always (2 of 2 scans")
    first, broken, _ = checked.as_json()["scans"]
    assert first["part_pixels"] > 1000 and (first["height"], first["width"]) == (120, 160)
    assert broken["error"] and broken["height"] is None
    assert "not usable because" in checked.table().headers


def test_scans_of_both_kinds_are_warned_of(tmp_path: Path) -> None:
    for number in range(4):
        points, part = table_scan(3e-4, 3e-5, number)
        np.save(tmp_path / f"{number}.npy", points if number % 2 else points * part[..., None])
    checked = check_scans([str(tmp_path)], FINE, nothing)
    assert checked.decision == "not decided: scans are of both kinds"
    assert any("preprocessing.plane=always" in warning for warning in checked.warnings)


def test_nothing_that_can_be_read_decides_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_bytes(b"nothing")
    checked = check_scans([str(tmp_path)], FINE, nothing)
    assert checked.decision == "not decided: no scan could be read" and checked.n_failed == 1
