"""The table of verdicts: what its last lines say of a whole run."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from cmdiad.cli.verdicts import VerdictTable
from cmdiad.runtime.stream import Outcome


def outcome(name: str, is_defect: bool, files: bool) -> Outcome:
    inspection = SimpleNamespace(is_defect=is_defect, seconds={"read": 0.1})
    heatmap, raw = (Path(f"out/{name}{ending}") if files else None for ending in ("_heatmap.png", "_map.tiff"))
    return Outcome(Path(name), inspection, heatmap, raw)


@pytest.mark.parametrize("last_is_written", [True, False])
def test_the_folder_of_the_files_is_named_whichever_parts_have_some(capsys, last_is_written):
    table = VerdictTable([Path("a"), Path("b")], quiet=False)
    table.count(outcome("a", is_defect=True, files=True))
    table.count(outcome("b", is_defect=False, files=last_is_written))
    table.print_summary(Path("out"))
    assert "heat maps and raw maps: out" in capsys.readouterr().out


def test_no_folder_is_named_where_nothing_was_written(capsys):
    table = VerdictTable([Path("a")], quiet=False)
    table.count(outcome("a", is_defect=False, files=False))
    table.print_summary(Path("out"))
    answer = capsys.readouterr().out
    assert "1 inspected" in answer and "heat maps" not in answer and "written" not in answer
