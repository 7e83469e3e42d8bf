"""Padding, sampling and the way back, on odd and non-square inputs."""

from __future__ import annotations

import numpy as np
import pytest
from cmdiad.runtime.errors import ScanError
from cmdiad.runtime.preparation.frame import (
    SIZE,
    Frame,
    map_to_input,
    prepare_mask,
    prepare_rgb,
    sample_nearest,
    sample_part,
)
from hypothesis import given, settings
from hypothesis import strategies as st

SHAPES = [(800, 800), (801, 400), (123, 457), (7, 5), (224, 224), (300, 1)]
shapes = pytest.mark.parametrize("shape", SHAPES, ids=str)
sides = st.integers(1, 260)


def frame_of(shape: tuple[int, int]) -> Frame:
    return Frame.of(*shape, pad_multiple=100, size=224)


@shapes
def test_the_padded_side_is_the_next_multiple_of_a_hundred_and_the_input_centered(
    shape: tuple[int, int],
) -> None:
    frame = frame_of(shape)
    assert frame.side % 100 == 0
    assert 0 <= frame.side - max(shape) < 100
    assert abs(frame.top - (frame.side - frame.height - frame.top)) <= 1
    assert abs(frame.left - (frame.side - frame.width - frame.left)) <= 1


@shapes
def test_samples_are_the_padded_square_at_floor_of_i_side_over_224(shape: tuple[int, int]) -> None:
    values = np.random.default_rng(0).normal(size=(*shape, 3)).astype(np.float32)
    frame = frame_of(shape)
    padded = np.zeros((frame.side, frame.side, 3), np.float32)
    padded[frame.top : frame.top + shape[0], frame.left : frame.left + shape[1]] = values
    source = [(i * frame.side) // 224 for i in range(224)]
    np.testing.assert_array_equal(sample_nearest(values, frame), padded[np.ix_(source, source)])


@pytest.mark.parametrize("dtype, on", [(np.bool_, True), (np.uint8, 1), (np.uint8, 255), (np.float32, 0.6)])
def test_a_mask_follows_the_points(dtype: type, on: float) -> None:
    where = np.random.default_rng(1).random((123, 457)) > 0.5
    frame = frame_of((123, 457))
    mask = prepare_mask(np.where(where, on, 0).astype(dtype), frame)
    assert mask.dtype == np.bool_
    np.testing.assert_array_equal(mask, sample_nearest(where, frame))


def test_a_mask_of_at_most_one_half_is_off() -> None:
    assert not prepare_mask(np.full((50, 60), 0.5, np.float32), frame_of((50, 60))).any()


def test_the_image_is_padded_and_zeroed_where_there_is_no_part() -> None:
    rgb = np.random.default_rng(2).integers(1, 256, (81, 120, 3), dtype=np.uint8)
    kept = np.random.default_rng(3).random((81, 120)) > 0.3
    frame = frame_of((81, 120))
    image = prepare_rgb(rgb, kept, frame)
    assert image.shape == (200, 200, 3)
    inside = image[frame.top : frame.top + 81, frame.left : frame.left + 120]
    np.testing.assert_array_equal(inside, rgb * kept[..., None])
    assert image.astype(int).sum() == inside.astype(int).sum()


@shapes
def test_a_constant_map_stays_constant(shape: tuple[int, int]) -> None:
    back = map_to_input(np.full((224, 224), 0.7, np.float32), frame_of(shape))
    assert back.shape == shape
    assert back.dtype == np.float32
    np.testing.assert_allclose(back, 0.7, rtol=1e-6)


@shapes
def test_what_was_sampled_from_a_pixel_comes_back_to_that_pixel(shape: tuple[int, int]) -> None:
    frame = frame_of(shape)
    scan = np.random.default_rng(4).random(shape).astype(np.float32)
    rows, columns = (np.unique(np.arange(224) * frame.side // 224 - offset) for offset in (frame.top, frame.left))
    sampled = np.ix_(rows[(rows >= 0) & (rows < shape[0])], columns[(columns >= 0) & (columns < shape[1])])
    back = map_to_input(sample_nearest(scan, frame), frame)
    np.testing.assert_allclose(back[sampled], scan[sampled], rtol=1e-6)


@shapes
def test_a_ramp_over_the_scan_comes_back_as_itself(shape: tuple[int, int]) -> None:
    frame = frame_of(shape)
    taken = (np.arange(224) * frame.side // 224).astype(np.float32)
    rows, columns = np.mgrid[: frame.height, : frame.width]
    for ramp, truth in [
        (np.repeat(taken[:, None], 224, 1), rows + frame.top),
        (np.repeat(taken[None], 224, 0), columns + frame.left),
    ]:
        np.testing.assert_allclose(map_to_input(ramp, frame), truth.clip(0, taken[-1]), atol=1e-3)


@pytest.mark.parametrize("side", [100, 200, 300, 400, 800, 1500])
def test_turning_the_scan_by_180_degrees_turns_the_map(side: int) -> None:
    # Turned, other pixels are sampled, and none beyond the last of them: what is left of that is a scan's curvature
    # between two samples, and the edge.
    frame = frame_of((side, side))
    angle = np.arange(side) * (2 * np.pi / side)
    scan = (np.sin(2 * angle)[:, None] * np.cos(3 * angle)).astype(np.float32)
    straight = map_to_input(sample_nearest(scan, frame), frame)
    turned = map_to_input(sample_nearest(scan[::-1, ::-1].copy(), frame), frame)[::-1, ::-1]
    edge = -(-side // 224)
    inside = slice(edge, side - edge)
    curvature = (4**2 + 6**2) * np.pi**2 / side**2
    np.testing.assert_allclose(straight[inside, inside], turned[inside, inside], atol=edge**2 / 8 * curvature + 1e-6)
    # Half a network pixel's shift would be far outside.
    assert np.abs(np.gradient(scan, axis=1)).max() * side / 224 > 4 * (edge**2 / 8 * curvature + 1e-6)


@shapes
def test_a_map_of_an_image_comes_back_by_its_centers(shape: tuple[int, int]) -> None:
    frame = frame_of(shape)
    centers = ((np.arange(224) + 0.5) * frame.side / 224).astype(np.float32)
    rows, columns = np.mgrid[: frame.height, : frame.width] + 0.5
    half_pixel = frame.side / 448
    for ramp, truth in [
        (np.repeat(centers[:, None], 224, 1), rows + frame.top),
        (np.repeat(centers[None], 224, 0), columns + frame.left),
    ]:
        expected = truth.clip(half_pixel, frame.side - half_pixel)
        np.testing.assert_allclose(map_to_input(ramp, frame, of_image=True), expected, atol=1e-3)


@given(height=sides, width=sides, row=st.floats(0.05, 0.95), column=st.floats(0.05, 0.95))
@settings(max_examples=40, deadline=None)
def test_a_spot_comes_back_where_it_was(height: int, width: int, row: float, column: float) -> None:
    frame = frame_of((height, width))
    at = int(row * height), int(column * width)
    i, j = ((np.array(at) + [frame.top, frame.left] + 0.5) * 224 / frame.side).astype(int)
    spot = np.zeros((224, 224), np.float32)
    spot[i, j] = 1
    back = map_to_input(spot, frame)
    assert np.hypot(*(np.argwhere(back == back.max()) - at).T).min() <= frame.side / 224 + 1


def test_another_size_than_the_scan_is_refused() -> None:
    frame = frame_of((40, 50))
    with pytest.raises(ScanError, match=r"mask.*\(40, 51\).*\(40, 50\)"):
        prepare_mask(np.zeros((40, 51), bool), frame)
    with pytest.raises(ScanError, match=r"image.*registered"):
        prepare_rgb(np.zeros((50, 40, 3), np.uint8), np.zeros((50, 40), bool), frame)


def test_a_map_in_the_inputs_pixels_lies_row_by_row() -> None:
    map_nn = np.random.default_rng(0).random((SIZE, SIZE), dtype=np.float32)
    assert map_to_input(map_nn, Frame.of(300, 400, 100, SIZE)).flags.c_contiguous


def window_of(shape: tuple[int, int], box: tuple[slice, slice], side: int) -> tuple[Frame, np.ndarray, np.ndarray]:
    """A window, random values, and the window's square made the plain way."""
    frame = Frame.around(*shape, box, side, 224)
    values = np.random.default_rng(5).random(shape).astype(np.float32) + 1
    row, column = ((extent.start + extent.stop) // 2 - side // 2 for extent in box)
    padded = np.pad(values, side)
    return frame, values, padded[row + side : row + 2 * side, column + side : column + 2 * side]


BOXES = [
    (slice(300, 420), slice(100, 300)),
    (slice(0, 40), slice(0, 30)),
    (slice(780, 801), slice(380, 400)),
]


@pytest.mark.parametrize("box", BOXES, ids=["inside", "first corner", "last corner"])
@pytest.mark.parametrize("side", [224, 301])
def test_a_window_shows_the_square_around_its_box(box: tuple[slice, slice], side: int) -> None:
    frame, values, square = window_of((801, 400), box, side)
    source = np.arange(224) * side // 224
    np.testing.assert_array_equal(sample_nearest(values, frame), square[np.ix_(source, source)])
    shown = sample_nearest(values > 1.5, frame)
    planes = np.stack([values, values + 1, 2 * values])
    expected = sample_nearest(np.moveaxis(planes, 0, -1), frame) * shown[..., None]
    np.testing.assert_array_equal(sample_part(planes, shown, frame), expected)
    rgb = np.repeat((values * 100).astype(np.uint8)[..., None], 3, axis=2)
    image = prepare_rgb(rgb, np.ones((801, 400), bool), frame)
    np.testing.assert_array_equal(image[..., 0], (square * 100).astype(np.uint8))


@pytest.mark.parametrize("box", BOXES, ids=["inside", "first corner", "last corner"])
def test_a_windows_map_comes_back_to_its_own_pixels_and_nowhere_else(box: tuple[slice, slice]) -> None:
    frame, values, _ = window_of((801, 400), box, 224)
    back = map_to_input(sample_nearest(values, frame), frame)
    inside = np.zeros((801, 400), bool)
    inside[frame.inside] = True
    np.testing.assert_allclose(back[inside], values[inside], rtol=1e-6)
    assert not back[~inside].any()
    assert inside[box].all()


@given(sides, sides, st.integers(0, 259), st.integers(0, 259), st.integers(1, 400))
@settings(max_examples=60, deadline=None)
def test_a_window_and_its_input_agree_on_where_they_overlap(
    height: int, width: int, row: int, column: int, side: int
) -> None:
    row, column = min(row, height - 1), min(column, width - 1)
    frame = Frame.around(height, width, (slice(row, row + 1), slice(column, column + 1)), side, 224)
    input_part, square_part = np.zeros((height, width))[frame.inside], np.zeros((side, side))[frame.within]
    assert input_part.shape == square_part.shape and input_part.size
