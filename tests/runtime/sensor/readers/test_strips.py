"""Deflated strips: what they hold, and that damage is an error, also where several threads unpack them."""

from __future__ import annotations

import tracemalloc
import zlib

import numpy as np
import pytest
from cmdiad.runtime.sensor.readers.strips import inflated
from cmdiad.runtime.sensor.unpacking import UnpackingThreads

PIXELS = np.random.default_rng(0).integers(0, 50, 1000).astype(np.uint8)
STRIP = 300


def strips(padding: bytes = b"") -> list[bytes]:
    """Four strips, the last of which is shorter, or padded."""
    held = [PIXELS[start : start + STRIP].tobytes() for start in range(0, len(PIXELS), STRIP)]
    return [zlib.compress(strip + (padding if strip is held[-1] else b"")) for strip in held]


def unpacked(packed: list[bytes], threads: int = 3) -> np.ndarray:
    offsets = np.cumsum([7, *map(len, packed)])[:-1].tolist()
    together = UnpackingThreads(threads)
    with together.shared():
        image = inflated(b"HEADER:" + b"".join(packed), offsets, [len(strip) for strip in packed], STRIP, len(PIXELS))
    together.close()
    return image


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("padding", [b"", bytes(200)], ids=["short last strip", "padded last strip"])
def test_strips_lie_one_after_the_other(threads: int, padding: bytes) -> None:
    np.testing.assert_array_equal(unpacked(strips(padding), threads), PIXELS)


def test_more_strips_than_there_are_rows_for_are_not_looked_at() -> None:
    np.testing.assert_array_equal(unpacked([*strips(), b"anything"]), PIXELS)


def test_a_missing_strip_is_an_error() -> None:
    with pytest.raises(ValueError, match="3 of 4 strips"):
        unpacked(strips()[:-1])


@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda strip: strip[:-1], id="cut in its checksum"),
        pytest.param(lambda strip: strip[: len(strip) // 2], id="cut in its middle"),
        pytest.param(lambda strip: strip[:-1] + bytes([strip[-1] ^ 1]), id="another checksum"),
        pytest.param(lambda strip: zlib.compress(zlib.decompress(strip)[:-1]), id="a byte too few"),
        pytest.param(lambda strip: b"no deflate" + strip[10:], id="no header"),
        pytest.param(lambda strip: b"", id="empty"),
    ],
)
def test_a_damaged_strip_is_an_error(number: int, damage: object) -> None:
    packed = strips()
    packed[number] = damage(packed[number])  # type: ignore[operator]
    with pytest.raises(ValueError, match=r"."):
        unpacked(packed)


def test_a_strip_that_holds_more_is_an_error_and_takes_no_memory_for_it() -> None:
    packed = strips()
    packed[1] = zlib.compress(PIXELS[STRIP : 2 * STRIP].tobytes() + bytes(100_000_000))
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="strip 1: "):
            unpacked(packed)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 * 2**20
