"""Bundles made to do harm: refused as bundles, in bounded time and memory."""

from __future__ import annotations

import hashlib
import io
import struct
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np
import pytest
from cmdiad.runtime.bundle import manifest as manifest_format
from cmdiad.runtime.bundle.manifest import Manifest
from cmdiad.runtime.bundle.parameters import Grouping, Preprocessing
from cmdiad.runtime.bundle.reading import MOST_FILES, open_bundle
from cmdiad.runtime.bundle.signature import decode_signatures
from cmdiad.runtime.errors import BundleError

MEMBERS = {"bank.npy": b"rows"}


def manifest_of(files: Mapping[str, bytes]) -> bytes:
    """The bytes of a manifest that names files with their right digests."""
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    settings = {"preprocessing": Preprocessing(), "grouping": Grouping(), "networks": {}, "files": digests}
    return manifest_format.encode(Manifest(product="p", route="single", main="pc", precision="fp32", **settings))


def folder_of(root: Path, files: Mapping[str, bytes], named: Mapping[str, bytes]) -> Path:
    """A bundle's folder that holds files, and a manifest that names others."""
    root.mkdir()
    (root / "manifest.json").write_bytes(manifest_of(named))
    for name, content in files.items():
        (root / name).write_bytes(content)
    return root


def archive_of(path: Path, members: Sequence[tuple[str, bytes]]) -> Path:
    """An archive of any members, its own digest right."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name), content)
        archive.comment = b"0" * 64
    return resealed(path, stream.getvalue())


def resealed(path: Path, data: bytes) -> Path:
    """An archive's bytes with the digest that they have."""
    path.write_bytes(data[:-64] + hashlib.sha256(data[:-64]).hexdigest().encode())
    return path


@pytest.mark.parametrize(
    "name",
    ["../x", "/etc/passwd", "a/../../x", "a\\x", "C:x", "", ".", "a\0b", "./bank.npy", "a//b", "a/", "x" * 201],
    ids=["up", "root", "up later", "backslash", "drive", "none", "here", "null", "dot", "twice", "folder", "long"],
)
@pytest.mark.parametrize("form", ["folder", "archive"])
def test_a_manifest_may_only_name_files_of_the_bundle_and_each_in_one_way(tmp_path: Path, name: str, form: str) -> None:
    if form == "folder":
        path = folder_of(tmp_path / "b", MEMBERS, {**MEMBERS, name: b"rows"})
    else:
        path = archive_of(tmp_path / "b.cmdiad", [("manifest.json", manifest_of({**MEMBERS, name: b"rows"}))])
    with pytest.raises(BundleError, match="manifest names"):
        open_bundle(path)


def test_more_files_than_any_bundle_has_are_refused_before_one_is_looked_for(tmp_path: Path) -> None:
    named = {f"f{number}": b"" for number in range(10_000)}
    with pytest.raises(BundleError, match=f"names 10000 files, at most {MOST_FILES} are read"):
        open_bundle(folder_of(tmp_path / "b", {}, named))


def test_links_that_lead_outside_or_in_circles_and_pipes_are_refused(tmp_path: Path) -> None:
    import os

    (tmp_path / "secret").write_bytes(b"rows")
    path = folder_of(tmp_path / "b", {}, MEMBERS)
    (path / "bank.npy").symlink_to(tmp_path / "secret")
    with pytest.raises(BundleError, match="leads outside the bundle"):
        open_bundle(path)
    (path / "bank.npy").unlink()
    (path / "bank.npy").symlink_to("bank.npy")
    with pytest.raises(BundleError, match=r"bank\.npy cannot be read"):
        open_bundle(path)
    (path / "bank.npy").unlink()
    os.mkfifo(path / "bank.npy")
    with pytest.raises(BundleError, match=r"bank\.npy is missing"):
        open_bundle(path)


@pytest.mark.parametrize(
    ("form", "place", "number"),
    [
        pytest.param("<I", 42, 2**32 - 1, id="header far away"),
        pytest.param("<I", 24, 2**31, id="size too large"),
        pytest.param("<I", 20, 0, id="packed size differs"),
        pytest.param("<H", 10, 8, id="compressed"),
    ],
)
def test_entries_of_an_archive_that_lie_are_refused(tmp_path: Path, form: str, place: int, number: int) -> None:
    path = archive_of(tmp_path / "b.cmdiad", [("manifest.json", manifest_of(MEMBERS)), ("bank.npy", b"rows")])
    data = bytearray(path.read_bytes())
    struct.pack_into(form, data, data.rfind(b"PK\x01\x02") + place, number)
    with pytest.raises(BundleError):
        open_bundle(resealed(path, bytes(data)))


def test_a_member_whose_name_is_not_text_is_refused(tmp_path: Path) -> None:
    """The digest of the whole is right, so that nothing else refuses it."""
    path = archive_of(tmp_path / "b.cmdiad", [("manifest.json", manifest_of(MEMBERS)), ("bänk", b"rows")])
    data = path.read_bytes().replace("bänk".encode(), b"b\xff\xfenk")
    with pytest.raises(BundleError, match="is neither a bundle folder nor"):
        open_bundle(resealed(path, data))


def test_two_members_of_one_name_are_refused(tmp_path: Path) -> None:
    members = [("manifest.json", manifest_of(MEMBERS)), ("bank.npy", b"rows"), ("bank.nqy", b"evil")]
    path = archive_of(tmp_path / "b.cmdiad", members)
    with pytest.raises(BundleError, match="two members have the same name"):
        open_bundle(resealed(path, path.read_bytes().replace(b"bank.nqy", b"bank.npy")))


def test_the_table_of_contents_of_a_large_archive_is_bounded_too(tmp_path: Path) -> None:
    """Where the record for archives beyond 4 GB is there, it counts, whatever the plain one says."""
    path = archive_of(tmp_path / "b.cmdiad", [("manifest.json", manifest_of(MEMBERS)), ("bank.npy", b"rows")])
    data = path.read_bytes()
    end = data.rfind(b"PK\x05\x06")
    start = int.from_bytes(data[end + 16 : end + 20], "little")

    def enlarged(size: int) -> bytes:
        record = b"PK\x06\x06" + struct.pack("<QHHIIQQQQ", 44, 45, 45, 0, 0, 2, 2, size, start)
        return data[:end] + record + b"PK\x06\x07" + struct.pack("<IQI", 0, end, 1) + data[end:]

    assert open_bundle_fails(resealed(path, enlarged(end - start))) is None
    assert "table of contents is too large" in str(open_bundle_fails(resealed(path, enlarged(100 << 20))))


def open_bundle_fails(path: Path) -> BundleError | None:
    try:
        open_bundle(path)
    except BundleError as error:
        return error
    return None


@pytest.mark.parametrize(
    "header",
    [
        pytest.param("  x\n x", id="indented"),
        pytest.param("(" * 9000, id="nested"),
        pytest.param("'", id="open"),
        pytest.param("{'descr': ", id="cut"),
        pytest.param(f"{{'descr': '<f4', 'fortran_order': False, 'shape': (0, {10**40})}}", id="huge"),
    ],
)
def test_an_array_with_a_damaged_header_is_named(tmp_path: Path, header: str) -> None:
    content = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode()
    bundle = open_bundle(folder_of(tmp_path / "b", {"bank.npy": content}, {"bank.npy": content}))
    with pytest.raises(BundleError, match=r"bank\.npy is not an array"):
        bundle.array("bank.npy")


@pytest.mark.parametrize("depth", [500, 200_000])
def test_json_nested_without_end_is_refused(depth: int) -> None:
    for raw in (b"[" * depth, b'{"format_version": 2, "digest": ' + b"[" * depth + b"]" * depth + b"}"):
        with pytest.raises(BundleError):
            manifest_format.decode(raw, "b")
        with pytest.raises(BundleError):
            decode_signatures(raw, "b")


def test_a_manifest_whose_words_are_not_text_is_refused_though_its_digest_is_right() -> None:
    raw = manifest_of(MEMBERS).replace(b'"bank.npy"', b'"b\xff\xfe.npy"')
    digest = msgspec.json.decode(manifest_of(MEMBERS))["digest"].encode()
    blank = raw.replace(digest, b"0" * 64, 1)
    raw = blank.replace(b"0" * 64, hashlib.sha256(blank).hexdigest().encode(), 1)
    with pytest.raises(BundleError, match="contains what this version of cmdiad cannot read"):
        manifest_format.decode(raw, "b")


def test_a_field_called_after_a_line_break_keeps_the_error_on_one_line() -> None:
    raw = msgspec.json.encode({"signatures": [{"signed": {"format_version": 1}, "\n\x1b[2J": 1}]})
    with pytest.raises(BundleError) as refused:
        decode_signatures(raw, "b")
    assert str(refused.value).isprintable()


def test_an_array_of_no_numbers_is_read_without_taking_memory(tmp_path: Path) -> None:
    stream = io.BytesIO()
    np.save(stream, np.zeros((0, 4), np.float32))
    content = stream.getvalue()
    bundle = open_bundle(folder_of(tmp_path / "b", {"bank.npy": content}, {"bank.npy": content}))
    assert bundle.array("bank.npy").shape == (0, 4)
