"""Products that are really calibrated: the bundle is that of `cmdiad calibrate`, wherever it was made."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from cmdiad.calibration.calibrated_bundle import calibrate_bundle
from cmdiad.calibration.calibration_settings import CalibrationSettings
from cmdiad.fleet.fleet_run import FleetRequest, run_fleet
from cmdiad.runtime.bundle.reading import open_bundle
from cmdiad.runtime.sensor.find import find_scans

from .conftest import SCANS, WriteFile

QUICK = "coreset_ratio = 0.02"


def bundle_of(file: Path, name: str) -> bytes:
    return (file.parent / "fleet" / "products" / name / "calibrate" / f"{name}.cmdiad").read_bytes()


@pytest.mark.slow
def test_a_product_is_calibrated_as_the_command_does_it_scored_and_compared_with_its_last_bundle(
    write_products: WriteFile, exported_bundle: Path, synth_data: Path, tmp_path: Path
) -> None:
    file = write_products("a", defaults=f'{QUICK}\ndata = "{synth_data / "gland"}"')
    (first,) = run_fleet(FleetRequest(file, ["evaluate"], workers=1))[0].products
    assert first.error is None and first.done == ["calibrate", "evaluate"]
    assert first.calibrated is not None and first.calibrated.drift is None
    scans = find_scans([tmp_path / "scans" / "a"])
    own = tmp_path / "own.cmdiad"
    calibrate_bundle(open_bundle(exported_bundle), scans, CalibrationSettings(coreset_ratio=0.02), own, product="a")
    assert bundle_of(file, "a") == own.read_bytes()
    assert first.evaluated is not None and first.evaluated.n_good == 2 and first.evaluated.row.class_name == "a"
    assert first.evaluated.warnings == []

    shutil.copy(sorted((synth_data / SCANS).iterdir())[3], scans[0])
    (second,) = run_fleet(FleetRequest(file, ["evaluate"], workers=1))[0].products
    assert second.error is None and second.done == ["calibrate", "evaluate"] and second.calibrated is not None
    drift = second.calibrated.drift
    assert drift is not None and drift.digest_before == first.calibrated.digest and not drift.not_compared
    assert drift.threshold_before == first.calibrated.threshold and drift.largest is not None


@pytest.mark.slow
def test_on_ray_bundles_are_the_same_bytes(write_products: WriteFile, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    file = write_products("a", "b", "gone", defaults=QUICK)
    for scan in (tmp_path / "scans" / "gone").iterdir():
        scan.unlink()
    beside, _ = run_fleet(FleetRequest(file, ["calibrate"], workers=2))
    names = ("a", "b")
    on_ray = {name: bundle_of(file, name) for name in names}
    file.write_text('[fleet]\nout = "alone"\n' + file.read_text())
    alone, out = run_fleet(FleetRequest(file, ["calibrate"], workers=1))
    assert [outcome.product for outcome in beside.failed] == ["gone"] == [outcome.product for outcome in alone.failed]
    assert beside.runner.startswith("Ray") and alone.runner.startswith("this process")
    bundles = {name: (out / "products" / name / "calibrate" / f"{name}.cmdiad").read_bytes() for name in names}
    assert bundles == on_ray
