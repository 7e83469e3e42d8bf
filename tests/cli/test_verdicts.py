"""The table of verdicts: what its last lines say of a whole run."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from cmdiad.cli.verdicts import VerdictTable
from cmdiad.runtime.errors import ScanError
from cmdiad.runtime.stream import Outcome
from cmdiad.runtime.verdict.regions import find_regions


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


def test_the_clouds_are_named_where_some_were_written(capsys):
    table = VerdictTable([Path("a"), Path("b")], quiet=False)
    table.count(outcome("a", is_defect=True, files=True))
    table.count(Outcome(Path("b"), outcome("b", True, False).inspection, cloud=Path("out/b_cloud.ply")))
    table.print_summary(Path("out"))
    assert "heat maps, raw maps and clouds: out" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("boxes", "with_points", "words"),
    [
        ([(10, 20, 4, 8)], True, "8.0 x 4.0 mm at (23.5, 11.5, 500.0) mm"),
        ([(10, 20, 4, 8), (1, 1, 2, 2)], True, ", the highest of 2 regions"),
        ([(10, 20, 4, 8)], False, "32 pixels at row 10, column 20"),
        ([], True, "no region: no pixel of the map is above its threshold of 1.0000"),
    ],
    ids=["one", "two", "image", "none"],
)
def test_a_defect_says_in_a_second_line_where_it_is_and_how_large(capsys, boxes, with_points, words):
    rows, columns = np.mgrid[:40, :60] * 1e-3
    points = np.stack([columns, rows, np.full_like(rows, 0.5)], axis=-1).astype(np.float32)
    map_hw = np.zeros((40, 60), np.float32)
    for number, (row, column, height, width) in enumerate(boxes):
        map_hw[row : row + height, column : column + width] = 3 - number
    regions = find_regions(map_hw, np.ones((40, 60), bool), 1.0, points if with_points else None)
    numbers = {"score": 3.0, "threshold": 2.0, "pixel_threshold": 1.0, "seconds": {"read": 0.1}}
    inspection = SimpleNamespace(
        is_defect=True, regions=regions, regions_found=len(regions), notes=("lost",), **numbers
    )
    VerdictTable([Path("a")], quiet=False).print_row(Outcome(Path("a"), inspection))
    printed = capsys.readouterr()
    row, where = printed.out.splitlines()
    assert printed.err == "warning: a: lost\n"
    assert "DEFECT" in row and words in where and len(where) < 100


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("line/part.ply", "line/part.ply"),
        (
            "/a/very/long/way/to/the/folder/of/all/scans/of/the/line/in/may/part_17.ply",
            ".../the/folder/of/all/scans/of/the/line/in/may/part_17.ply",
        ),
        (f"scans/{'x' * 70}.ply", f".../{'x' * 70}.ply"),
        (f"{'x' * 70}.ply", f"{'x' * 70}.ply"),
    ],
    ids=["short", "long", "long name", "long name alone"],
)
def test_a_long_path_is_shown_by_its_end_and_a_file_s_name_is_whole(capsys, name, shown):
    VerdictTable([Path(name)], quiet=False).print_row(Outcome(Path(name), error=ScanError("gone")))
    assert capsys.readouterr().out.split()[0] == shown
