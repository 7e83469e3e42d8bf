"""What is kept of each release: all of it, in git, small, and made as the script makes it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from cmdiad.runtime.bundle.reading import open_bundle
from cmdiad.runtime.inspector import Inspector
from cmdiad.scripts.keep_released_bundle import dome, write_scans
from cmdiad.scripts.release import KEPT, PLAIN, REGION, ROOT, not_kept, released_versions

MOST_BYTES = 1_500_000


def test_what_format_1_exported_is_calibrated_and_inspects(tmp_path: Path) -> None:
    from cmdiad.calibration.calibrated_bundle import calibrate_bundle
    from cmdiad.calibration.calibration_settings import CalibrationSettings
    from cmdiad.runtime.sensor.find import find_scans

    write_scans(tmp_path / "scans")
    exported = open_bundle(KEPT / "format-1" / "exported.cmdiad")
    assert exported.manifest.format_version == 1
    settings = CalibrationSettings(coreset_ratio=0.01, false_reject_rate=0.1)
    calibrate_bundle(exported, find_scans([tmp_path / "scans"]), settings, tmp_path / "b.cmdiad", with_line_graph=False)
    with Inspector.load(tmp_path / "b.cmdiad") as inspector:
        assert inspector.inspect(dome(1000, with_burr=True)).is_defect
        assert not inspector.inspect(dome(1000)).is_defect


def test_a_bundle_of_every_released_version_is_kept() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert not_kept(changelog) == []


def test_a_release_without_a_kept_bundle_is_noticed_and_what_is_unreleased_is_not(tmp_path: Path) -> None:
    changelog = "# Changelog\n\n## Unreleased\n\n## 0.2.0 - 2027-01-01\n\n## [0.1.0] - 2026-12-01\n"
    assert released_versions(changelog) == ["0.2.0", "0.1.0"]
    assert not_kept("## Unreleased\n\n### Added\n", tmp_path) == []
    kept = tmp_path / "0.1.0"
    kept.mkdir()
    for name in (PLAIN, REGION):
        for ending in (".cmdiad", ".json", "_map.tiff"):
            (kept / f"{name}{ending}").touch()
    assert not_kept(changelog, tmp_path) == ["0.2.0", "0.1.0"]
    (kept / "scan.tiff").touch()
    assert not_kept(changelog, tmp_path) == ["0.2.0"]


def test_what_is_kept_is_in_git_and_small() -> None:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", KEPT]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    files = {ROOT / name for name in listed.stdout.splitlines()}
    if not files:
        pytest.skip("no git checkout")
    assert set(KEPT.glob("*/*.cmdiad")) <= files
    assert sum(file.stat().st_size for file in files) < MOST_BYTES
