"""The screen's bound holds for every row and query, whatever their sizes, and equal rows are searched once."""

import numpy as np
import pytest
from cmdiad.calibration.line_graph.half_screen import (
    CHUNK_ROWS,
    bounding_columns,
    first_of_equal,
    measuring_error,
    screen_width,
    screened_bank,
    summed_together,
)
from cmdiad.runtime.banks.bank import build_bank
from hypothesis import given, settings
from hypothesis import strategies as st


def half_query(query, width):
    """A scaled query as the graph gives it to the product: itself, its norm made a little larger, and ones."""
    dim = len(query)
    extended = np.ones(width, np.float32)
    extended[:dim] = query
    extended[dim] = np.float32(np.sqrt(np.sum(np.square(query, dtype=np.float32)))) * np.float32(1 + 2**-9)
    return extended.astype(np.float16)


def truncated_sum(terms):
    """Single-precision addition in the order given that drops every bit beyond the last, as tensor cores may."""
    total = 0.0
    for term in terms:
        total = float(toward_zero(total + term))
    return total


def toward_zero(value):
    rounded = np.float32(value)
    return np.nextafter(rounded, np.float32(0)) if abs(float(rounded)) > abs(value) else rounded


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([1, 3, 29, 96]),
    st.sampled_from([1e-6, 1e-3, 1.0, 16.0]),
    st.sampled_from([1e-6, 1e-2, 1.0, 300.0]),
)
def test_no_row_is_closer_than_its_product_says(seed, dim, row_scale, query_scale):
    rng = np.random.default_rng(seed)
    rows = (rng.normal(size=(6, dim)) * row_scale / np.sqrt(dim)).astype(np.float32).astype(np.float64)
    near = rows[0] + rng.normal(size=dim) * row_scale * 1e-3
    columns = bounding_columns(rows).astype(np.float64)
    assert columns.shape == (6, screen_width(dim)) and screen_width(dim) % 8 == 0
    for query in (near.astype(np.float32), (rng.normal(size=dim) * query_scale).astype(np.float32)):
        extended = half_query(query, columns.shape[1]).astype(np.float64)
        closeness = rows @ query.astype(np.float64) - 0.5 * (rows**2).sum(1)
        for order in (slice(None), slice(None, None, -1)):
            products = [truncated_sum((row * extended)[order]) for row in columns]
            assert (np.array(products) >= closeness).all()


def test_the_bound_is_close_enough_to_be_of_use():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(50, 768)) * 16 / np.sqrt(768)
    query = (rows[7] + rng.normal(size=768) * 0.15 * 16 / np.sqrt(768)).astype(np.float32)
    products = bounding_columns(rows).astype(np.float64) @ half_query(query, screen_width(768)).astype(np.float64)
    closeness = rows @ query - 0.5 * (rows**2).sum(1)
    sq_distance = ((rows[7] - query) ** 2).sum()
    assert products[7] - closeness[7] < 0.1 * 0.5 * sq_distance


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_equal_rows_are_searched_once_and_all_have_a_place(dtype):
    rng = np.random.default_rng(3)
    rows = rng.normal(size=(40, 5)).astype(np.float32)
    rows[[9, 20, 33]] = rows[4]
    rows[30] = -0.0 * rows[30]
    rows[31] = 0.0
    np.testing.assert_array_equal(np.flatnonzero(first_of_equal(rows) != np.arange(40)), [9, 20, 31, 33])
    bank = build_bank(rows, dtype=dtype)
    laid_out = screened_bank(bank)
    assert laid_out.rows.dtype == dtype and len(laid_out.order) % CHUNK_ROWS == 0
    assert set(laid_out.order) == set(range(40)) - {9, 20, 31, 33}
    np.testing.assert_array_equal(laid_out.rows, bank.rows[laid_out.order])
    np.testing.assert_array_equal(laid_out.rows[laid_out.place], bank.rows)
    assert laid_out.place[20] == laid_out.place[4]


def test_slices_of_nearly_equal_rows_leave_room_for_queries_that_are_far():
    rng = np.random.default_rng(1)
    rows = np.concatenate([rng.normal(size=(200, 8)), 5 + 1e-5 * rng.normal(size=(200, 8))]).astype(np.float32)
    laid_out = screened_bank(build_bank(rows))
    assert len(laid_out.slices) == 2
    longest = np.linalg.norm(rows - rows.mean(0), axis=1).max()
    assert all(piece.scale * 4 * longest < 65504 for piece in laid_out.slices)
    assert all(np.isfinite(stripe).all() for piece in laid_out.slices for stripe in piece.stripes)


def test_two_measured_distances_are_told_apart_by_more_than_both_are_off():
    assert summed_together(768) == 32 and summed_together(29) == 29 and summed_together(37) == 1
    assert 0 < measuring_error(768) < 5e-5
