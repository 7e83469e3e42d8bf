"""The graph's search: every row that it does not mark is the one that the NumPy runtime finds."""

import numpy as np
import onnx
import pytest
from cmdiad.calibration.line_graph.graph_writing import GraphWriter
from cmdiad.calibration.line_graph.half_screen import CHUNK_ROWS, screened_bank
from cmdiad.calibration.line_graph.searching import write_search
from cmdiad.runtime.banks.bank import build_bank
from cmdiad.runtime.engines.session import OnnxSession
from cmdiad.runtime.verdict.searched_again import OUT_OF_BOUND, UNSURE
from hypothesis import given, settings
from hypothesis import strategies as st


def search_graph(bank, damage=lambda laid_out: None):
    """A session that searches one bank."""
    graph = GraphWriter()
    graph.opsets = {"": 20}
    laid_out = screened_bank(bank)
    damage(laid_out)
    searched = write_search(graph, "main", "queries", laid_out, "is_row")
    value, dim = onnx.helper.make_tensor_value_info, bank.rows.shape[1]
    names = {"distance": searched.sq_distance, "index": searched.index, "again": searched.again}
    for name, tensor in names.items():
        graph.op("Identity", tensor, name=name)
    inputs = [value("queries", 1, ["batch", "patches", dim]), value("is_row", 9, ["batch", "patches"])]
    outputs = [value(name, 6 if name == "again" else 1, ["batch", "patches"]) for name in names]
    return OnnxSession(graph.model("search", inputs, outputs).SerializeToString(), threads=1)


def searched(session, queries):
    feed = {"queries": queries[None], "is_row": np.ones((1, len(queries)), np.bool_)}
    return {name: array[0] for name, array in session.run(feed).items()}


def assert_right(bank, queries, most_again):
    """Rows and distances of the queries that are not marked are the runtime's."""
    found, exact = searched(search_graph(bank), queries), bank.search_prepared(queries)
    assert not (found["again"] == OUT_OF_BOUND).any()
    sure = found["again"] == 0
    np.testing.assert_array_equal(found["index"][sure], exact.index[sure])
    np.testing.assert_allclose(np.sqrt(found["distance"][sure]), exact.distance[sure], rtol=1e-4, atol=1e-30)
    assert (~sure).mean() <= most_again


KINDS = ["normal", "clusters", "lattice", "tiny", "huge", "one direction"]


def cloud(kind, rng, count, dim):
    points = rng.normal(size=(count, dim))
    if kind == "clusters":
        points = rng.normal(size=(5, dim))[rng.integers(5, size=count)] * 20 + 0.05 * points
    if kind == "lattice":
        points = points.round(0)
    if kind == "one direction":
        points[:, 1:] *= 1e-3
    return (points * {"tiny": 1e-12, "huge": 1e12}.get(kind, 1.0)).astype(np.float32)


@settings(deadline=None, max_examples=40)
@given(st.sampled_from(KINDS), st.integers(0, 2**32 - 1), st.integers(1, 300), st.sampled_from([2, 8, 29, 64]))
def test_what_is_not_marked_is_the_nearest_row(kind, seed, rows, dim):
    rng = np.random.default_rng(seed)
    bank = build_bank(cloud(kind, rng, rows, dim), n_neighbors=0)
    near = bank.rows[rng.integers(rows, size=20)] * np.float32(1.01)
    queries = np.concatenate([cloud(kind, rng, 20, dim), near, bank.rows[:5], np.zeros((1, dim), np.float32)])
    # Of points on a lattice many are as near as others, and of a few dimensions nothing is.
    assert_right(bank, queries.astype(np.float32), 1.0)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_of_features_as_they_are_hardly_any_is_marked(dtype):
    rng = np.random.default_rng(5)
    directions = rng.normal(size=(24, 96))
    rows = (rng.normal(size=(9000, 24)) @ directions).astype(np.float32)
    bank = build_bank(rows, n_neighbors=0, dtype=dtype)
    queries = (rng.normal(size=(300, 24)) @ directions).astype(np.float32) + rng.normal(size=(300, 96)).astype(
        np.float32
    )
    assert_right(bank, queries, 0.01)


def test_queries_that_half_precision_cannot_hold_are_marked_and_not_guessed():
    rng = np.random.default_rng(2)
    bank = build_bank(rng.normal(size=(500, 16)).astype(np.float32), n_neighbors=0)
    queries = rng.normal(size=(4, 16)).astype(np.float32) * np.float32([[1], [1e7], [1e15], [np.nan]])
    again = searched(search_graph(bank), queries)["again"]
    assert again[0] == 0 and (again[1:] != 0).all()


def test_padding_is_never_marked():
    bank = build_bank(np.random.default_rng(2).normal(size=(500, 16)).astype(np.float32), n_neighbors=0)
    feed = {"queries": np.full((1, 3, 16), np.nan, np.float32), "is_row": np.array([[True, False, False]])}
    assert search_graph(bank).run(feed)["again"].tolist() == [[UNSURE, 0, 0]]


def test_a_device_that_computes_outside_the_bound_is_noticed():
    rng = np.random.default_rng(4)
    bank = build_bank(rng.normal(size=(800, 32)).astype(np.float32), n_neighbors=0)

    def lose_digits(laid_out):
        for piece in laid_out.slices:
            for stripe in piece.stripes:
                stripe[:32] = (stripe[:32] * 8).round() / 8

    again = searched(search_graph(bank, lose_digits), bank.rows[:200] + np.float32(0.01))["again"]
    assert (again == OUT_OF_BOUND).any()


def test_a_bank_of_fewer_rows_than_a_chunk_is_measured_whole():
    bank = build_bank(np.eye(2, 8, dtype=np.float32), n_neighbors=0)
    assert len(bank.rows) < CHUNK_ROWS
    assert_right(bank, np.random.default_rng(0).normal(size=(9, 8)).astype(np.float32), 0.0)
