"""The hot folder: which files are accepted, when, in which order, and what happens to them afterwards."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from cmdiad.runtime.service.arrival import FileVersion
from cmdiad.runtime.service.journal import Journal
from cmdiad.runtime.service.sources.hot_folder import FolderSettings, HotFolder

N_OLD = 10_000  # with 100,000 it takes 12 s


@pytest.fixture
def place(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    return folder


def hot(place: Path, journal: Journal, **settings: Any) -> HotFolder:
    chosen = {
        "name": "folder",
        "path": place,
        "rejected": place.with_name("rejected"),
        "suffixes": (".tiff",),
        "settle_seconds": 0.5,
        **settings,
    }
    return HotFolder(FolderSettings(**chosen), journal, lambda: None, lambda error: None)


def put(place: Path, name: str, content: str = "good", age: int = 0) -> Path:
    path = place / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    os.utime(path, ns=(10**18 - age * 10**9,) * 2)
    return path


def names(journal: Journal) -> list[str]:
    return [accepted.arrival.scan for accepted in journal.waiting(10**6)]


def test_a_file_is_accepted_once_it_has_not_changed_for_a_while(place: Path, journal: Journal) -> None:
    folder = hot(place, journal)
    path = put(place, "a.tiff")
    assert folder.look(0.0) == 0
    assert folder.look(0.4) == 0
    path.write_text("goodgood")
    assert folder.look(0.6) == 0
    assert folder.look(1.0) == 0
    assert folder.look(1.2) == 1
    assert folder.look(9.0) == 0
    assert names(journal) == ["a.tiff"]


def test_without_settling_a_renamed_file_is_accepted_at_once(place: Path, journal: Journal) -> None:
    put(place, "a.tiff")
    assert hot(place, journal, settle_seconds=0).look(0.0) == 1


@pytest.mark.parametrize("name", [".a.tiff", "a.tiff.part", "a.tiff~", "a.tmp", "a.png", "notes.txt"])
def test_what_is_half_written_or_no_scan_is_left_alone(place: Path, journal: Journal, name: str) -> None:
    put(place, name)
    assert hot(place, journal, settle_seconds=0).look(0.0) == 0


def test_the_oldest_come_first_and_those_of_one_age_by_their_numbers(place: Path, journal: Journal) -> None:
    for name, age in (("part_10.tiff", 5), ("part_2.tiff", 5), ("late.tiff", 1), ("early.tiff", 9)):
        put(place, name, age=age)
    assert hot(place, journal, settle_seconds=0).look(0.0) == 4
    assert names(journal) == ["early.tiff", "part_2.tiff", "part_10.tiff", "late.tiff"]


def test_folders_below_count_where_that_is_asked(place: Path, journal: Journal) -> None:
    put(place, "day/a.tiff")
    assert hot(place, journal, settle_seconds=0).look(0.0) == 0
    assert hot(place, journal, settle_seconds=0, recursive=True).look(0.0) == 1
    assert names(journal) == ["day/a.tiff"]


def test_a_new_file_of_an_old_name_is_another_part(place: Path, journal: Journal) -> None:
    folder = hot(place, journal, settle_seconds=0)
    put(place, "a.tiff").unlink()
    put(place, "a.tiff")
    assert folder.look(0.0) == 1
    (place / "a.tiff").unlink()
    assert folder.look(1.0) == 0
    put(place, "a.tiff")
    assert folder.look(2.0) == 1
    assert names(journal) == ["a.tiff", "a.tiff"]


def test_after_a_restart_known_files_are_known(place: Path, journal: Journal) -> None:
    put(place, "a.tiff")
    assert hot(place, journal, settle_seconds=0).look(0.0) == 1
    again = hot(place, journal, settle_seconds=0)
    again._known = journal.known_files("folder")
    assert again.look(0.0) == 0


def test_files_that_were_there_first_are_skipped_where_that_is_asked(place: Path, journal: Journal) -> None:
    put(place, "old.tiff")
    folder = hot(place, journal, settle_seconds=0, skips_existing=True)
    folder.start()
    folder.stop()
    put(place, "new.tiff")
    again = hot(place, journal, settle_seconds=0, skips_existing=True)
    again.start()
    again.look(0.0)
    again.stop()
    assert names(journal) == ["new.tiff"]


def test_a_folder_that_is_gone_is_said_and_looked_for_again(place: Path, journal: Journal) -> None:
    folder = hot(place, journal, settle_seconds=0)
    put(place, "a.tiff")
    folder.look(0.0)
    moved = place.rename(place.with_name("elsewhere"))
    assert folder.look(1.0) == 0
    assert folder.problem is not None and "cannot be listed" in folder.problem
    moved.rename(place)
    assert folder.look(2.0) == 0
    assert folder.problem is None
    assert names(journal) == ["a.tiff"]


@pytest.mark.parametrize(
    ("after", "rejected", "left", "done"),
    [
        ("leave", False, True, []),
        ("move", False, False, ["000007_a.tiff"]),
        ("delete", False, False, []),
        ("move", True, False, []),
        ("delete", True, False, []),
        ("leave", True, True, []),
    ],
)
def test_what_happens_to_a_file_that_has_its_result(
    place: Path, journal: Journal, after: str, rejected: bool, left: bool, done: list[str]
) -> None:
    folder = hot(place, journal, settle_seconds=0, after=after)
    path = put(place, "a.tiff")
    folder.look(0.0)
    version = journal.known_files("folder")["a.tiff"]
    folder.finished(version, 7, is_rejected=rejected)
    assert path.exists() is left
    place_of_done = place.with_name("in-done")
    assert [file.name for file in place_of_done.glob("*")] == done
    kept = [file.name for file in place.with_name("rejected").glob("*")]
    assert kept == (["000007_a.tiff"] if rejected and after != "leave" else [])
    assert ("a.tiff" in journal.known_files("folder")) is left


def test_a_rejected_scan_that_is_still_being_written_is_whole_in_the_end(place: Path, journal: Journal) -> None:
    folder = hot(place, journal, settle_seconds=0, after="move")
    with (place / "a.tiff").open("wb", buffering=0) as writer:
        writer.write(b"the first half,")
        folder.look(0.0)
        folder.finished(journal.known_files("folder")["a.tiff"], 7, is_rejected=True)
        writer.write(b" the second")
    assert place.with_name("rejected").joinpath("000007_a.tiff").read_bytes() == b"the first half, the second"


@pytest.mark.parametrize("after", ["move", "delete"])
def test_a_rejected_scan_that_cannot_be_moved_stays_and_is_not_taken_again(
    place: Path, journal: Journal, after: str
) -> None:
    folder = hot(place, journal, settle_seconds=0, after=after)
    path = put(place, "a.tiff")
    place.with_name("rejected").write_bytes(b"a file where the folder should be")
    folder.look(0.0)
    folder.finished(journal.known_files("folder")["a.tiff"], 7, is_rejected=True)
    assert path.exists() and folder.look(9.0) == 0


def test_a_file_that_was_written_anew_meanwhile_stays(place: Path, journal: Journal) -> None:
    folder = hot(place, journal, settle_seconds=0, after="move")
    path = put(place, "a.tiff", "another")
    folder.finished(FileVersion("a.tiff", 4, 1), 7, is_rejected=False)
    assert path.read_text() == "another"


def test_a_folder_of_many_old_files_is_taken_up_and_new_ones_are_noticed(place: Path, journal: Journal) -> None:
    for number in range(N_OLD):
        os.close(os.open(place / f"{number}.tiff", os.O_CREAT | os.O_WRONLY))
    folder = hot(place, journal, settle_seconds=0, skips_existing=True)
    folder._skip_existing()
    put(place, "new.tiff")
    assert folder.look(0.0) == 1
    assert names(journal) == ["new.tiff"]
    assert len(journal.known_files("folder")) == N_OLD + 1


def test_what_lies_in_the_folder_and_is_never_inspected_is_told_once(place: Path, journal: Journal, caplog) -> None:
    for name in ("a.tiff", "a.png", "image.png", "b.tiff.part"):
        put(place, name)
    folder = hot(place, journal)
    folder.start()
    folder.stop()
    told = [record.getMessage() for record in caplog.records if "left out" in record.getMessage()]
    assert told == [f"folder {place}: 1 of 3 files are left out (image.png): a scan ends in .tiff"]
