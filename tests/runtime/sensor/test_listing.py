"""What counts in a folder, and in which order it comes."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from cmdiad.runtime.errors import ScanError
from cmdiad.runtime.sensor.listing import IMAGES, MASKS, SCANS, SkippedFiles, files_in, folders_below, natural_order
from hypothesis import given
from hypothesis import strategies as st


def write(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(b"")


def names(files: list[Path]) -> list[str]:
    return [file.name for file in files]


def test_suffixes_count_in_any_case(tmp_path: Path) -> None:
    write(tmp_path / "xyz", "0.TIFF", "1.tif", "2.Ply", "3.PCD", "4.npy", "5.NPZ")
    write(tmp_path / "rgb", "0.PNG", "1.jpg", "2.JPEG", "3.bmp", "4.TIF", "5.tiff")
    write(tmp_path / "gt", "0.Png", "1.bmp")
    assert names(files_in(tmp_path / "xyz", SCANS)) == ["0.TIFF", "1.tif", "2.Ply", "3.PCD", "4.npy", "5.NPZ"]
    assert names(files_in(tmp_path / "rgb", IMAGES)) == ["0.PNG", "1.jpg", "2.JPEG", "3.bmp", "4.TIF", "5.tiff"]
    assert names(files_in(tmp_path / "gt", MASKS)) == ["0.Png", "1.bmp"]


def test_what_file_managers_leave_neither_counts_nor_stops(tmp_path: Path) -> None:
    for folder, kind, file in (("xyz", SCANS, "000.tiff"), ("rgb", IMAGES, "000.png"), ("gt", MASKS, "000.png")):
        write(tmp_path / folder, file, f"._{file}", ".DS_Store", "Thumbs.db", "desktop.ini")
        assert names(files_in(tmp_path / folder, kind)) == [file]


def test_a_tiff_in_any_other_folder_is_a_scan_and_no_image(tmp_path: Path) -> None:
    write(tmp_path / "line", "a.tiff", "a.png", "notes.txt")
    assert names(files_in(tmp_path / "line", SCANS)) == ["a.tiff"]
    assert names(files_in(tmp_path / "line", IMAGES)) == ["a.png"]


def test_depth_images_and_tables_are_scans_in_a_dataset_s_own_folder_if_no_others_are(tmp_path: Path) -> None:
    write(tmp_path / "a" / "xyz", "0.png", "1.csv", "2.TXT")
    assert names(files_in(tmp_path / "a" / "xyz", SCANS)) == ["0.png", "1.csv", "2.TXT"]
    write(tmp_path / "b" / "xyz", "0.png", "1.ply")
    with pytest.warns(SkippedFiles, match=r"1 of 2 files are left out \(0\.png\)"):
        assert names(files_in(tmp_path / "b" / "xyz", SCANS)) == ["1.ply"]


def test_what_a_dataset_holds_and_nothing_reads_is_counted(tmp_path: Path) -> None:
    write(tmp_path / "xyz", "000.tiff", "001.stl", "002.stl")
    with pytest.warns(SkippedFiles, match=r"xyz: 2 of 3 files are left out \(001.stl, 002.stl\): a scan ends in .tiff"):
        assert names(files_in(tmp_path / "xyz", SCANS)) == ["000.tiff"]


@pytest.mark.parametrize(
    ("folder", "kind", "doubles"),
    [("xyz", SCANS, ("000.ply", "000.tiff")), ("rgb", IMAGES, ("0.jpg", "0.png")), ("gt", MASKS, ("0.bmp", "0.png"))],
)
def test_two_files_of_one_part_are_an_error_that_names_both(
    tmp_path: Path, folder: str, kind: object, doubles: tuple[str, str]
) -> None:
    write(tmp_path / folder, "9.tiff" if folder == "xyz" else "9.png", *doubles)
    with pytest.raises(ScanError, match=f"{folder}/{doubles[0]}: has the same name as {doubles[1]} next to it"):
        files_in(tmp_path / folder, kind)  # type: ignore[arg-type]


def test_the_same_name_may_be_used_twice_outside_a_dataset(tmp_path: Path) -> None:
    write(tmp_path / "line", "a.tiff", "a.ply")
    assert names(files_in(tmp_path / "line", SCANS)) == ["a.ply", "a.tiff"]


def test_the_working_folder_has_its_own_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "rgb", "0.tiff")
    monkeypatch.chdir(tmp_path / "rgb")
    assert names(files_in(Path(), IMAGES)) == ["0.tiff"]


def test_a_linked_folder_keeps_the_name_it_is_linked_as(tmp_path: Path) -> None:
    write(tmp_path / "camera", "0.tif")
    (tmp_path / "rgb").symlink_to(tmp_path / "camera")
    assert names(files_in(tmp_path / "rgb", IMAGES)) == ["0.tif"]


def test_a_link_that_leads_nowhere_counts_so_that_reading_it_says_so(tmp_path: Path) -> None:
    write(tmp_path / "xyz", "000.tiff")
    (tmp_path / "xyz" / "001.tiff").symlink_to(tmp_path / "gone.tiff")
    (tmp_path / "xyz" / "002.tiff").symlink_to(tmp_path / "xyz" / "002.tiff")
    (tmp_path / "xyz" / "003.tiff").mkdir()
    assert names(files_in(tmp_path / "xyz", SCANS)) == ["000.tiff", "001.tiff", "002.tiff"]


def test_no_folder_holds_nothing_and_one_that_cannot_be_read_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert files_in(tmp_path / "xyz", SCANS) == []
    write(tmp_path, "file")
    assert files_in(tmp_path / "file", SCANS) == []
    with pytest.raises(ScanError, match="cannot be searched"):
        files_in(Path("a\0b"), SCANS)

    def refuse(folder: Path) -> None:
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(ScanError, match=r"xyz: cannot be searched: Permission denied"):
        files_in(tmp_path / "xyz", SCANS)


def test_eyecandies_depth_maps_are_the_scans_and_one_image_belongs_to_each(eyecandies_data: Path) -> None:
    folder = eyecandies_data / "Praline" / "train" / "data"
    assert names(files_in(folder, SCANS)) == [f"00{n}_depth.png" for n in range(3)]
    assert names(files_in(folder, IMAGES)) == [f"00{n}_image_4.png" for n in range(3)]


def test_numbers_are_ordered_by_value() -> None:
    ordered = ["part_1", "part_2", "part_10", "part_100", "part_a"]
    shuffled = random.Random(0).sample(ordered, len(ordered))
    assert names(natural_order(map(Path, shuffled))) == ordered
    assert names(natural_order([Path("a/9/1"), Path("a/10/0"), Path("a/9/10")])) == ["1", "10", "0"]


def test_a_number_of_five_thousand_digits_is_ordered_too() -> None:
    long = "9" * 5000
    assert natural_order([Path(f"1{long}"), Path(long)]) == [Path(long), Path(f"1{long}")]


@given(st.lists(st.integers(0, 10**30), unique=True), st.text("abc_-. 0", max_size=4))
def test_the_order_of_numbered_files_is_that_of_their_numbers(numbers: list[int], stem: str) -> None:
    files = [Path(f"x{stem}-{number}.tiff") for number in numbers]
    assert natural_order(files) == [Path(f"x{stem}-{number}.tiff") for number in sorted(numbers)]


@given(st.lists(st.text(st.characters(exclude_characters="/\0"), min_size=1), unique=True), st.randoms())
def test_the_order_does_not_depend_on_how_a_folder_is_listed(members: list[str], shuffler: random.Random) -> None:
    files = [Path(f"_{member}") for member in members]
    shuffled = files.copy()
    shuffler.shuffle(shuffled)
    assert natural_order(shuffled) == natural_order(files)


def test_folders_are_entered_once_whatever_links_lead_in_circles(tmp_path: Path) -> None:
    for name in ("a/b/xyz", "a/.hidden/xyz", "c"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "a" / "b" / "up").symlink_to(tmp_path)
    (tmp_path / "a" / "b" / "side").symlink_to(tmp_path / "c")
    (tmp_path / "c" / "self").symlink_to(tmp_path / "c")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    below = [path.relative_to(tmp_path).as_posix() for path in folders_below(tmp_path, lambda *_: None)]
    assert below == [".", "a", "a/b", "a/b/side", "a/b/xyz"]


def test_a_folder_that_cannot_be_read_stops_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "locked", "z"):
        (tmp_path / name).mkdir()
    scandir = os.scandir

    def refuse(folder: Path) -> object:
        if Path(folder).name == "locked":
            raise PermissionError(13, "Permission denied", str(folder))
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    complaints: list[str] = []
    below = [path.name for path in folders_below(tmp_path, lambda place, error: complaints.append(str(error)))]
    assert below == [tmp_path.name, "a", "locked", "z"]
    assert complaints == [
        f"{tmp_path / 'locked'}: cannot be searched: Permission denied: check its permissions and the disk"
    ]
