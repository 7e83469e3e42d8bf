"""PNG of 16-bit gray, and the images that are no scans."""

import io
import struct
import zlib

import numpy as np
import pytest
from cmdiad.runtime.errors import ScanError
from cmdiad.runtime.sensor.readers import decode_scan
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

DEPTH = np.random.default_rng(0).integers(0, 65536, (12, 17)).astype(np.uint16)


def png(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def declaring(width: int, height: int) -> bytes:
    """A PNG of 16-bit gray that declares a size, with hardly a pixel."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        checked = kind + content
        return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))

    head = struct.pack(">IIBBBBB", width, height, 16, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 9)) + chunk(b"IEND", b"")


def test_16_bits_come_back() -> None:
    read = decode_scan(png(DEPTH)).numbers
    assert read.dtype == np.uint16
    np.testing.assert_array_equal(read, DEPTH)


@pytest.mark.parametrize(
    ("case", "data", "says"),
    [
        ("color", png(np.zeros((4, 5, 3), np.uint8)), "PNG image, not a scan .its mode RGB"),
        ("8-bit gray", png(np.zeros((4, 5), np.uint8)), "its mode L"),
        ("one row", png(DEPTH[:1]), "1 x 17"),
        ("too large", declaring(100_000, 100_000), "more pixels than the"),
        ("more than it holds", declaring(5000, 5000), "more pixels than it can hold"),
        ("truncated", png(DEPTH)[:-40], "damaged or truncated PNG"),
        ("magic alone", b"\x89PNG", "damaged or truncated PNG"),
    ],
)
def test_what_is_no_scan_is_refused(case: str, data: bytes, says: str) -> None:
    with pytest.raises(ScanError, match=says):
        decode_scan(data)


@given(st.integers(4, len(png(DEPTH)) - 1), st.integers(0, 255))
@settings(max_examples=150, deadline=None)
def test_a_changed_byte_is_read_or_refused(place: int, value: int) -> None:
    data = bytearray(png(DEPTH))
    data[place] = value
    try:
        assert decode_scan(bytes(data)).numbers.ndim == 2
    except ScanError as error:
        assert "\n" not in str(error)
