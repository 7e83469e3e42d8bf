"""`cmdiad fleet`: a product that fails has its line, its code and its place in the JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cmdiad.cli import workstation
from cmdiad.cli.entry import outcome


def test_a_failed_product_is_said_and_the_report_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "products.toml"
    file.write_text('[defaults]\nbundle = "nets"\nscans = "scans/{name}"\n[[product]]\nname = "lid"\n')
    code = outcome(workstation.app, "cmdiad", ["fleet", str(file), "--calibrate", "--workers", "1", "--json"])
    printed = capsys.readouterr()
    report = json.loads(printed.out)
    assert code == 2 and report["products"][0]["error"]["kind"] == "usage"
    assert printed.err.startswith("error: lid: ") and len(printed.err.splitlines()) == 1
    assert json.loads((tmp_path / "fleet" / "fleet.json").read_text()) == report
    assert "FAILED" in (tmp_path / "fleet" / "fleet.html").read_text()


def test_without_a_step_nothing_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "products.toml"
    file.write_text('[defaults]\nbundle = "nets"\nscans = "s"\n[[product]]\nname = "lid"\n')
    assert outcome(workstation.app, "cmdiad", ["fleet", str(file)]) == 2
    assert "say what to do: --export, --calibrate" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [file]
