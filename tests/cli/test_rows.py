"""Rows of the terminal: names from outside stay on their line and move no cursor."""

from __future__ import annotations

import pytest
from cmdiad.cli import console
from cmdiad.cli.watch import _row
from cmdiad.runtime.service.arrival import PartRecord

NAME = "a\nb\x1b[2Jc.tiff"


def test_a_table_keeps_every_row_on_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    console.print_table(["scan", "verdict"], [[NAME, "good"]])
    assert capsys.readouterr().out.splitlines()[2:] == ["a b\\x1b[2Jc.tiff  good"]


def test_a_result_keeps_its_line() -> None:
    record = PartRecord(
        number=7,
        source="folder",
        scan=NAME,
        part_id=None,
        product="part",
        bundle="d" * 64,
        accepted_at=1.0,
        finished_at=2.0,
        verdict="good",
        score=0.5,
        threshold=1.0,
        result={},
    )
    assert _row(record) == "      7     0.5000  good           a b\\x1b[2Jc.tiff"
