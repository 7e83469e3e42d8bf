"""PackBits: every reader sees the very numbers."""

from __future__ import annotations

import imagecodecs
import numpy as np
import pytest
from cmdiad.runtime.files.packbits import pack_rows


def unpacked(packed: bytes, shape: tuple[int, int]) -> np.ndarray:
    return np.frombuffer(imagecodecs.packbits_decode(packed), np.float32).reshape(shape)


@pytest.mark.parametrize("width", [1, 2, 31, 32, 33, 63, 64, 65, 200])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 1.0])
def test_numbers_come_back(width: int, share: float) -> None:
    rng = np.random.default_rng(width)
    numbers = np.where(rng.random((50, width)) < share, rng.random((50, width)), 0).astype(np.float32)
    np.testing.assert_array_equal(unpacked(pack_rows(numbers), numbers.shape), numbers)


@pytest.mark.parametrize("first", range(0, 70, 3))
def test_zeros_end_anywhere(first: int) -> None:
    numbers = np.zeros((3, 70), np.float32)
    numbers[0, first:], numbers[1, : first + 1], numbers[2, first] = 1.5, 2.5, np.nan
    np.testing.assert_array_equal(unpacked(pack_rows(numbers), numbers.shape), numbers)


def test_negative_zeros_keep_their_sign() -> None:
    numbers = np.array([[0.0, -0.0, 0.0, -0.0]], np.float32)
    np.testing.assert_array_equal(np.signbit(unpacked(pack_rows(numbers), (1, 4))), np.signbit(numbers))


def test_views_are_packed_as_they_are_seen_and_rows_one_by_one() -> None:
    numbers = np.random.default_rng(0).random((40, 60)).astype(np.float32)[::2, ::-3]
    packed = pack_rows(numbers)
    np.testing.assert_array_equal(unpacked(packed, numbers.shape), numbers)
    assert packed == b"".join(pack_rows(numbers[row : row + 1]) for row in range(len(numbers)))
