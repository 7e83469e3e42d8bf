"""Damage that knows the formats: the tags of TIFF, the chunks of PNG, the headers of NPY, the members of zip files."""

from __future__ import annotations

import io
import random
import struct
import warnings
import zipfile
import zlib
from collections.abc import Sequence
from functools import lru_cache

from cmdiad.benchmarks.fuzz.mutation import EDGES, MOST_BYTES, damage_bytes, damage_text

_SHAPES = (
    *("(0, 0, 3)", "(1, 1, 3)", "(1, 99, 3)", "(8192, 8192, 3)", "(8193, 8192, 3)", "(4294967296, 4294967296, 3)"),
    *("(-2, -2, 3)", "(2, 2, 9223372036854775807)", "()", "(3,)", "(2, 2, 3,)", "(True, 2, 3)", "(2.0, 2, 3)"),
    *("(" * 400, "[2, 2, 3]", "None", "(2**70, 2, 3)", "(24, 32, 3)"),
)
_TYPES = (
    *("<f4", ">f8", "<f2", "|O", "|V4", "<U3", "<c8", "<M8[s]", "|b1", "<i8", "<u1", "<f16", "|S9999999", ""),
    *("f4,f4", "<f4" * 500, "(2147483647,)<f4"),
)
_HOSTILE_LENGTHS = ("element vertex 99999999", "element vertex 67108864", "element range_grid 67108864", "COUNT 9 9 9")
_HEADER_WORDS = (
    *("0", "1", "2", "-1", "99999999", "67108864", "8192", "9" * 18, "9" * 30, "nan", "1.#QNAN", "1e999", "1_0", ""),
    *("list", "uchar", "int8", "float", "double", "x", "y", "z", "vertex", "camera", "range_grid", "viewportx"),
    *(
        "binary_little_endian",
        "binary_big_endian",
        "ascii",
        "binary_compressed",
        "F",
        "I",
        "U",
        "8",
        "4",
        "#",
        "end_header",
    ),
    *("property", "property list uchar int vertex_indices", "comment width 9", "obj_info num_cols 32", "DATA", "\r"),
    *_HOSTILE_LENGTHS,
)


def damage_scan(chance: random.Random, data: bytes, others: Sequence[bytes] = ()) -> bytes:
    """Of a file in any of the formats of scans and images."""
    if chance.random() < 0.25:
        return damage_bytes(chance, data, others)
    if data[:2] in (b"II", b"MM"):
        return _damage_tiff(chance, data)
    if data.startswith(b"\x93NUMPY"):
        return _damage_npy(chance, data)
    if data.startswith(b"PK"):
        return _damage_npz(chance, data)
    if data.startswith(b"\x89PNG"):
        return _damage_png(chance, data)
    if data.startswith(b"\xff\xd8"):
        return _damage_jpeg(chance, data)
    if data.startswith((b"ply", b"#", b"VERSION")):
        return _damage_header(chance, data, others)
    return damage_bytes(chance, data, others)


def _damage_tiff(chance: random.Random, data: bytes) -> bytes:
    """Entries of the first directory: counts, types, values, twins; and offsets that lead in circles."""
    order, is_big = "<" if data[:2] == b"II" else ">", data[2:4] in (b"\x2b\0", b"\0\x2b")
    offset_form, count_form, entry_size = ("Q", "Q", 20) if is_big else ("I", "H", 12)
    changed = bytearray(data)
    try:
        (start,) = struct.unpack_from(order + offset_form, data, 8 if is_big else 4)
        (count,) = struct.unpack_from(order + count_form, data, start)
        first = start + struct.calcsize(count_form)
        entries = [bytearray(data[first + entry_size * n :][:entry_size]) for n in range(min(count, 200))]
        next_at = first + entry_size * count
        for _ in range(chance.choice((1, 1, 2, 3))):
            _damage_entry(chance, entries, order + offset_form, len(data))
        if chance.random() < 0.15:
            target = chance.choice((start, 0, 1, len(data), 2**32 - 1))
            struct.pack_into(order + offset_form, changed, next_at, target)
        if len(entries) == count:
            changed[first:next_at] = b"".join(entries)
        else:  # the directory grows: it moves to the end
            place = len(changed)
            struct.pack_into(order + offset_form, changed, 8 if is_big else 4, place)
            changed += struct.pack(order + count_form, len(entries)) + b"".join(entries)
            changed += struct.pack(order + offset_form, chance.choice((0, start, place)))
    except (struct.error, IndexError, OverflowError):  # what an earlier damage left of it
        return damage_bytes(chance, data)
    return bytes(changed[:MOST_BYTES])


def _damage_entry(chance: random.Random, entries: list[bytearray], form: str, n_bytes: int) -> None:
    if not entries:
        return
    entry = chance.choice(entries)
    value_at = 12 if form[1] == "Q" else 8
    kind = chance.randrange(7)
    limit = (1 << 8 * struct.calcsize(form)) - 1
    if kind == 0:
        struct.pack_into(form, entry, value_at, chance.choice((*EDGES, n_bytes, n_bytes - 1)) & limit)
    elif kind == 1:
        struct.pack_into(form, entry, 4, chance.choice((*EDGES, n_bytes // 4)) & limit)
    elif kind == 2:
        struct.pack_into(form[0] + "H", entry, 2, chance.choice((1, 2, 3, 4, 5, 7, 11, 12, 13, 16, 17, 18, 99)))
    elif kind == 3:
        # Predictor, planar configuration, tiles, SubIFDs, sample format, and those of other kinds of TIFF.
        tag = chance.choice((254, 256, 257, 258, 259, 262, 273, 277, 278, 279, 284, 317, 322, 323, 324, 325, 330, 339))
        struct.pack_into(form[0] + "H", entry, 0, chance.choice((tag, 33628, 34118, 34412, 50838, 65420, 700)))
    elif kind == 4:
        entries.remove(entry)
    else:
        # The same values many times over, as a reader that takes every one would have to hold them.
        struct.pack_into(form, entry, 4, chance.choice((1, n_bytes // 8, n_bytes // 4)) & limit)
        struct.pack_into(form, entry, value_at, 8)
        entries += [bytearray(entry) for _ in range(chance.choice((1, 30, 1000)))]


def _damage_npy(chance: random.Random, data: bytes) -> bytes:
    start = data.find(b"\n") + 1
    shape, dtype = chance.choice(_SHAPES), chance.choice(_TYPES)
    order = chance.choice(("True", "False", "False", "0", "[]"))
    kind = chance.randrange(5)
    if kind == 0:
        return damage_bytes(chance, data[:start]) + data[start:]
    if kind == 1:
        header = f"{{'descr': [('x', '{dtype}', {shape})], 'fortran_order': False, 'shape': (2, 2, 3), }}"
    elif kind == 2:
        header = f"{{'descr': '{dtype}', 'fortran_order': {order}, 'shape': (24, 32, 3), }}"
    elif kind == 3:
        header = f"{{'descr': '<f4', 'fortran_order': {order}, 'shape': {shape}, }}"
    else:
        header = chance.choice(
            ("{" * 5000, "'" * 3000, "(" * 9000, "\\" * 99, "-" * 9000, "{'a': b'\xff'}", "\0", "  x\n x")
        )
    return npy_bytes(header, data[start:])


def npy_bytes(header: str, body: bytes) -> bytes:
    """An NPY file of version 1 with any header."""
    text = header.encode("latin-1", "replace")[:65535]
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + body


def _damage_npz(chance: random.Random, data: bytes) -> bytes:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = [(entry.filename, archive.read(entry)) for entry in archive.infolist()]
    except (zipfile.BadZipFile, ValueError, RuntimeError, OSError, zlib.error):
        return damage_bytes(chance, data)
    names = ("points.npy", "xyz.npy", "points", "../points.npy", "", "a" * 3000, "other.npy")
    stream = io.BytesIO()
    compression = chance.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    with warnings.catch_warnings(), zipfile.ZipFile(stream, "w", compression) as archive:
        warnings.simplefilter("ignore")  # two members of one name
        for name, content in members * chance.choice((1, 1, 2)):
            damaged = _damage_npy(chance, content) if chance.random() < 0.7 else content
            written = chance.choice(names) if chance.random() < 0.3 else name
            if chance.random() < 0.1:
                damaged = npy_bytes(
                    "{'descr': '<f8', 'fortran_order': False, 'shape': (1024, 1024, 3), }", b""
                ) + bytes(24 * 2**20)
            archive.writestr(zipfile.ZipInfo(written or "a"), damaged, archive.compression)
    changed = stream.getvalue()
    return damage_bytes(chance, changed) if chance.random() < 0.3 else changed


def _damage_png(chance: random.Random, data: bytes) -> bytes:
    """Chunks with wrong numbers and right checksums, further chunks, and data that are too long or too short."""
    chunks, place = [], 8
    while place + 8 <= len(data):
        (length,) = struct.unpack_from(">I", data, place)
        chunks.append([data[place + 4 : place + 8], data[place + 8 : place + 8 + length]])
        place += 12 + length
    for _ in range(chance.choice((1, 1, 2))):
        kind, chunk = chance.randrange(5), chance.choice(chunks) if chunks else [b"IDAT", b""]
        if kind == 0 and chunks:
            head = bytearray(chunks[0][1].ljust(13, b"\0"))
            place = chance.choice((0, 4, 8, 9, 12))
            form, most = (">I", 2**32 - 1) if place < 8 else (">B", 255)
            struct.pack_into(form, head, place, chance.choice((*EDGES, 8192, 16, 3, 6)) & most)
            chunks[0][1] = bytes(head)
        elif kind == 1:
            chunk[1] = damage_bytes(chance, chunk[1])
        elif kind == 2:
            chunks.insert(chance.randint(0, len(chunks)), list(chunk))
        elif kind == 3:
            bomb = _packed_zeros(chance.choice((10, 2_000_000, 40_000_000)))
            named = [[b"iCCP", b"a\0\0" + bomb], [b"zTXt", b"a\0\0" + bomb], [b"iTXt", b"a\0\1\0\0\0" + bomb]]
            chunks[1:1] = [chance.choice(named)] * chance.choice((1, 40))
        else:
            chunk[0] = chance.choice(
                (b"PLTE", b"tRNS", b"acTL", b"fcTL", b"fdAT", b"gAMA", b"eXIf", b"IEND", b"\0\0\0\0")
            )
    return data[:8] + b"".join(png_chunk(*chunk) for chunk in chunks)


@lru_cache(maxsize=4)
def _packed_zeros(size: int) -> bytes:
    return zlib.compress(bytes(size), 9)


def png_chunk(name: bytes, content: bytes) -> bytes:
    """A chunk with its length and checksum."""
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def _damage_jpeg(chance: random.Random, data: bytes) -> bytes:
    """The sides of the image, and scans many times over."""
    changed = bytearray(data)
    frame = max(data.find(b"\xff\xc0"), data.find(b"\xff\xc2"))
    if frame >= 0 and len(data) > frame + 9 and chance.random() < 0.5:
        struct.pack_into(">H", changed, frame + chance.choice((5, 7)), chance.choice((0, 1, 8192, 65500, 65535)))
    scan = data.find(b"\xff\xda")
    if scan >= 0 and chance.random() < 0.5:
        end = data.find(b"\xff\xda", scan + 2)
        piece = data[scan : end if end > 0 else -2]
        changed[scan:scan] = piece * chance.choice((1, 20, 300))
    return damage_bytes(chance, bytes(changed)) if chance.random() < 0.3 else bytes(changed[:MOST_BYTES])


def _damage_header(chance: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """The header of PLY or PCD; its body stays."""
    end = max(data.find(b"end_header"), data.find(b"DATA "))
    at = data.find(b"\n", max(end, 0)) + 1 or len(data)
    head = damage_text(chance, data[:at], others, _HEADER_WORDS)
    body = damage_bytes(chance, data[at:]) if chance.random() < 0.2 else data[at:]
    return (head + body)[:MOST_BYTES]
