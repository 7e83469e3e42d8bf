"""A bank laid out for the line graph: what one half-precision product needs to bound how near every row can be.

Around the center of its slice a row is short, and so is every query that is near it: rounding, which grows with both,
then confuses few rows. The rounding of each row stands beside it as a column of its own, so that the product is not an
estimate but a bound. Why it holds: docs/search.md, section 7, whose numbers (4) to (6) stand beside the code.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ...runtime.banks.bank import MemoryBank
from .bank_slices import BankSlice, slice_bank

Float16Array = npt.NDArray[np.float16]
Float64Array = npt.NDArray[np.float64]
IndexArray = npt.NDArray[np.int64]

# Rows of a chunk, of which only the nearest one's bound is looked at, and chunks that are measured.
CHUNK_ROWS = 4
CHOSEN_CHUNKS = 8
# The longest row of a slice is scaled to at most this, and the longest of the bank to at most that: half precision
# ends at 65,504, and has room for queries that are far from the slice.
LONGEST_OF_SLICE, LONGEST_OF_BANK = 16.0, 4096.0
# Unit roundoffs of half and single precision. Tensor cores may truncate where they add: twice the unit.
HALF, SINGLE = 2.0**-11, 2.0**-24
TRUNCATING = 2.0 * SINGLE
# Half of the smallest number of half precision: what rounding to it takes at least.
SMALLEST = 2.0**-25
# Products of tensor cores want rows of a multiple of 16 bytes.
WIDTH_MULTIPLE = 8
# A query's norm is made larger by this share, more than single and half precision can take away.
NORM_MARGIN = 2.0**-9


@dataclass(frozen=True)
class SliceScreen:
    """The rows of a slice as the screen multiplies them.

    Attributes:
        center: (d,) float32, what is subtracted from queries and rows.
        scale: what both are multiplied by; a power of two, so that nothing is rounded.
        stripes: `CHUNK_ROWS` matrices (w, c) float16; column j of the k-th is the k-th row of chunk j: the scaled row,
            the share of a query's norm by which rounding can hide it (5), and in two parts its constant (6).
    """

    center: npt.NDArray[np.float32]
    scale: float
    stripes: tuple[Float16Array, ...]


@dataclass(frozen=True)
class ScreenedBank:
    """A bank as the line graph searches it, chunk by chunk of like rows, slice after slice.

    Attributes:
        slices: in order.
        rows: (p, d) float32 or float16, the bank's rows by place; the last row of a slice fills up its last chunk.
        order: (p,) int64, which row of the bank lies at a place.
        place: (m,) int64, where a row of the bank lies. Of equal rows only the first can be the nearest one, and it
            stands for the others.
    """

    slices: Sequence[SliceScreen]
    rows: npt.NDArray[np.floating]
    order: IndexArray
    place: IndexArray

    @property
    def chunks(self) -> int:
        """How many chunks there are."""
        return len(self.order) // CHUNK_ROWS


def screened_bank(bank: MemoryBank) -> ScreenedBank:
    """Lay out a bank whose metric is a Euclidean distance of what is stored (l2, cosine)."""
    rows = np.asarray(bank.rows)
    first = first_of_equal(rows)
    kept = np.flatnonzero(first == np.arange(len(rows)))
    cells = np.zeros(len(rows), np.int64) if bank.cells is None else bank.cells.astype(np.int64)
    longest = math.sqrt(2.0 * float(bank.half_norms.max()))
    screens, order = [], []
    for piece in slice_bank(rows, kept):
        index = _in_chunks(piece.index, cells)
        screens.append(_slice_screen(rows, piece, index, longest))
        order.append(index)
    places = np.concatenate(order)
    place = np.empty(len(rows), np.int64)
    # Backwards, so that a row that fills up a chunk keeps its first place.
    place[places[::-1]] = np.arange(len(places))[::-1]
    return ScreenedBank(screens, rows[places], places, place[first])


def first_of_equal(rows_md: npt.NDArray[np.floating]) -> IndexArray:
    """(m,) int64 for every row the lowest index of the rows that equal it."""
    # Adding zero makes -0 and 0 one value.
    plain = np.ascontiguousarray(rows_md + rows_md.dtype.type(0))
    as_bytes = plain.view(np.dtype((np.void, plain.dtype.itemsize * plain.shape[1]))).ravel()
    _, first, which = np.unique(as_bytes, return_index=True, return_inverse=True)
    lowest: IndexArray = first[which.reshape(-1)]
    return lowest


def _in_chunks(index: IndexArray, cells: IndexArray) -> IndexArray:
    """The rows of a slice, like ones beside each other, as many as fill whole chunks."""
    ordered = index[np.lexsort((index, cells[index]))]
    missing = -len(ordered) % CHUNK_ROWS
    return np.concatenate([ordered, np.repeat(ordered[-1:], missing)])


def _slice_screen(
    rows_md: npt.NDArray[np.floating], piece: BankSlice, index: IndexArray, longest: float
) -> SliceScreen:
    rows = rows_md[index].astype(np.float64) - piece.center
    longest_of_slice = math.sqrt(float(np.einsum("ij,ij->i", rows, rows).max()))
    scale = min(_power_of_two(LONGEST_OF_SLICE, longest_of_slice), _power_of_two(LONGEST_OF_BANK, longest))
    columns = bounding_columns(rows * scale)
    stripes = tuple(np.ascontiguousarray(columns[stripe::CHUNK_ROWS].T) for stripe in range(CHUNK_ROWS))
    return SliceScreen(piece.center, scale, stripes)


def _power_of_two(wanted: float, length: float) -> float:
    """The largest power of two that makes a length at most what is wanted; 1 for no length."""
    return 2.0 ** math.floor(math.log2(wanted / length)) if length > 0.0 else 1.0


def screen_width(dim: int) -> int:
    """How long the vectors are that the screen multiplies: the dimensions, the norm, and at least two ones."""
    return -(-(dim + 3) // WIDTH_MULTIPLE) * WIDTH_MULTIPLE


def bounding_columns(scaled_md: Float64Array) -> Float16Array:
    """(m, w) float16, the scaled rows y of a slice (m, d) with what makes their product with a query a bound.

    With a query (x, n, 1, 1, 0...) in half precision, n at least |x|, the product, computed in single precision in any
    order, is at least x.y - 0.5 |y|^2: (4) in docs/search.md.
    """
    dim, width = scaled_md.shape[1], screen_width(scaled_md.shape[1])
    halves = scaled_md.astype(np.float16)
    rounded = halves.astype(np.float64)
    lost, length = (np.sqrt(np.einsum("ij,ij->i", part, part)) for part in (scaled_md - rounded, rounded))
    half_norm = 0.5 * np.einsum("ij,ij->i", scaled_md, scaled_md)
    adding = width * TRUNCATING / (1.0 - width * TRUNCATING)
    share = (lost + (HALF * (1.0 + HALF) + adding * (1.0 + HALF)) * length) * (1.0 + 2.0**-8) + 2.0 * SMALLEST  # (5)
    share_up = _rounded_up(share)
    constant = adding * half_norm + SMALLEST * (math.sqrt(dim) * length * (1.0 + adding) + 2.0 * share_up) - half_norm
    high = constant.astype(np.float16)
    low = _rounded_up(constant - high.astype(np.float64))  # (6)
    columns = np.zeros((len(scaled_md), width), np.float16)
    columns[:, :dim] = halves
    columns[:, dim], columns[:, dim + 1], columns[:, dim + 2] = share_up, high, low
    return columns


def _rounded_up(values: Float64Array) -> Float16Array:
    """In half precision, never below."""
    rounded = values.astype(np.float16)
    larger: Float16Array = np.where(
        rounded.astype(np.float64) < values, np.nextafter(rounded, np.float16(np.inf)), rounded
    )
    return larger


def measuring_error(dim: int) -> float:
    """By what share two measured squared distances must differ for both runtimes to order them alike.

    NumPy sums the squares in at least four lanes, the graph in pieces of `summed_together`.
    """
    piece = summed_together(dim)
    return 2.0 * ((dim / 4 + 8) + (piece + dim / piece + 8)) * SINGLE


def summed_together(dim: int) -> int:
    """How many squares of a difference are summed before their sums are: the largest divisor up to 32."""
    return max(piece for piece in range(1, min(dim, 32) + 1) if dim % piece == 0)
