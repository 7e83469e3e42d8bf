"""A bundle is replaced whole or not at all, wherever the process that writes it is killed."""

import shutil
import sys

import numpy as np
import pytest
from cmdiad.runtime.bundle.reading import open_bundle
from cmdiad.runtime.bundle.writing import MemoryStore, StoredFile, draft_bundle, rewrite_bundle, write_bundle
from cmdiad.runtime.errors import BundleError
from cmdiad.runtime.files import atomic_folder

from ...forked_commands import run_code
from .manifests import least_manifest

ROWS = np.arange(24, dtype=np.float32).reshape(6, 4)
KILLED = 9
IMPORTS = "import cmdiad.runtime.bundle.writing"
CHILD = """
import os, shutil, sys
from pathlib import Path
from cmdiad.runtime.files import atomic_folder
from cmdiad.runtime.bundle.writing import rewrite_bundle
from cmdiad.runtime.bundle.reading import open_bundle
import msgspec

path, left, can_exchange = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "True"

def counted(function):
    def step(*args, **options):
        global left
        answer = function(*args, **options)
        left -= 1
        if left < 0:
            os._exit(9)
        return answer
    return step

os.fsync, shutil.rmtree = counted(os.fsync), counted(shutil.rmtree)
Path.rename, Path.replace = counted(Path.rename), counted(Path.replace)
atomic_folder._exchange = counted(atomic_folder._exchange if can_exchange else lambda *_: False)
bundle = open_bundle(path)
rewrite_bundle(bundle, path, msgspec.structs.replace(bundle.manifest, product="new"), {"x": b"new"})
"""


def killed_after(path, steps, can_exchange):
    """Replace the bundle in a process that is killed after so many steps; whether it was."""
    answer = run_code(CHILD, path, steps, can_exchange, cwd=path.parent, before=IMPORTS)
    assert answer.returncode in (0, KILLED), answer.stderr
    return answer.returncode == KILLED


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "can_exchange"),
    [("bundle", True), ("bundle", False), ("bundle.cmdiad", True)],
    ids=["folder", "folder_in_two_steps", "archive"],
)
def test_a_killed_write_leaves_the_old_bundle_or_the_new_one(tmp_path, name, can_exchange):
    path, products, steps = tmp_path / name, [], 0
    killed = True
    while killed:
        shutil.rmtree(tmp_path)
        tmp_path.mkdir()
        write_bundle(path, least_manifest("old"), {"x": b"old", "bank_main.npy": ROWS})
        killed = killed_after(path, steps, can_exchange)
        try:
            bundle = open_bundle(path)
        except BundleError as error:
            assert not can_exchange
            bundle = open_bundle(str(error).split(": move it back")[0].rsplit(" is in ", 1)[1])
            products.append("moved aside")
        assert bundle.read("x").decode() == bundle.manifest.product
        products.append(bundle.manifest.product)
        steps += 1
    assert products[0] == "old" and products[-1] == "new"
    assert products.count("moved aside") == (0 if can_exchange else 1)
    assert steps >= 4


def test_a_step_that_fails_leaves_the_old_bundle_where_it_was(tmp_path, monkeypatch):
    path = tmp_path / "bundle"
    write_bundle(path, least_manifest("old"), {"x": b"old"})
    monkeypatch.setattr(atomic_folder, "_exchange", lambda *_: False)
    original = type(path).rename

    def interrupted(self, target):
        if self.name == atomic_folder.NEW:
            raise KeyboardInterrupt
        return original(self, target)

    monkeypatch.setattr(type(path), "rename", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_bundle(path, least_manifest("new"), {"x": b"new"})
    assert open_bundle(path).manifest.product == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["bundle"]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems replace in two steps")
def test_on_linux_the_folders_change_places_in_one_step(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x").write_text(name)
    if not atomic_folder._exchange(tmp_path / "one", tmp_path / "two"):
        pytest.skip("this file system cannot")
    assert [(tmp_path / name / "x").read_text() for name in ("one", "two")] == ["two", "one"]
    assert not atomic_folder._exchange(tmp_path / "one", tmp_path / "absent")


@pytest.mark.parametrize("name", ["bundle", "bundle.cmdiad"])
def test_what_a_link_points_at_is_replaced_and_not_the_link(tmp_path, name):
    real, link = tmp_path / "real" / name, tmp_path / name
    write_bundle(real, least_manifest("old"), {"x": b"old"})
    link.symlink_to(real)
    write_bundle(link, least_manifest("new"), {"x": b"new"})
    assert link.is_symlink() and open_bundle(real).read("x") == b"new"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == sorted({name, "real"})


@pytest.mark.parametrize("name", ["bundle", "bundle.cmdiad"])
def test_a_bundle_whose_arrays_are_mapped_is_replaced_in_place(tmp_path, name):
    write_bundle(tmp_path / name, least_manifest("old"), {"bank_main.npy": ROWS})
    bundle = open_bundle(tmp_path / name)
    mapped = bundle.array("bank_main.npy")
    rewrite_bundle(bundle, tmp_path / name, least_manifest("new"), {"bank_main.npy": mapped[::-1]})
    np.testing.assert_array_equal(mapped, ROWS)
    np.testing.assert_array_equal(open_bundle(tmp_path / name).array("bank_main.npy"), ROWS[::-1])


def test_a_file_that_changed_since_the_bundle_was_opened_is_never_copied(tmp_path):
    """Its stated digest would be that of the bytes before."""
    write_bundle(tmp_path / "one", least_manifest("old"), {"x": b"old", "y": b"1"})
    bundle = open_bundle(tmp_path / "one")
    write_bundle(tmp_path / "one", least_manifest("old"), {"x": b"new", "y": b"1"})
    with pytest.raises(BundleError, match="x was changed since"):
        rewrite_bundle(bundle, tmp_path / "two", bundle.manifest, {"y": b"2"})
    assert not (tmp_path / "two").exists()


@pytest.mark.parametrize("name", ["bundle", "bundle.cmdiad"])
def test_a_draft_reads_as_the_bundle_that_is_written_of_it(tmp_path, name):
    write_bundle(tmp_path / "source", least_manifest("old"), {"kept": b"abc", "kept.npy": ROWS})
    source = open_bundle(tmp_path / "source")
    contents = {
        "kept": StoredFile(source, "kept"),
        "kept.npy": StoredFile(source, "kept.npy"),
        "made.npy": ROWS[:, ::2],
        "empty.npy": ROWS[:0],
        "bytes": b"xyz",
        "bytes.npy": source.read("kept.npy"),
    }
    draft = draft_bundle(tmp_path / name, least_manifest("new"), contents)
    assert not (tmp_path / name).exists()
    write_bundle(tmp_path / name, draft.manifest, contents)
    written = open_bundle(tmp_path / name)
    assert draft.manifest.files == written.manifest.files
    for file in contents:
        assert draft.read(file) == written.read(file)
        assert draft.store.size(file) == written.store.size(file) == len(written.read(file))
        if file.endswith(".npy"):
            array = draft.array(file)
            np.testing.assert_array_equal(array, written.array(file))
            assert not array.flags.writeable
    with pytest.raises(BundleError, match="is not an array"):
        draft.array("bytes")


def test_a_draft_copies_no_array(tmp_path):
    assert np.shares_memory(MemoryStore({"a.npy": ROWS}).array("a.npy"), ROWS)
    assert ROWS.flags.writeable
