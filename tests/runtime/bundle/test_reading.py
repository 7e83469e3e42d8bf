"""A bundle is read as it was written, or refused with the name of what is wrong."""

import hashlib
import io
import zipfile
from pathlib import Path

import msgspec
import numpy as np
import pytest
from cmdiad.runtime.bundle import manifest as manifest_format
from cmdiad.runtime.bundle.manifest import Manifest
from cmdiad.runtime.bundle.parameters import Grouping, Preprocessing
from cmdiad.runtime.bundle.reading import find_bundle, open_bundle
from cmdiad.runtime.bundle.stores import FolderStore, ZipStore
from cmdiad.runtime.bundle.writing import rewrite_bundle, write_bundle
from cmdiad.runtime.errors import BundleError, UsageError

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


def test_large_members_are_aligned_too(tmp_path, monkeypatch):
    """Beyond 2 GiB a member's header is longer; here the limit is lowered instead."""
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 1000)
    path = tmp_path / "b.cmdiad"
    write_bundle(path, make_manifest(), {"a": b"x" * 955, "b": b"y" * 3000, "c": b"z"})
    bundle = open_bundle(path)
    assert all(bundle.store.locate(name)[1] % 64 == 0 for name in "abc")
    assert bundle.read("b") == b"y" * 3000


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


@pytest.mark.parametrize("name", ["bundle", "bundle.cmdiad"])
def test_a_thousand_changed_bytes_are_refused_by_the_file_s_name(tmp_path, name):
    """Half of them in the folder form, half in the file; the place is drawn from all bytes of the bundle."""
    path = tmp_path / name
    rng = np.random.default_rng(0)
    contents = {
        "extractor.onnx": rng.bytes(3000),
        "bank_main.npy": ROWS,
        "engines/extractor.engine": rng.bytes(2000),
        "golden/normal_scan.tiff": rng.bytes(1000),
        "fusion.json": b"{}" * 40,
    }
    write_bundle(path, make_manifest(), contents)
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    sizes = np.array([file.stat().st_size for file in files])
    for _ in range(500):
        place = int(rng.integers(sizes.sum()))
        which = int(np.searchsorted(sizes.cumsum(), place, side="right"))
        change = files[which], place - int(sizes[:which].sum()), int(rng.integers(1, 256))
        flip(*change)
        with pytest.raises(BundleError) as refusal:
            open_bundle(path)
        assert refusal.value.exit_code == 4
        assert files[which].name in str(refusal.value)
        flip(*change)
    open_bundle(path)


def flip(file, place, mask):
    """Change one byte of a file; the same again puts it back."""
    with file.open("r+b") as stream:
        stream.seek(place)
        value = stream.read(1)[0]
        stream.seek(place)
        stream.write(bytes([value ^ mask]))


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


@pytest.mark.parametrize(("version", "word"), [(0, "older"), (4, "newer")])
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


def sealed_archive(path, members):
    """A .cmdiad file with the right digest over whatever is in it."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.comment = b"0" * 64
        for name, content in members:
            archive.writestr(name, content)
    seal(path, path.read_bytes())


def seal(path, raw):
    path.write_bytes(raw[:-64] + hashlib.sha256(raw[:-64]).hexdigest().encode())


def test_an_archive_that_does_not_end_with_its_comment_is_refused_before_its_table_is_read(tmp_path):
    """A table that ends elsewhere would be searched for, and has no bound."""
    path = tmp_path / "b.cmdiad"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("manifest.json", b"1" * 1000)
    seal(path, path.read_bytes() + bytes(10) + b"0" * 64)
    with pytest.raises(BundleError, match=r"neither a bundle folder nor a \.cmdiad file"):
        open_bundle(path)


def test_of_several_changed_files_the_first_is_said_and_the_archive_before_all(tmp_path):
    names = [f"{number}.bin" for number in range(8)]
    contents = {name: bytes([number]) * (1 << 20 if number == 2 else 100) for number, name in enumerate(names)}
    folder, archive = tmp_path / "b", tmp_path / "b.cmdiad"
    write_bundle(folder, make_manifest(), contents)
    write_bundle(archive, make_manifest(), contents)
    for name in names[2:]:
        (folder / name).write_bytes(b"changed")
    with pytest.raises(BundleError, match=r"2\.bin was changed"):
        open_bundle(folder)
    raw = archive.read_bytes()
    archive.write_bytes(raw.replace(contents["5.bin"], bytes(100)))
    with pytest.raises(BundleError, match=r"b\.cmdiad was changed"):
        open_bundle(archive)
    seal(archive, archive.read_bytes())
    with pytest.raises(BundleError, match=r"5\.bin was changed"):
        open_bundle(archive)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_members_of_one_name_are_refused(tmp_path):
    path = tmp_path / "b.cmdiad"
    sealed_archive(path, [("manifest.json", b"1"), ("manifest.json", b"2")])
    with pytest.raises(BundleError, match="same name"):
        open_bundle(path)


def test_members_that_share_their_bytes_are_refused(tmp_path):
    """The zip bomb that needs no compression: every entry of the table points at the same content."""
    path = tmp_path / "b.cmdiad"
    content = b"x" * 4000
    sealed_archive(path, [("manifest.json", content), ("a", content), ("b", content)])
    raw = path.read_bytes()
    table = raw.index(b"PK\x01\x02")
    first = raw.index(b"PK\x03\x04", 1)
    short = raw[:first] + raw[table:]
    fixed = bytearray(short)
    for entry in range(short.count(b"PK\x01\x02")):
        at = [i for i in range(len(short)) if short.startswith(b"PK\x01\x02", i)][entry]
        fixed[at + 42 : at + 46] = bytes(4)
    end = short.index(b"PK\x05\x06")
    fixed[end + 16 : end + 20] = first.to_bytes(4, "little")
    seal(path, bytes(fixed))
    with pytest.raises(BundleError, match="overlap"):
        open_bundle(path)


def test_a_huge_table_of_contents_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "b.cmdiad"
    sealed_archive(path, [("manifest.json", b"1")])
    raw = bytearray(path.read_bytes())
    end = raw.index(b"PK\x05\x06")
    raw[end + 12 : end + 16] = (1 << 30).to_bytes(4, "little")
    seal(path, bytes(raw))
    with pytest.raises(BundleError, match="table of contents"):
        open_bundle(path)


def test_a_link_that_leads_outside_is_refused(tmp_path):
    path = tmp_path / "bundle"
    write_bundle(path, make_manifest(), {"x": b"1"})
    (tmp_path / "outside").write_bytes(b"1")
    (path / "x").unlink()
    (path / "x").symlink_to(tmp_path / "outside")
    with pytest.raises(BundleError, match="link that leads outside"):
        open_bundle(path)


@pytest.mark.parametrize("raw", [b"[" * 100_000, b"{}", b"\xff\xfe", b'{"format_version": 1}', b" " * (5 << 20)])
def test_a_manifest_that_is_none_is_refused(tmp_path, raw):
    path = tmp_path / "bundle"
    path.mkdir()
    (path / "manifest.json").write_bytes(raw)
    with pytest.raises(BundleError, match=r"manifest\.json"):
        open_bundle(path)


@pytest.mark.parametrize("shape", ["(4294967296, 4294967296)", "(-1, -16)", "(1000,)"])
def test_an_array_that_claims_another_size_is_refused(tmp_path, shape):
    """The first product is 2 ** 64: zero, if it were taken in 64 bits."""
    path = tmp_path / "bundle"
    header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}".ljust(117).encode() + b"\n"
    content = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
    write_bundle(path, make_manifest(), {"x.npy": content + (bytes(16) if "-16" in shape else b"")})
    with pytest.raises(BundleError, match="not a plain array"):
        open_bundle(path).array("x.npy")


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


@pytest.mark.parametrize("target", ["two", "two.cmdiad"])
@pytest.mark.parametrize("source", ["one", "one.cmdiad"])
def test_a_copy_in_the_other_form_has_the_same_files(tmp_path, source, target):
    contents = {"bank_main.npy": ROWS, "x": b"1" * 70_000, "y": b"2", "empty": b"", "none.npy": ROWS[:0]}
    write_bundle(tmp_path / source, make_manifest(), contents)
    one = open_bundle(tmp_path / source)
    rewrite_bundle(one, tmp_path / target, one.manifest, {}, dropped=["y"])
    two = open_bundle(tmp_path / target)
    assert two.manifest.files == {name: digest for name, digest in one.manifest.files.items() if name != "y"}
    assert all(two.read(name) == one.read(name) for name in two.manifest.files)
    np.testing.assert_array_equal(np.load(io.BytesIO(two.read("bank_main.npy"))), ROWS)


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


@pytest.mark.parametrize("size, readable", [(224, True), (256, False), ("224", False)])
def test_the_size_that_preprocessing_had_once_is_read_where_it_worked(size, readable):
    from cmdiad.runtime.bundle import manifest as manifest_format

    fields = msgspec.to_builtins(make_manifest())
    fields["preprocessing"]["size"] = size
    fields["digest"] = "0" * 64
    text = msgspec.json.encode(fields)
    raw = text.replace(b"0" * 64, hashlib.sha256(text).hexdigest().encode(), 1)
    if readable:
        assert manifest_format.decode(raw, "bundle").preprocessing == Preprocessing()
    else:
        with pytest.raises(BundleError, match=r"preprocessing.size.*export it again"):
            manifest_format.decode(raw, "bundle")


def test_a_bundle_that_this_user_may_not_read_is_not_called_damaged(written, monkeypatch):
    def denied(path, *_):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", denied)
    with pytest.raises(BundleError, match="cannot be read: Permission denied: give this user permission") as caught:
        open_bundle(written)
    assert "get the bundle again" not in str(caught.value)
