"""PNG files: every reader sees the very pixels."""

from __future__ import annotations

import io
from typing import Any

import imagecodecs
import numpy as np
import pytest
from cmdiad.runtime.files.png import encode_png
from PIL import Image


def noise(height: int, width: int) -> Any:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 40), (40, 1), (33, 57), (300, 400)])
def test_the_pixels_come_back(height: int, width: int) -> None:
    picture = noise(height, width)
    data = encode_png(picture)
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        assert (image.format, image.mode) == ("PNG", "RGB")
        np.testing.assert_array_equal(np.array(image), picture)
    np.testing.assert_array_equal(imagecodecs.png_decode(data), picture)


def test_a_view_is_written_as_it_is_seen() -> None:
    picture = noise(64, 64)[::2, ::-1]
    with Image.open(io.BytesIO(encode_png(picture))) as image:
        np.testing.assert_array_equal(np.array(image), picture)


def test_equal_pictures_give_equal_bytes_and_smooth_ones_small_files() -> None:
    smooth = np.broadcast_to(np.arange(400, dtype=np.uint16)[:, None, None] // 2, (400, 400, 3)).astype(np.uint8)
    assert encode_png(smooth) == encode_png(smooth.copy())
    assert len(encode_png(smooth)) < smooth.nbytes / 100
