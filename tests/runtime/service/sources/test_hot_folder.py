"""The hot folder: which files are accepted, when, in which order, and what happens to them afterwards."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cmdiad.runtime.errors import OutputError, UsageError
from cmdiad.runtime.files.ownership import CAN_TELL
from cmdiad.runtime.service.arrival import FileVersion
from cmdiad.runtime.service.journal import Journal
from cmdiad.runtime.service.journal_lock import Held
from cmdiad.runtime.service.sources import folder_hold
from cmdiad.runtime.service.sources.folder_hold import FolderHold
from cmdiad.runtime.service.sources.hot_folder import FolderSettings, HotFolder
from cmdiad.runtime.service.sources.left_alone import FOLDER

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
    return HotFolder(FolderSettings(**chosen), journal, lambda: None, lambda error: None, FolderHold(place))


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
    folder.hold.release()
    put(place, "new.tiff")
    again = hot(place, journal, settle_seconds=0, skips_existing=True)
    again.start()
    again.look(0.0)
    again.stop()
    again.hold.release()
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


def left_alone(folder: HotFolder) -> tuple[int, list[str]]:
    said = folder.as_json()["left_alone"]
    return said["count"], said["names"]


def test_what_is_not_a_scan_is_said_once_and_counted(
    place: Path, journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    put(place, "part.stp")
    put(place, "day/a.tiff")
    (place / "b.tiff").mkdir()
    folder = hot(place, journal, settle_seconds=0)
    for now in (0.0, 1.0, 3.0, 4.0):
        folder.look(now)
    assert [record.getMessage() for record in caplog.records] == [
        f"folder 'folder': {name} is left alone: {why}"
        for name, why in (("b.tiff", FOLDER), ("day", FOLDER), ("part.stp", "names of scans end in .tiff"))
    ]
    assert left_alone(folder) == (3, ["b.tiff", "day", "part.stp"])
    assert folder.notices() == ["folder 'folder': left alone, not inspected: b.tiff, day, part.stp: the log says why"]
    (place / "part.stp").unlink()
    folder.look(9.0)
    assert left_alone(folder) == (2, ["b.tiff", "day"])


@pytest.mark.parametrize(
    "names",
    [
        (".a.txt", "a.tiff.part", "b.stp~", "Thumbs.db", "desktop.ini", "lost+found/x", ".cmdiad-line.lock"),
        ("a.tiff", "a.png", "a.json", "a.tiff.md5"),
    ],
)
def test_nothing_is_said_of_what_copying_tools_make_and_of_what_goes_with_a_scan(
    place: Path, journal: Journal, names: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    for name in names:
        put(place, name)
    folder = hot(place, journal, settle_seconds=0)
    folder.look(0.0)
    folder.look(9.0)
    assert caplog.text == "" and left_alone(folder) == (0, []) and folder.notices() == []


@pytest.mark.parametrize("after", ["move", "delete"])
@pytest.mark.parametrize("is_rejected", [False, True])
def test_nothing_is_said_of_what_went_with_a_scan_that_was_taken_even_after_a_restart(
    place: Path, journal: Journal, after: str, is_rejected: bool, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("day.1/a.tiff", "day.1/a.png", "day.1/a.tiff.md5", "day.1/README", "b.png"):
        put(place, name)
    folder = hot(place, journal, settle_seconds=0, after=after, recursive=True)
    assert folder.look(0.0) == 1
    folder.finished(journal.known_files("folder")["day.1/a.tiff"], 1, is_rejected)
    put(place, "day.1/a.json")
    for name in (
        "day.1/a.tiff.jpg",
        "day.1/a.1.png",
        "day.1/a-1.png",
        "day.1/.tiff",
    ):  # not of the same name, but for the first
        put(place, name)
    for now in (1.0, 9.0):
        folder.look(now)
    alone = (4, ["b.png", "day.1/README", "day.1/a-1.png", "day.1/a.1.png"])
    assert not (place / "day.1/a.tiff").exists() and left_alone(folder) == alone
    assert "a.png" not in caplog.text and "a.json" not in caplog.text and "md5" not in caplog.text
    again = hot(place, journal, settle_seconds=0, after=after, recursive=True)
    for now in (0.0, 9.0):
        again.look(now)
    assert left_alone(again) == alone


def test_a_folder_with_the_name_of_a_scan_that_was_taken_is_said(place: Path, journal: Journal) -> None:
    put(place, "a.tiff")
    folder = hot(place, journal, settle_seconds=0, after="delete")
    folder.look(0.0)
    folder.finished(journal.known_files("folder")["a.tiff"], 1, is_rejected=False)
    (place / "a.tiff").mkdir()
    folder.look(1.0)
    folder.look(9.0)
    assert left_alone(folder) == (1, ["a.tiff"])


def test_nothing_is_said_of_a_file_that_is_renamed_once_it_is_written(
    place: Path, journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    folder = hot(place, journal, settle_seconds=0)
    path = put(place, "a.tiff.writing")
    folder.look(0.0)
    folder.look(1.9)
    path.rename(place / "a.tiff")
    assert folder.look(2.1) == 1
    assert caplog.text == ""


def test_nothing_is_said_of_folders_that_the_line_uses_itself(place: Path, journal: Journal) -> None:
    put(place, "done/a.tiff")
    folder = hot(place, journal, settle_seconds=0, own=frozenset([os.path.realpath(place / "done")]))
    folder.look(0.0)
    folder.look(9.0)
    assert left_alone(folder) == (0, [])


def test_of_many_files_that_are_no_scans_a_few_are_named(
    place: Path, journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(1000):
        os.close(os.open(place / f"{number:04d}.txt", os.O_CREAT | os.O_WRONLY))
    folder = hot(place, journal, settle_seconds=0)
    folder.look(0.0)
    folder.look(9.0)
    assert left_alone(folder) == (1000, [f"{number:04d}.txt" for number in range(5)])
    assert len(caplog.records) == 21 and "980 more are left alone" in caplog.text
    assert "0004.txt and 995 more" in folder.notices()[0]


@pytest.mark.skipif(sys.platform == "win32", reason="links need a right there")
@pytest.mark.parametrize("recursive", [False, True])
def test_links_are_not_followed_and_said(
    place: Path, journal: Journal, recursive: bool, caplog: pytest.LogCaptureFixture
) -> None:
    secret = put(place.parent / "elsewhere", "secret.tiff")
    (place / "linked.tiff").symlink_to(secret)
    (place / "broken.tiff").symlink_to("nowhere")
    (place / "below").symlink_to(secret.parent)
    folder = hot(place, journal, settle_seconds=0, recursive=recursive)
    assert folder.look(0.0) == folder.look(9.0) == 0
    assert left_alone(folder) == (3, ["below", "broken.tiff", "linked.tiff"])
    assert "linked.tiff is left alone: it is a link, and only files are inspected" in caplog.text


@pytest.mark.skipif(sys.platform == "win32", reason="links need a right there")
def test_a_file_that_became_a_link_is_not_moved_or_deleted(place: Path, journal: Journal) -> None:
    folder = hot(place, journal, settle_seconds=0, after="delete")
    path = put(place, "a.tiff")
    folder.look(0.0)
    path.rename(place.with_name("a.tiff"))
    path.symlink_to(place.with_name("a.tiff"))
    folder.finished(journal.known_files("folder")["a.tiff"], 7, is_rejected=False)
    assert path.is_symlink()


@pytest.mark.skipif(sys.platform == "win32", reason="links need a right there")
def test_a_hot_folder_may_be_a_link_itself(place: Path, journal: Journal) -> None:
    put(place, "a.tiff")
    link = place.with_name("link")
    link.symlink_to(place)
    folder = hot(link, journal, settle_seconds=0)
    folder.hold.take()
    assert folder.look(0.0) == 1
    folder.hold.release()


def test_a_hot_folder_that_did_not_exist_is_created_and_that_is_said(
    tmp_path: Path, journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    folder = hot(tmp_path / "new", journal)
    folder.start()
    folder.stop()
    folder.hold.release()
    assert (tmp_path / "new").is_dir()
    assert "new did not exist and was created: correct its path if scans arrive elsewhere" in caplog.text


HOLD = """
import sys, time
from pathlib import Path
from cmdiad.runtime.service.sources.folder_hold import FolderHold
hold = FolderHold(Path(sys.argv[1]))
hold.take()
print("held", flush=True)
time.sleep(60)
"""


@pytest.mark.skipif(not CAN_TELL, reason="no locks here")
def test_a_folder_that_another_line_holds_is_refused_until_that_ends(place: Path, journal: Journal) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLD, str(place)], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None and other.stdout.readline() == b"held\n"
        late = hot(place, journal, settle_seconds=0)
        with pytest.raises(UsageError, match=f"process {other.pid} on .* works in this folder already and takes its"):
            late.start()
        put(place, "a.tiff")
        # As where the folder, on a share, came only after the start.
        assert late.look(0.0) == 0 and "works in this folder already" in str(late.problem)
        other.kill()
        other.wait()
    assert late.look(1.0) == 1 and late.problem is None and late.as_json()["is_alone"] is True
    late.hold.release()


@pytest.mark.skipif(not CAN_TELL, reason="no locks here")
def test_a_folder_that_was_made_anew_is_held_anew(place: Path, journal: Journal) -> None:
    folder = hot(place, journal, settle_seconds=0)
    folder.hold.take()
    place.rename(place.with_name("elsewhere"))
    assert folder.look(0.0) == 0 and folder.problem is not None and not place.exists()
    place.mkdir()
    put(place, "a.tiff")
    assert folder.look(1.0) == 1
    assert (place / folder_hold.LOCK).exists()
    folder.hold.release()


def test_a_folder_that_cannot_be_held_is_inspected_and_that_is_said(
    place: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(path: Path, why: str) -> Held:
        raise OutputError(f"{path}: Read-only file system")

    monkeypatch.setattr(folder_hold, "hold_alone", refuse)
    folder = hot(place, journal, settle_seconds=0)
    folder.hold.take()
    put(place, "a.tiff")
    assert folder.look(0.0) == 1 and folder.look(1.0) == 0
    assert [record.getMessage() for record in caplog.records] == [
        f"{place / folder_hold.LOCK}: Read-only file system: so it is not certain that no other line takes the scans "
        "of this folder too"
    ]
    assert folder.as_json()["is_alone"] is None


def test_an_empty_place_where_a_share_was_mounted_is_not_taken_for_the_share(
    place: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder = hot(place, journal, settle_seconds=0)
    path = put(place, "a.tiff")
    monkeypatch.setattr("os.path.ismount", lambda asked: True)
    assert folder.look(0.0) == 1
    monkeypatch.setattr("os.path.ismount", lambda asked: False)
    share = path.rename(place.with_name("a.tiff"))
    assert folder.look(1.0) == 0 and folder.look(2.0) == 0
    assert folder.problem == f"{place}: nothing is mounted here any more: mount it again"
    assert caplog.text.count("nothing is mounted here any more") == 1
    monkeypatch.setattr("os.path.ismount", lambda asked: True)
    share.rename(path)
    assert folder.look(3.0) == 0 and folder.problem is None, "the scan has its one result"
    assert names(journal) == ["a.tiff"]
