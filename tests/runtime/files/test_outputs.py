"""Where files of an inspection go: no two scans share one, in one run or in several."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from cmdiad.runtime.files.outputs import output_paths
from hypothesis import given
from hypothesis import strategies as st

NAMES = st.text(
    st.characters(blacklist_characters="/\0", blacklist_categories=("Cs",)), min_size=1, max_size=12
).filter(lambda name: name not in (".", ".."))
PATHS = st.lists(NAMES, min_size=1, max_size=4).map(lambda names: Path("/data").joinpath(*names))


@given(st.lists(PATHS, min_size=2, max_size=6, unique_by=os.path.abspath))
def test_distinct_scans_have_distinct_files(scans: list[Path]) -> None:
    files = [path for scan in scans for path in vars(output_paths(Path("out"), scan)).values()]
    assert len(set(files)) == 3 * len(scans)


def test_names_that_meet_are_kept_apart() -> None:
    names = ["a.tiff", "a.ply", "a.tiff.npy", "a", "b/a.tiff", "c/a.tiff", "a.tiff_map.tiff"]
    maps = {output_paths(Path("out"), Path("/scans") / name).map for name in names}
    assert len(maps) == len(names)


def test_a_scan_has_the_same_files_however_it_is_named_and_whoever_is_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    absolute = output_paths(Path("out"), tmp_path / "dent" / "xyz" / "000.tiff")
    assert output_paths(Path("out"), Path("dent/xyz/000.tiff")) == absolute
    assert output_paths(Path("out"), Path("dent/../dent/xyz/000.tiff")) == absolute
    assert absolute.heatmap.parent.name.startswith("dent-")


def test_equal_relative_names_of_two_working_folders_differ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for place in ("line_a", "line_b"):
        (tmp_path / place).mkdir()
        monkeypatch.chdir(tmp_path / place)
        found.append(output_paths(Path("/results"), Path("000.tiff")).map)
    assert found[0] != found[1]


def test_a_name_that_is_not_utf_8_has_files_too() -> None:
    scan = Path(os.fsdecode(b"/scans/teil_\xfc/000_\xfc.tiff"))
    assert os.fsencode(output_paths(Path("out"), scan).map.name) == b"000_\xfc.tiff_map.tiff"
