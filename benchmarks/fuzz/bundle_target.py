"""Bundles as whole archives and folders, with names, sizes, headers and digests that lie."""

from __future__ import annotations

import hashlib
import io
import json
import random
import re
import shutil
import struct
import tempfile
import warnings
import zipfile
import zlib
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from cmdiad.benchmarks.fuzz.file_damage import npy_bytes
from cmdiad.benchmarks.fuzz.mutation import EDGES, damage_bytes, damage_json, with_another_value

_DIGEST = re.compile(rb'"digest"\s*:\s*"([^"\\]*)"')
_BLANK = b"0" * 64
_COMMENT_BYTES = 64
_NAMES = (
    *("../outside", "/etc/passwd", "a\\b", "C:x", ".", "", "a/../b", "./bank_main.npy", "x" * 300, "a\0b", "nul", "é"),
    *("bank_main.npy/", "//x", "manifest.json", "signature.json", "link", "fifo", "folder", "a\nb", "\u202ex"),
)
_HEADERS = (
    "{'descr': '|O', 'fortran_order': False, 'shape': (6, 4), }",
    "{'descr': '<f4', 'fortran_order': True, 'shape': (6, 4), }",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999, 99999999999), }",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (-6, -4), }",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (6, 4)",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (6L, 4L), }",
    "(" * 9000,
    "'",
    "",
    "  x\n x",
)


class BundleTarget:
    """`open_bundle` of the archive, or of the same files in a folder, then everything in it."""

    def __init__(self) -> None:
        """The folder is removed by `close`."""
        self._folder = tempfile.TemporaryDirectory(prefix="cmdiad-fuzz-")
        self._root = Path(self._folder.name)

    def mutator(self, chance: random.Random, data: bytes, others: Sequence[bytes], /) -> bytes:
        """Damage with the digests made right again, so that it gets past them; sometimes without."""
        kind = chance.randrange(10)
        if kind == 0:
            return damage_bytes(chance, data, others)
        if kind <= 2:
            return with_own_comment(damage_bytes(chance, data, others))
        if kind == 3:
            return with_own_comment(_damage_end(chance, data))
        return _with_other_members(chance, data)

    def feed(self, data: bytes) -> None:
        """See `Target`."""
        from cmdiad.runtime.bundle.reading import open_bundle

        path = self._root / "bundle.cmdiad"
        path.write_bytes(data)
        if zlib.crc32(data) % 3 == 0:
            path = self._unpacked(data)
        bundle = open_bundle(path)
        bundle.signature_in_words()
        for name in bundle.manifest.files:
            bundle.read(name)
            if name.endswith(".npy"):
                bundle.array(name).sum()

    def close(self) -> None:
        """See `Target`."""
        self._folder.cleanup()

    def _unpacked(self, data: bytes) -> Path:
        """The members that can be files, in a folder; beside them a link that leads outside, and one in a circle."""
        folder = self._root / "folder"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        (folder / "link").symlink_to("/etc/passwd")
        (folder / "circle").symlink_to("circle")
        # What is no zip file, or a name that is no file's, is left out.
        with suppress(Exception), zipfile.ZipFile(io.BytesIO(data)) as archive:
            for member in archive.infolist():
                with suppress(OSError, ValueError, zipfile.BadZipFile, RuntimeError):
                    file = folder / member.filename
                    if file.resolve().is_relative_to(folder):
                        file.parent.mkdir(parents=True, exist_ok=True)
                        file.write_bytes(archive.read(member))
        return folder


def with_own_digest(manifest: bytes) -> bytes:
    """A manifest's bytes with the digest that they have, where there is a digest in them."""
    stated = _DIGEST.search(manifest)
    if stated is None or not stated[1]:
        return manifest
    blank = manifest.replace(stated[1], _BLANK, 1)
    return blank.replace(_BLANK, hashlib.sha256(blank).hexdigest().encode(), 1)


def with_own_comment(archive: bytes) -> bytes:
    """An archive's bytes with the digest of all of them as its comment, which are its last 64."""
    return archive[:-_COMMENT_BYTES] + hashlib.sha256(archive[:-_COMMENT_BYTES]).hexdigest().encode()


def archive_of(members: Sequence[tuple[str, bytes]], compression: int = zipfile.ZIP_STORED) -> bytes:
    """An archive of a bundle's form, whatever its members are."""
    stream = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(stream, "w", compression) as archive:
        warnings.simplefilter("ignore")  # two members of one name
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name or "-"), content, compression)
        archive.comment = b"0" * _COMMENT_BYTES
    return with_own_comment(stream.getvalue())


def members_of(archive: bytes) -> list[tuple[str, bytes]]:
    """Names and contents."""
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        return [(entry.filename, opened.read(entry)) for entry in opened.infolist()]


def _with_other_members(chance: random.Random, data: bytes) -> bytes:
    try:
        members = dict(members_of(data))
        manifest = json.loads(members.pop("manifest.json"))
        assert isinstance(manifest, dict)
    except Exception:  # whatever an earlier damage left of it
        return damage_bytes(chance, data)
    others = _damaged_members(chance, members)
    manifest["files"] = {name: hashlib.sha256(content).hexdigest() for name, content in others}
    if chance.random() < 0.4:
        manifest = _damaged_manifest(chance, manifest)
    raw = with_own_digest(json.dumps(manifest).encode())
    if chance.random() < 0.1:
        raw = with_own_digest(damage_json(chance, raw))
    listed = [("manifest.json", raw), *others]
    if chance.random() < 0.1:
        listed.append(chance.choice(listed))
    chance.shuffle(listed)
    with_names = [(name.replace("\0", "?"), content) for name, content in listed]
    compression = zipfile.ZIP_DEFLATED if chance.random() < 0.05 else zipfile.ZIP_STORED
    return archive_of(with_names, compression)


def _damaged_members(chance: random.Random, members: dict[str, bytes]) -> list[tuple[str, bytes]]:
    damaged = list(members.items())
    for _ in range(chance.choice((0, 1, 1, 2))):
        place = chance.randrange(len(damaged)) if damaged else 0
        kind = chance.randrange(6)
        if kind == 0 and damaged:
            damaged[place] = (damaged[place][0], damage_bytes(chance, damaged[place][1]))
        elif kind in (1, 2) and damaged:
            damaged[place] = ("bank_main.npy", npy_bytes(chance.choice(_HEADERS), bytes(96)))
        elif kind == 3 and damaged:
            damaged[place] = (chance.choice(_NAMES), damaged[place][1])
        elif kind == 4 and damaged:
            del damaged[place]
        else:
            damaged.append((chance.choice(_NAMES), chance.randbytes(8)))
    return damaged


def _damaged_manifest(chance: random.Random, manifest: dict[str, Any]) -> dict[str, Any]:
    kind = chance.randrange(4)
    if kind == 0:
        listed = {f"f{number}": hashlib.sha256(b"").hexdigest() for number in range(chance.choice((300, 10_000)))}
        return {**manifest, "files": listed}
    if kind == 1:
        return {**manifest, "files": {**manifest["files"], chance.choice(_NAMES): chance.choice(("", "0" * 64, "zz"))}}
    changed = with_another_value(chance, manifest)
    return changed if isinstance(changed, dict) else manifest


def _damage_end(chance: random.Random, data: bytes) -> bytes:
    """The record of the table of contents, and the entries in it."""
    changed = bytearray(data)
    end = data.rfind(b"PK\x05\x06")
    if end < 0:
        return damage_bytes(chance, data)
    form, place = chance.choice((("<H", 8), ("<H", 10), ("<I", 12), ("<I", 16), ("<H", 20)))
    entry = data.find(b"PK\x01\x02")
    if chance.random() < 0.6 and entry >= 0:
        end = entry
        form, place = chance.choice((("<H", 8), ("<H", 10), ("<I", 20), ("<I", 24), ("<H", 28), ("<H", 30), ("<I", 42)))
    number = chance.choice((*EDGES, len(data))) & ((1 << 8 * struct.calcsize(form)) - 1)
    with suppress(struct.error):
        struct.pack_into(form, changed, end + place, number)
    if chance.random() < 0.2:
        # The record of larger archives, which counts in place of the plain one.
        at, big = data.rfind(b"PK\x05\x06"), [chance.choice((*EDGES, len(data))) for _ in range(4)]
        record = b"PK\x06\x06" + struct.pack("<QHHIIQQQQ", 44, 45, 45, 0, 0, *big)
        changed[at:at] = record + b"PK\x06\x07" + struct.pack("<IQI", 0, at, 1)
    return bytes(changed)
