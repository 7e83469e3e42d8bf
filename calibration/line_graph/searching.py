"""The search of the line graph: a screen in half precision that bounds, then the likely rows measured as they are.

The screen's bound holds for every row, so that a row that was not measured is known to be farther away, or the query is
marked to be searched again (`runtime/verdict/searched_again.py`): docs/search.md, section 7.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from onnx import TensorProto

from ...runtime.verdict.searched_again import OUT_OF_BOUND, UNSURE
from .graph_writing import GraphWriter
from .half_screen import (
    CHOSEN_CHUNKS,
    CHUNK_ROWS,
    HALF,
    NORM_MARGIN,
    SINGLE,
    SMALLEST,
    ScreenedBank,
    SliceScreen,
    measuring_error,
    screen_width,
    summed_together,
)

# The least number of half precision, for which minus infinity stands where a product is below it; queries that are
# longer than the most have a bound of infinity by their norm.
LEAST_HALF, MOST_QUERY = -65504.0, 60000.0
NOWHERE = 3e38


@dataclass(frozen=True)
class Searched:
    """What a search leaves: tensors of the graph, by name.

    Attributes:
        sq_distance: (B, P) float32, of the nearest row.
        index: (B, P) float32, which row of the bank it is: a whole number.
        again: (B, P) int32, 0 where both are proven, `UNSURE`, or `OUT_OF_BOUND`.
        rows: the bank's rows by place, a constant.
    """

    sq_distance: str
    index: str
    again: str
    rows: str


def write_search(graph: GraphWriter, role: str, queries: str, bank: ScreenedBank, is_row: str) -> Searched:
    """Search a bank.

    Args:
        graph: to write to.
        role: the bank's.
        queries: (B, P, D) float32, as the bank holds its rows.
        bank: laid out.
        is_row: (B, P) bool, which queries are patches of the part, not padding.
    """
    dim = bank.rows.shape[1]
    rows = graph.constant(bank.rows, bank.rows.dtype, name=f"bank_{role}/rows")
    order = graph.constant(bank.order, name=f"bank_{role}/order")
    bounds = graph.op("Concat", *_write_bounds(graph, role, queries, bank, dim), axis=2)
    chosen = min(CHOSEN_CHUNKS, bank.chunks)
    highest, chunks = graph.highest(bounds, min(CHOSEN_CHUNKS + 1, bank.chunks))
    kept = _columns(graph, highest, 0, chosen)
    places = _write_places(graph, _columns(graph, chunks, 0, chosen), chosen)
    measured = _write_measured(graph, queries, graph.op("Gather", rows, places, axis=0), chosen * CHUNK_ROWS, dim)
    which = graph.op("Gather", order, places, axis=0)
    nearest, index, rival = _write_nearest(graph, measured, which)
    # Whatever is not less than this, also what is not a number, is not proven.
    slack = 1.0 + measuring_error(dim)
    proven = [graph.op("Less", graph.op("Mul", nearest, graph.constant(slack)), rival)]
    if bank.chunks > chosen:
        left = _columns(graph, highest, chosen, chosen + 1)
        proven.append(graph.op("Less", left, graph.op("Mul", nearest, graph.constant(-0.5 * slack))))
    unsure = graph.op("Not", proven[0] if len(proven) == 1 else graph.op("And", *proven))
    again = _write_again(graph, unsure, _write_outside(graph, measured, kept, chosen, slack), is_row)
    last = graph.constant([2], np.int64)
    return Searched(graph.op("Squeeze", nearest, last), graph.op("Squeeze", index, last), again, rows)


def _write_bounds(graph: GraphWriter, role: str, queries: str, bank: ScreenedBank, dim: int) -> Iterator[str]:
    """For every slice (B, P, chunks): at least minus half the squared distance of every row of the chunk."""
    axis, norm_slack = graph.constant([2], np.int64), 1.0 - (dim + 16) * 2.0 * SINGLE
    ones = screen_width(dim) - dim - 1
    pads, one = graph.constant([0, 0, 0, 0, 0, ones], np.int64), graph.constant(1.0)
    for number, piece in enumerate(bank.slices):
        name = f"bank_{role}/screen_{number}"
        query = graph.op("Sub", queries, graph.constant(piece.center, name=f"{name}/center"))
        sq_norm = graph.op("ReduceSumSquare", query, axis, keepdims=1)
        closeness = _write_closeness(graph, name, piece, query, sq_norm, (pads, one))
        rounding = graph.op("Mul", graph.op("Abs", closeness), graph.constant(HALF * (1.0 + HALF)))
        bound = graph.op("Add", graph.op("Add", closeness, rounding), graph.constant(2.0 * SMALLEST))
        unscaled = graph.op("Mul", bound, graph.constant(piece.scale**-2))
        yield graph.op("Sub", unscaled, graph.op("Mul", sq_norm, graph.constant(0.5 * norm_slack)))


def _write_closeness(
    graph: GraphWriter, name: str, piece: SliceScreen, query: str, sq_norm: str, padding: tuple[str, str]
) -> str:
    """(B, P, chunks) float32, of each chunk the largest of what its rows' columns give: (4) in docs/search.md."""
    scaled = graph.op("Mul", query, graph.constant(piece.scale))
    inside = graph.op("Clip", scaled, graph.constant(-MOST_QUERY), graph.constant(MOST_QUERY))
    norm = graph.op("Mul", graph.op("Sqrt", sq_norm), graph.constant(piece.scale * (1.0 + NORM_MARGIN)))
    extended = graph.op("Pad", graph.op("Concat", inside, norm, axis=2), *padding)
    halves = graph.op("Cast", extended, to=TensorProto.FLOAT16)
    stripes = [
        graph.op("MatMul", halves, graph.constant(stripe, np.float16, name=f"{name}/stripe_{number}"))
        for number, stripe in enumerate(piece.stripes)
    ]
    nearest = graph.op("Cast", graph.op("Max", *stripes), to=TensorProto.FLOAT)
    return graph.op("Max", nearest, graph.constant(LEAST_HALF))


def _write_places(graph: GraphWriter, chunks: str, chosen: int) -> str:
    """Chunks (B, P, k) int64 -> the places of their rows (B, P, k * CHUNK_ROWS) int64."""
    first = graph.op("Mul", chunks, graph.constant(CHUNK_ROWS, np.int64))
    within = graph.constant(np.arange(CHUNK_ROWS), np.int64)
    places = graph.op("Add", graph.op("Unsqueeze", first, graph.constant([3], np.int64)), within)
    return graph.op("Reshape", places, graph.constant([0, 0, chosen * CHUNK_ROWS], np.int64))


def _write_measured(graph: GraphWriter, queries: str, rows: str, count: int, dim: int) -> str:
    """Squared distances (B, P, count) of queries (B, P, D) to rows of their own (B, P, count, D)."""
    wide = graph.op("Cast", rows, to=TensorProto.FLOAT)
    difference = graph.op("Sub", graph.op("Unsqueeze", queries, graph.constant([2], np.int64)), wide)
    piece = summed_together(dim)
    shape = graph.constant([0, 0, count, dim // piece, piece], np.int64)
    squares = graph.op("Reshape", graph.op("Mul", difference, difference), shape)
    sums = graph.op("ReduceSum", squares, graph.constant([4], np.int64), keepdims=0)
    return graph.op("ReduceSum", sums, graph.constant([3], np.int64), keepdims=0)


def _write_nearest(graph: GraphWriter, measured: str, which: str) -> tuple[str, str, str]:
    """The least distance, the lowest row that has it, and the least distance of any other row: (B, P, 1) each."""
    axis, nowhere = graph.constant([2], np.int64), graph.constant(NOWHERE)
    nearest = graph.op("ReduceMin", measured, axis, keepdims=1)
    as_near = graph.op("Where", graph.op("Equal", measured, nearest), which, nowhere)
    index = graph.op("ReduceMin", as_near, axis, keepdims=1)
    others = graph.op("Where", graph.op("Equal", which, index), nowhere, measured)
    return nearest, index, graph.op("ReduceMin", others, axis, keepdims=1)


def _write_outside(graph: GraphWriter, measured: str, bounds: str, chosen: int, slack: float) -> str:
    """(B, P, 1) bool: a measured row is nearer than its chunk's bound allows, so the device computes it otherwise."""
    by_chunk = graph.op("Reshape", measured, graph.constant([0, 0, chosen, CHUNK_ROWS], np.int64))
    nearest = graph.op("ReduceMin", by_chunk, graph.constant([3], np.int64), keepdims=0)
    beyond = graph.op("Greater", graph.op("Mul", nearest, graph.constant(-0.5 * slack)), bounds)
    count = graph.op("ReduceMax", graph.op("Cast", beyond, to=TensorProto.FLOAT), graph.constant([2], np.int64))
    return graph.op("Greater", count, graph.constant(0.0))


def _write_again(graph: GraphWriter, unsure: str, outside: str, is_row: str) -> str:
    """(B, P) int32 of two (B, P, 1) bool; nothing is wrong with padding."""
    nothing = graph.constant(0, np.int32)
    reason = graph.op("Where", unsure, graph.constant(UNSURE, np.int32), nothing)
    reason = graph.op("Where", outside, graph.constant(OUT_OF_BOUND, np.int32), reason)
    squeezed = graph.op("Squeeze", reason, graph.constant([2], np.int64))
    return graph.op("Where", is_row, squeezed, nothing)


def _columns(graph: GraphWriter, tensor: str, start: int, stop: int) -> str:
    """tensor[:, :, start:stop]."""
    ends = (graph.constant([number], np.int64) for number in (start, stop, 2))
    return graph.op("Slice", tensor, *ends)
