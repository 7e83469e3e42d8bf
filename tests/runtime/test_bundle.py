"""A bundle is read as it was written, or refused with the name of what is wrong."""

import hashlib
import zipfile

import msgspec
import numpy as np
import pytest
from cmdiad.runtime import manifest as manifest_format
from cmdiad.runtime.bundle import FolderStore, ZipStore, find_bundle, open_bundle
from cmdiad.runtime.bundle_writing import rewrite_bundle, write_bundle
from cmdiad.runtime.errors import BundleError, UsageError
from cmdiad.runtime.grouping import Grouping
from cmdiad.runtime.manifest import Manifest
from cmdiad.runtime.preprocessing import Preprocessing

ROWS = np.arange(24, dtype=np.float32).reshape(6, 4)


def make_manifest(**changes):
    fields = {
        "product": "part",
        "route": "single",
        "main": "pc",
        "precision": "fp32",
        "preprocessing": Preprocessing(),
        "grouping": Grouping(),
        "networks": {},
    }
    return Manifest(**{**fields, **changes})


@pytest.fixture(params=["bundle", "bundle.cmdiad"])
def written(request, tmp_path):
    path = tmp_path / request.param
    write_bundle(path, make_manifest(), {"bank_main.npy": ROWS, "golden/scan.bin": b"abc" * 100, "empty": b""})
    return path


def test_round_trip(written):
    bundle = open_bundle(written)
    assert bundle.manifest.product == "part"
    assert bundle.read("golden/scan.bin") == b"abc" * 100
    rows = bundle.array("bank_main.npy")
    assert isinstance(rows, np.memmap) and not rows.flags.writeable
    np.testing.assert_array_equal(rows, ROWS)


def test_arrays_in_an_archive_are_aligned(tmp_path):
    path = tmp_path / "b.cmdiad"
    write_bundle(path, make_manifest(), {"a": b"x", "bank_main.npy": ROWS, "b" * 77: b"y"})
    store = ZipStore(path)
    assert all(store.locate(name)[1] % 64 == 0 for name in ("a", "bank_main.npy", "b" * 77))


def test_same_content_gives_the_same_bytes(tmp_path):
    paths = [tmp_path / name for name in ("one.cmdiad", "two.cmdiad")]
    for path in paths:
        write_bundle(path, make_manifest(), {"bank_main.npy": ROWS, "x": b"1"})
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_an_archive_is_an_ordinary_zip_file(tmp_path):
    path = tmp_path / "b.cmdiad"
    write_bundle(path, make_manifest(), {"x": b"hello"})
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert archive.read("x") == b"hello"


@pytest.mark.parametrize("seed", range(60))
def test_any_changed_byte_is_refused(written, seed):
    rng = np.random.default_rng(seed)
    files = sorted(p for p in written.rglob("*") if p.is_file() and p.stat().st_size) if written.is_dir() else [written]
    target = files[int(rng.integers(len(files)))]
    raw = bytearray(target.read_bytes())
    place = int(rng.integers(len(raw)))
    raw[place] ^= int(rng.integers(1, 256))
    target.write_bytes(raw)
    with pytest.raises(BundleError) as refusal:
        open_bundle(written)
    assert target.name in str(refusal.value)


def test_a_missing_file_is_named(tmp_path):
    path = tmp_path / "bundle"
    write_bundle(path, make_manifest(), {"x": b"1"})
    (path / "x").unlink()
    with pytest.raises(BundleError, match="x is missing"):
        open_bundle(path)


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "a/../../b", "c:\\x", "..", "a\\b"])
def test_a_name_that_leads_outside_is_refused(tmp_path, name):
    path = tmp_path / "bundle"
    path.mkdir()
    digest = hashlib.sha256(b"secret").hexdigest()
    (tmp_path / "outside").write_bytes(b"secret")
    (path / "manifest.json").write_bytes(manifest_format.encode(make_manifest(files={name: digest})))
    with pytest.raises(BundleError, match="leads outside"):
        open_bundle(path)


@pytest.mark.parametrize(("version", "word"), [(0, "older"), (2, "newer")])
def test_another_format_version_is_refused_in_plain_words(tmp_path, version, word):
    path = tmp_path / "bundle"
    path.mkdir()
    raw = manifest_format.encode(msgspec.structs.replace(make_manifest(), format_version=version))
    (path / "manifest.json").write_bytes(raw)
    with pytest.raises(BundleError, match=f"format version {version}, {word}"):
        open_bundle(path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"not a zip at all", b"\x00" * 300])
def test_what_is_no_bundle_is_refused(tmp_path, content):
    path = tmp_path / "b.cmdiad"
    path.write_bytes(content)
    with pytest.raises(BundleError, match=r"b\.cmdiad"):
        open_bundle(path)


def test_a_compressed_archive_is_refused(tmp_path):
    path = tmp_path / "b.cmdiad"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.comment = b"0" * 64
        archive.writestr("manifest.json", b"0" * 1000)
    raw = path.read_bytes()
    path.write_bytes(raw[:-64] + hashlib.sha256(raw[:-64]).hexdigest().encode())
    with pytest.raises(BundleError, match="compressed"):
        open_bundle(path)


def test_an_object_array_is_refused(tmp_path):
    path = tmp_path / "bundle"
    np.save(tmp_path / "object.npy", np.array([{}], object), allow_pickle=True)
    write_bundle(path, make_manifest(), {"x.npy": (tmp_path / "object.npy").read_bytes()})
    with pytest.raises(BundleError, match="not a plain array"):
        open_bundle(path).array("x.npy")


def test_something_else_is_never_overwritten(tmp_path):
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "thesis.tex").write_text("words")
    with pytest.raises(UsageError, match="is not a bundle"):
        write_bundle(tmp_path / "precious", make_manifest(), {})
    assert (tmp_path / "precious" / "thesis.tex").read_text() == "words"


def test_rewriting_keeps_the_other_files_and_leaves_nothing_behind(tmp_path):
    path = tmp_path / "bundle"
    write_bundle(path, make_manifest(), {"x": b"1", "y": b"2"})
    rewrite_bundle(open_bundle(path), path, make_manifest(product="other"), {"y": b"3"})
    bundle = open_bundle(path)
    assert (bundle.read("x"), bundle.read("y"), bundle.manifest.product) == (b"1", b"3", "other")
    assert [entry.name for entry in tmp_path.iterdir()] == ["bundle"]


def test_the_bundle_is_found_by_argument_variable_and_default(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CMDIAD_BUNDLE", raising=False)
    with pytest.raises(BundleError, match="CMDIAD_BUNDLE"):
        find_bundle(None)
    for name in ("bundle", "by_variable", "given"):
        (tmp_path / name).mkdir()
    assert find_bundle(None).name == "bundle"
    monkeypatch.setenv("CMDIAD_BUNDLE", "by_variable")
    assert find_bundle(None).name == "by_variable"
    assert find_bundle("given").name == "given"


def test_a_folder_store_knows_no_folders(tmp_path):
    (tmp_path / "sub").mkdir()
    with pytest.raises(KeyError):
        FolderStore(tmp_path).open("sub")
