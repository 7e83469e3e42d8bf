"""What a killed process leaves beside its destination goes with the next write; what a living one works on stays."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cmdiad.runtime.bundle.reading import open_bundle
from cmdiad.runtime.bundle.writing import write_bundle
from cmdiad.runtime.errors import BundleError
from cmdiad.runtime.files import atomic_folder, ownership
from cmdiad.runtime.files.atomic import atomic_write, atomic_write_bytes, remove_abandoned_parts
from cmdiad.runtime.files.atomic_folder import LOCK, NEW, OLD, remove_leftovers, work_folder

from .manifests import least_manifest

pytestmark = pytest.mark.skipif(not ownership.CAN_TELL, reason="this system has no locks that end with a process")

WAITS = """
import os, sys, time
def wait(*_):
    print("writing", flush=True)
    time.sleep(600)
"""
WRITES_A_BUNDLE = f"""
{WAITS}
from pathlib import Path
from cmdiad.runtime.bundle.reading import open_bundle
from cmdiad.runtime.bundle.writing import write_bundle
from cmdiad.runtime.files import atomic_folder
bundle = open_bundle(sys.argv[1])
place = {{"staging": "fsync", "moved": "rename"}}[sys.argv[2]]
if place == "fsync":
    os.fsync = wait
else:
    atomic_folder._exchange = lambda *_: False
    rename = Path.rename
    Path.rename = lambda self, target: wait() if self.name == "new" else rename(self, target)
write_bundle(Path(sys.argv[1]), bundle.manifest, {{"x": b"of the child"}})
"""
WRITES_A_FILE = f"""
{WAITS}
from cmdiad.runtime.files.atomic import atomic_write
with atomic_write(sys.argv[1]) as stream:
    stream.write(b"half")
    stream.flush()
    wait()
"""
MANIFEST = least_manifest()


@contextmanager
def writing(code: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """A process in the middle of its work; killed with the block at the latest."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "writing\n"
            yield process
        finally:
            process.kill()


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def beside(path: Path) -> list[str]:
    return [name for name in names(path.parent) if name != path.name]


@pytest.mark.parametrize("name", ["bundle", "bundle.cmdiad"])
def test_a_killed_write_is_swept_by_the_next_one_and_a_living_one_is_not(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    write_bundle(path, MANIFEST, {"x": b"old"})
    with writing(WRITES_A_BUNDLE, path, "staging") as process:
        (staging,) = beside(path)
        write_bundle(path, MANIFEST, {"x": b"new"})
        assert beside(path) == [staging] and (path.parent / staging / NEW).exists()
        process.kill()
        process.wait()
        assert beside(path) == [staging]
        write_bundle(path, MANIFEST, {"x": b"newer"})
    assert beside(path) == [] and open_bundle(path).read("x") == b"newer"


def test_a_bundle_that_was_moved_aside_stays_until_another_is_in_its_place(tmp_path: Path) -> None:
    path = tmp_path / "bundle"
    write_bundle(path, MANIFEST, {"x": b"old"})
    with writing(WRITES_A_BUNDLE, path, "moved") as process:
        process.kill()
        process.wait()
    (work,) = beside(path)
    remove_leftovers(path)
    with pytest.raises(BundleError, match=rf"{work}/{OLD}: move it back"):
        open_bundle(path)
    assert open_bundle(tmp_path / work / OLD).read("x") == b"old"
    write_bundle(path, MANIFEST, {"x": b"new"})
    assert beside(path) == [] and open_bundle(path).read("x") == b"new"


def test_only_leftovers_of_this_name_with_a_lock_of_ours_are_removed(tmp_path: Path) -> None:
    path = tmp_path / "bundle"
    (tmp_path / ".bundle.aaaaaaaa").mkdir()
    kept = [".bundle.bbbbbbbb", ".bundle.cmdiad.cccccccc", ".bundle2.dddddddd", "bundle.eeeeeeee", ".bundle.ffff"]
    for name in kept:
        (tmp_path / name).mkdir()
        (tmp_path / name / ("x" if name == ".bundle.bbbbbbbb" else LOCK)).touch()
    (tmp_path / ".bundle.gggggggg").symlink_to(kept[1])
    remove_leftovers(path)
    assert beside(path) == sorted([*kept, ".bundle.gggggggg"])


def test_a_work_folder_that_was_swept_before_it_was_held_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    swept: list[Path] = []
    claim = atomic_folder.claim

    def late(path: Path, descriptor: int) -> bool:
        if not swept:
            swept.append(path.parent)
            remove_leftovers(tmp_path / "bundle")
        return claim(path, descriptor)

    monkeypatch.setattr(atomic_folder, "claim", late)
    with work_folder(tmp_path / "bundle") as work:
        assert work.is_dir() and work != swept[0] and not swept[0].exists()
        remove_leftovers(tmp_path / "bundle")
        assert work.is_dir()
    assert list(tmp_path.iterdir()) == []


def test_where_nothing_can_be_locked_nothing_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    (tmp_path / ".bundle.aaaaaaaa").mkdir()
    (tmp_path / ".bundle.aaaaaaaa" / LOCK).touch()
    monkeypatch.setattr("fcntl.flock", refuse)
    write_bundle(tmp_path / "bundle", MANIFEST, {"x": b"new"})
    assert beside(tmp_path / "bundle") == [".bundle.aaaaaaaa"]


def test_half_a_file_of_a_killed_process_is_removed_and_a_living_ones_is_not(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    with writing(WRITES_A_FILE, path) as process:
        (part,) = names(tmp_path)
        with atomic_write(tmp_path / "b.bin") as stream:
            remove_abandoned_parts(tmp_path)
            assert len(names(tmp_path)) == 2
            stream.write(b"whole")
        process.kill()
        process.wait()
    assert names(tmp_path) == sorted([part, "b.bin"])
    (tmp_path / ".mine.part").touch()
    remove_abandoned_parts(tmp_path)
    assert names(tmp_path) == [".mine.part", "b.bin"]
    remove_abandoned_parts(tmp_path / "absent")


def test_a_file_is_written_where_nothing_can_be_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ownership, "fcntl", None)
    atomic_write_bytes(tmp_path / "a.bin", b"x")
    write_bundle(tmp_path / "bundle", MANIFEST, {"x": b"new"})
    assert names(tmp_path) == ["a.bin", "bundle"]
