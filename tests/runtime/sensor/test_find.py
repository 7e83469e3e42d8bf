"""Which files a folder, a pattern and a name stand for."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import pytest
from cmdiad.runtime.errors import ScanError
from cmdiad.runtime.sensor.find import find_files, find_scans
from cmdiad.runtime.sensor.listing import IMAGES, SCANS, SkippedFiles
from cmdiad.runtime.sensor.readers import DOUBTFUL_SUFFIXES, SUFFIXES

POINTS = np.random.default_rng(0).normal(size=(5, 6, 3)).astype(np.float32)


def save(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as stream:
        np.save(stream, POINTS)
    return path


def names(found: list[Path], root: Path) -> list[str]:
    return [path.relative_to(root).as_posix() for path in found]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in (
        "line/b.tiff",
        "line/a.PLY",
        "line/.hidden.tiff",
        "line/b_notes.txt",
        "line/xyz/ignored.tiff",
        "good/xyz/002.tiff",
        "good/xyz/001.npz",
        "good/rgb/001.tiff",
        "test/hole/xyz/2.pcd",
        "test/good/xyz/1.npy",
        "test/good/gt/1.tiff",
        "empty/readme.md",
    ):
        save(tmp_path / name)
    return tmp_path


@pytest.mark.parametrize(
    ("case", "asked", "expected"),
    [
        ("a file, whatever its suffix", ["line/b_notes.txt"], ["line/b_notes.txt"]),
        ("a folder's own scans", ["line"], ["line/a.PLY", "line/b.tiff"]),
        ("a folder with xyz", ["good"], ["good/xyz/001.npz", "good/xyz/002.tiff"]),
        ("folders below", ["test"], ["test/good/xyz/1.npy", "test/hole/xyz/2.pcd"]),
        ("a pattern of files", ["line/*.tiff"], ["line/b.tiff"]),
        ("a pattern of folders", ["test/*/xyz"], ["test/good/xyz/1.npy", "test/hole/xyz/2.pcd"]),
        ("a recursive pattern", ["**/00?.*"], ["good/rgb/001.tiff", "good/xyz/001.npz", "good/xyz/002.tiff"]),
        ("a class of characters", ["line/[ab].*"], ["line/a.PLY", "line/b.tiff"]),
        ("twice the same", ["line/b.tiff", "line/*.tiff", "line/../line"], ["line/a.PLY", "line/b.tiff"]),
        ("sorted over all", ["test/hole", "good/xyz/00[1]*"], ["good/xyz/001.npz", "test/hole/xyz/2.pcd"]),
    ],
)
def test_files_folders_and_patterns(tree: Path, case: str, asked: list[str], expected: list[str]) -> None:
    found = find_scans([str(tree / path) for path in asked])
    assert names([Path(os.path.normpath(path)) for path in found], tree) == expected
    assert found == sorted(found)


def test_a_file_may_be_called_like_a_pattern(tmp_path: Path) -> None:
    odd = save(tmp_path / "part[1].npy")
    save(tmp_path / "part1.npy")
    assert find_scans([odd]) == [odd]


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ("line/*.npy", "no file matches"),
        ("empty", r"no scan \(.tiff, .*xyz/"),
        ("test/*/rgb", "no file matches"),
    ],
)
def test_what_stands_for_nothing_is_named(tree: Path, asked: str, says: str) -> None:
    with pytest.raises(ScanError, match=says) as caught:
        find_scans([tree / "line", str(tree / asked)])
    assert str(tree / asked) in str(caught.value)


def test_a_name_that_no_system_has_is_refused() -> None:
    with pytest.raises(ScanError):
        find_scans(["a\0b"])


def test_no_path_at_all_is_refused() -> None:
    with pytest.raises(ScanError, match="no scan was named"):
        find_scans([])


def test_suffixes_are_lower_case_with_dots() -> None:
    assert all(re.fullmatch(r"\.[a-z0-9]+", suffix) for suffix in (*SUFFIXES, *DOUBTFUL_SUFFIXES))
    assert not set(SUFFIXES) & set(DOUBTFUL_SUFFIXES)


def test_depth_images_and_tables_are_scans_where_no_others_are(tmp_path: Path) -> None:
    for name in ("depth/1.png", "depth/2.png", "table/1.csv", "mixed/1.png", "mixed/1.ply", "set/readme.txt"):
        save(tmp_path / name)
    save(tmp_path / "set" / "xyz" / "1.npy")
    save(tmp_path / "set" / "rgb" / "1.png")
    assert names(find_scans([tmp_path / "depth"]), tmp_path) == ["depth/1.png", "depth/2.png"]
    assert names(find_scans([tmp_path / "table"]), tmp_path) == ["table/1.csv"]
    assert names(find_scans([tmp_path / "mixed"]), tmp_path) == ["mixed/1.ply"]  # whose registered image 1.png is
    assert names(find_scans([tmp_path / "set"]), tmp_path) == ["set/xyz/1.npy"]
    with pytest.raises(ScanError, match="there is no scan"):
        find_scans([tmp_path / "set" / "rgb"])


def test_a_named_file_that_is_missing_stays_in_the_list(tmp_path: Path) -> None:
    (tmp_path / "here.npy").write_bytes(b"")
    named = [tmp_path / "here.npy", tmp_path / "missing.tiff"]
    assert find_scans(named) == named


def test_numbers_in_names_are_ordered_by_value(tmp_path: Path) -> None:
    for number in (10, 2, 1):
        save(tmp_path / f"part_{number}.npy")
    assert names(find_scans([tmp_path]), tmp_path) == ["part_1.npy", "part_2.npy", "part_10.npy"]
    assert names(find_scans([str(tmp_path / "part_*")]), tmp_path) == ["part_1.npy", "part_2.npy", "part_10.npy"]


def test_what_stands_for_nothing_stops_no_other(tree: Path) -> None:
    asked = ["line/*.npy", "a\0b", "empty", "line/b.tiff", "line/missing.tiff"]
    found = find_files([str(tree / path) for path in asked], SCANS)
    assert names(found.files, tree) == ["line/b.tiff", "line/missing.tiff"]
    assert [str(problem.path.relative_to(tree)) for problem in found.problems] == asked[:3]
    # A message stays one line that can be printed.
    told = [str(problem.path).replace("\0", "\\x00") for problem in found.problems]
    assert all(str(problem.error).startswith(path) for problem, path in zip(found.problems, told, strict=True))
    with pytest.raises(ScanError, match="no file matches"):
        found.require()


def test_one_folder_below_that_cannot_be_listed_is_said_and_the_others_are_found(tree: Path) -> None:
    save(tree / "test/hole/xyz/2.ply")
    found = find_files([tree / "test"], SCANS)
    assert names(found.files, tree) == ["test/good/xyz/1.npy"]
    assert ["2.pcd: has the same name as 2.ply" in str(problem.error) for problem in found.problems] == [True]
    assert len(find_files([str(tree / "test/*/xyz")], SCANS).problems) == 1


def test_an_unreadable_folder_is_said_whether_a_folder_or_a_pattern_leads_to_it(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scandir = os.scandir

    def refuse(folder: str | Path = ".") -> object:
        if Path(folder).name == "hole":
            raise PermissionError(13, "Permission denied", str(folder))
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    for asked in (tree / "test", str(tree / "test" / "**" / "xyz")):
        found = find_files([asked], SCANS)
        assert "test/good/xyz/1.npy" in names(found.files, tree)
        assert [str(problem.error) for problem in found.problems] == [
            f"{tree / 'test' / 'hole'}: cannot be searched: Permission denied: check its permissions and the disk"
        ]


def test_links_that_lead_in_circles_end(tree: Path) -> None:
    for name in ("up", "again", "more"):
        (tree / "test" / name).symlink_to(tree)
    for asked in (tree / "test", str(tree / "**" / "*.pcd"), str(tree / "test" / "**")):
        found = find_files([asked], SCANS)
        assert "test/hole/xyz/2.pcd" in [
            Path(os.path.realpath(file)).relative_to(os.path.realpath(tree)).as_posix() for file in found.files
        ]
        assert len({os.path.realpath(file) for file in found.files}) == len(found.files)


def test_a_linked_folder_is_searched(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "part").symlink_to(tree / "good")
    assert names(find_scans([elsewhere]), elsewhere) == ["part/xyz/001.npz", "part/xyz/002.tiff"]


def test_a_name_that_is_not_utf_8_is_found(tmp_path: Path) -> None:
    try:
        odd = save(tmp_path / os.fsdecode(b"teil_\xfc.npy"))
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    assert find_scans([tmp_path]) == find_scans([str(tmp_path / "teil_*")]) == [odd]


def test_images_are_found_by_the_same_rule(tmp_path: Path) -> None:
    for name in ("good/rgb/10.JPG", "good/rgb/9.tif", "good/xyz/9.tiff", "line/a.bmp", "line/a.tiff"):
        save(tmp_path / name)
    assert names(find_files([tmp_path / "good"], IMAGES).require(), tmp_path) == ["good/rgb/9.tif", "good/rgb/10.JPG"]
    assert names(find_files([tmp_path / "line"], IMAGES).require(), tmp_path) == ["line/a.bmp"]


def test_eyecandies_is_found_below_a_folder(eyecandies_data: Path) -> None:
    assert len(find_scans([eyecandies_data])) == 9
    assert len(find_files([eyecandies_data], IMAGES).require()) == 9


def test_files_among_scans_that_are_none_and_belong_to_none_are_told(tmp_path: Path) -> None:
    for name in ("1.ply", "2.ply", "image.png", "notes.md", "1_more", "10.png", "photo.jpg"):
        save(tmp_path / name)
    told = r"5 of 7 files are left out \(10\.png, image\.png, more, \.\.\.\): a scan ends in .*; name it to use it"
    (tmp_path / "1_more").rename(tmp_path / "more")
    with pytest.warns(SkippedFiles, match=told):
        assert names(find_scans([tmp_path]), tmp_path) == ["1.ply", "2.ply"]


def test_files_that_belong_to_a_scan_are_not_told(tmp_path: Path) -> None:
    belonging = ("1.png", "1_mask.png", "1.ply.json", "1-info.yaml", ".hidden", "Thumbs.db", "part_0001_heatmap.png")
    for name in ("1.ply", *belonging):
        save(tmp_path / name)
    assert names(find_scans([tmp_path]), tmp_path) == ["1.ply"]
    assert names(find_scans([str(tmp_path / "*.ply")]), tmp_path) == ["1.ply"]


def test_a_pattern_of_files_leaves_nothing_out(tmp_path: Path) -> None:
    for name in ("1.ply", "image.png"):
        save(tmp_path / name)
    assert names(find_scans([str(tmp_path / "*.ply")]), tmp_path) == ["1.ply"]


def test_all_paths_that_stand_for_nothing_are_named_at_once(tree: Path) -> None:
    with pytest.raises(ScanError, match=r"2 of 4 scans cannot be used: .*no\*.*; .*none\*.*matches this pattern"):
        find_scans([tree / "line", str(tree / "no*"), str(tree / "none*")])
