"""Which files a folder, a pattern and a name stand for."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from cmdiad.runtime.errors import ScanError
from cmdiad.runtime.sensor.find import SCAN_SUFFIXES, find_scans

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
        "line/notes.txt",
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
        ("a file, whatever its suffix", ["line/notes.txt"], ["line/notes.txt"]),
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
    assert {".tiff", ".tif", ".ply", ".pcd", ".npy", ".npz"} == set(SCAN_SUFFIXES)


def test_a_named_file_that_is_missing_stays_in_the_list(tmp_path: Path) -> None:
    (tmp_path / "here.npy").write_bytes(b"")
    named = [tmp_path / "here.npy", tmp_path / "missing.tiff"]
    assert find_scans(named) == named
