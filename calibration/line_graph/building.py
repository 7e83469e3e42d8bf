"""The fused line graph: everything after grouping in one ONNX graph, for devices where that is fastest.

Groups, centers and the pooling matrix of the patches that carry part in; per bank the nearest row and its distance, and
the fused map and score out. It is composed from the bundle's own networks, banks and fusion, and computes what the
NumPy runtime does (`runtime/verdict/decision.py`), step by step; no custom operator, no loop.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
import onnx
from onnx import TensorProto, helper

from ...runtime.banks.bank import MemoryBank
from ...runtime.bundle.manifest import Manifest, Network, Tensor
from ...runtime.bundle.parameters import Modality
from ...runtime.engines.plan_check import LINE_ROLE
from ...runtime.errors import UsageError
from ...runtime.line_graph import LINE
from ...runtime.patches.features import token_of_patch
from ...runtime.patches.pooling import N_PATCHES, PATCH_GRID, SIZE
from ...runtime.patches.routes import EXTRACTOR, HALLUCINATOR, SECOND_EXTRACTOR, Route, route_of
from ...runtime.verdict.decision import Decision, NormalizedBank
from ...runtime.verdict.scoring import AVERAGED_PATCHES, upsample_blur_matrix
from .graph_writing import GraphWriter, encode_model
from .half_screen import ScreenedBank, screened_bank
from .searching import Searched, write_search

# What a bundle may grow by unasked: every file of it is read and verified each time that the line starts.
DEFAULT_BYTES = 256 << 20
# The graph counts rows in float32, which every provider can compare and which holds no larger number.
MOST_ROWS = 1 << 24
# Whose distances the graph can compute.
_WRITTEN_METRICS = {"l2", "cosine"}
# Features whose norm is below this are zero to the cosine metric.
LEAST_NORM = 1e-30
NO_INDEX = -1


def line_graph(manifest: Manifest, networks: Mapping[str, bytes], decision: Decision) -> onnx.ModelProto:
    """Compose the line graph of a calibrated bundle.

    Args:
        manifest: of the bundle: route, main modality, grouping.
        networks: the ONNX files by role.
        decision: the banks and the fusion.

    Raises:
        UsageError: the route or the metric cannot be one graph.
        BundleError: the networks do not fit the route.
    """
    if reason := obstacle(manifest, decision):
        raise UsageError(f"there can be no line graph: {reason}: use --no-line-graph")
    graph, route = GraphWriter(), route_of(manifest.route, manifest.main)
    layout = _write_layout(graph)
    features = _write_features(graph, route, networks, layout)
    averaged = [_write_neighborhood(graph, feature, layout, decision.neighborhood) for feature in features]
    roles = route.banks
    banks = [bank for bank in (decision.main, decision.second) if bank is not None]
    matches = [
        _write_match(graph, role, bank, feature, layout)
        for role, bank, feature in zip(roles, banks, averaged, strict=True)
    ]
    _write_decision(graph, decision, roles, matches)
    dims = [len(normalized.bank.mean) for normalized in banks]
    inputs, outputs = map(_value, route.line_inputs(manifest.grouping)), map(_value, line_outputs(route, dims))
    return graph.model(LINE_ROLE, list(inputs), list(outputs))


def add_line_graph(
    manifest: Manifest, networks: Mapping[str, bytes], decision: Decision, wanted: bool | None
) -> tuple[Manifest, dict[str, bytes]]:
    """The line graph as files of the bundle, and the manifest with its entry.

    Args:
        manifest: of the bundle.
        networks: the ONNX files by role.
        decision: the banks and the fusion.
        wanted: True: always. False: never. None: where the route can have one of at most `DEFAULT_BYTES`.

    Raises:
        UsageError: it is wanted, and the route or the metric cannot have one.
    """
    without = msgspec.structs.replace(manifest, line_graph=None)
    banks = [normalized.bank for normalized in (decision.main, decision.second) if normalized is not None]
    if wanted is None:
        size = sum(map(len, networks.values())) + sum(6 * bank.rows.size for bank in banks)
        wanted = size <= DEFAULT_BYTES and not obstacle(manifest, decision)
    if not wanted:
        return without, {}
    model, route = line_graph(manifest, networks, decision), route_of(manifest.route, manifest.main)
    files = encode_model(model, LINE)
    entry = Network(
        file=LINE,
        architecture=f"line {manifest.route}",
        parameters=sum(int(np.prod(tensor.dims)) for tensor in model.graph.initializer),
        inputs=route.line_inputs(manifest.grouping),
        outputs=line_outputs(route, [len(bank.mean) for bank in banks]),
    )
    return msgspec.structs.replace(manifest, line_graph=entry), files


def obstacle(manifest: Manifest, decision: Decision) -> str:
    """Why the route or the metric cannot be one graph; empty where nothing stands against it."""
    if reason := route_of(manifest.route, manifest.main).line_obstacle:
        return reason
    banks = [normalized.bank for normalized in (decision.main, decision.second) if normalized is not None]
    if unwritten := sorted({bank.metric for bank in banks} - _WRITTEN_METRICS):
        return f"the metric {unwritten[0]} is not a matrix product"
    most = max(len(bank.rows) for bank in banks)
    return f"a bank of {most} rows is too large (at most {MOST_ROWS})" if most > MOST_ROWS else ""


def _value(tensor: Tensor) -> onnx.ValueInfoProto:
    dtype = helper.np_dtype_to_tensor_dtype(np.dtype(tensor.dtype))
    return helper.make_tensor_value_info(tensor.name, dtype, tensor.shape)


def line_outputs(route: Route, dims: Sequence[int]) -> list[Tensor]:
    """Score and map, and per bank what the search found; -1 and 0 where there is no part.

    Args:
        route: with its banks.
        dims: of the features of each bank.
    """
    outputs = [
        Tensor(name="score", shape=["batch"], dtype="float32"),
        Tensor(name="map", shape=["batch", SIZE, SIZE], dtype="float32"),
    ]
    for role, dim in zip(route.banks, dims, strict=True):
        outputs.append(Tensor(name=f"score_{role}", shape=["batch"], dtype="float32"))
        outputs.append(Tensor(name=f"distance_{role}", shape=["batch", PATCH_GRID, PATCH_GRID], dtype="float32"))
        outputs.append(Tensor(name=f"index_{role}", shape=["batch", N_PATCHES], dtype="int32"))
        outputs.append(Tensor(name=f"again_{role}", shape=["batch", "patches"], dtype="int32"))
        outputs.append(Tensor(name=f"queries_{role}", shape=["batch", "patches", dim], dtype="float32"))
    return outputs


@dataclass(frozen=True)
class _Layout:
    """Where the patches of a part lie: tensors of the graph, by name.

    Attributes:
        patches: (B, P) int64, the place in the grid of every row; 0 for padding.
        is_row: (B, P) bool, false for padding.
        places: (B, 3136) int64, the row of every place; 0 where there is no part.
        foreground: (B, 3136) bool.
    """

    patches: str
    is_row: str
    places: str
    foreground: str


def _write_layout(graph: GraphWriter) -> _Layout:
    zero = graph.constant(0, np.int64)
    tensors = []
    for name in ("patches", "places"):
        wide = graph.op("Cast", name, to=TensorProto.INT64)
        tensors.append((graph.op("Max", wide, zero), graph.op("GreaterOrEqual", wide, zero)))
    (patches, is_row), (places, foreground) = tensors
    return _Layout(patches, is_row, places, foreground)


def _write_features(graph: GraphWriter, route: Route, networks: Mapping[str, bytes], layout: _Layout) -> list[str]:
    """The features of the patches, (B, P, D) each: main modality, then the one of the second bank if any."""
    steps = _GraphSteps(graph, networks, layout, route.main)
    second = route.second(steps)
    return [steps.main()] if second is None else [steps.main(), second.features]


class _GraphSteps:
    """The steps of a route (`runtime.patches.routes.Steps`) as tensors of the graph, by name."""

    def __init__(self, graph: GraphWriter, networks: Mapping[str, bytes], layout: _Layout, main: Modality) -> None:
        self._graph, self._networks, self._layout = graph, networks, layout
        self._everywhere = "" if main == "pc" else self._image_features(EXTRACTOR, "image")
        self._main = self._point_features(EXTRACTOR) if main == "pc" else self.at_patches(self._everywhere)

    def main(self) -> str:
        return self._main

    def grid(self) -> str:
        """(B, 3136, D) of features at the patches; an image has some everywhere."""
        if self._everywhere:
            return self._everywhere
        placed = self._graph.rows_at(self._main, self._layout.places)
        foreground = self._graph.op("Unsqueeze", self._layout.foreground, self._graph.constant([2], np.int64))
        return self._graph.op("Where", foreground, placed, self._graph.constant(0.0))

    def sensed(self, modality: Modality) -> str:
        return "input" if modality == "pc" else "image"

    def hallucinate(self, name: str, value: str) -> str:
        (output,) = self._graph.inline(self._networks[HALLUCINATOR], HALLUCINATOR, {name: value})
        return output

    def at_patches(self, everywhere: str) -> str:
        return self._graph.rows_at(everywhere, self._layout.patches)

    def measured(self, modality: Modality) -> str:
        if modality == "pc":
            return self._point_features(SECOND_EXTRACTOR)
        return self.at_patches(self._image_features(SECOND_EXTRACTOR, "image"))

    def extracted(self, modality: Modality, hallucinated_input: str) -> str:
        if modality == "pc":
            raise UsageError("there can be no line graph of a route that groups hallucinated points")
        return self.at_patches(self._image_features(SECOND_EXTRACTOR, hallucinated_input))

    def _point_features(self, role: str) -> str:
        inputs = {"groups": "groups", "centers": "centers"}
        (tokens,) = self._graph.inline(self._networks[role], role, inputs)
        return self._graph.op("MatMul", "pooling", tokens, name=f"{role}_features")

    def _image_features(self, role: str, image: str) -> str:
        """An image extractor, and each of its tokens for the 2x2 patches that it covers: (B, 3136, D)."""
        network = self._networks[role]
        (tokens,) = self._graph.inline(network, role, {"image": image})
        shape = onnx.load_model_from_string(network).graph.output[0].type.tensor_type.shape
        index = self._graph.constant(token_of_patch(shape.dim[1].dim_value), np.int64)
        return self._graph.op("Gather", tokens, index, axis=1, name=f"{role}_features")


def _write_neighborhood(graph: GraphWriter, features: str, layout: _Layout, size: int) -> str:
    """The features (B, P, D) averaged over the patches around that carry part (`patches.neighborhood`)."""
    if size == 1:
        return features
    foreground = graph.op("Unsqueeze", layout.foreground, graph.constant([2], np.int64))
    placed = graph.op("Where", foreground, graph.rows_at(features, layout.places), graph.constant(0.0))
    around = _write_mean_around(graph, placed, size)
    share = _write_mean_around(graph, graph.op("Cast", foreground, to=TensorProto.FLOAT), size)
    # Where there is no part around, so that nothing is divided by zero.
    mean = graph.op("Div", around, graph.op("Max", share, graph.constant(0.5 / size**2)))
    return graph.rows_at(mean, layout.patches)


def _write_mean_around(graph: GraphWriter, rows: str, size: int) -> str:
    """Rows of all patches (B, 3136, D) averaged over squares of the grid, what is outside of it being zero."""
    grid = graph.op("Reshape", rows, graph.constant([0, PATCH_GRID, PATCH_GRID, -1], np.int64))
    channels, pads = graph.op("Transpose", grid, perm=[0, 3, 1, 2]), [size // 2] * 4
    pooled = graph.op("AveragePool", channels, kernel_shape=[size, size], pads=pads, count_include_pad=1)
    back = graph.op("Transpose", pooled, perm=[0, 2, 3, 1])
    return graph.op("Reshape", back, graph.constant([0, N_PATCHES, -1], np.int64))


def _write_match(graph: GraphWriter, role: str, normalized: NormalizedBank, features: str, layout: _Layout) -> str:
    """The search in one bank, its map and its image score; returns the distances, (B, 3136)."""
    bank, laid_out = normalized.bank, screened_bank(normalized.bank)
    queries = _write_queries(graph, role, normalized, features)
    searched = write_search(graph, role, queries, laid_out, layout.is_row)
    graph.op("Identity", searched.again, name=f"again_{role}")
    index = _write_on_grid(graph, graph.op("Cast", searched.index, to=TensorProto.INT32), layout)
    nowhere = graph.constant(NO_INDEX, np.int32)
    graph.op("Where", layout.foreground, index, nowhere, name=f"index_{role}")
    measured = _write_on_grid(graph, _write_distance(graph, bank, searched.sq_distance), layout)
    distance = graph.op("Where", layout.foreground, measured, graph.constant(0.0), name=f"patch_distance_{role}")
    # Below every distance: a patch without part is never the most anomalous, whatever its neighbors' are.
    ranked = graph.op("Where", layout.foreground, measured, graph.constant(-1.0))
    _write_score(graph, role, bank, _Scored(queries, searched, laid_out, layout, ranked))
    grid = graph.constant([-1, PATCH_GRID, PATCH_GRID], np.int64)
    graph.op("Reshape", distance, grid, name=f"distance_{role}")
    return distance


def _write_on_grid(graph: GraphWriter, at_rows: str, layout: _Layout) -> str:
    """Values of the patches' rows (B, P) at their places (B, 3136); any where there is no part."""
    return graph.op("GatherElements", at_rows, layout.places, axis=1)


def _write_queries(graph: GraphWriter, role: str, normalized: NormalizedBank, features: str) -> str:
    mean, std = graph.constant(normalized.feature_mean), graph.constant(normalized.feature_std)
    queries = graph.op("Div", graph.op("Sub", features, mean), std)
    if normalized.bank.metric == "cosine":
        norm = graph.op("ReduceL2", queries, graph.constant([2], np.int64), keepdims=1)
        queries = graph.op("Div", queries, graph.op("Max", norm, graph.constant(LEAST_NORM)))
    return graph.op("Sub", queries, graph.constant(normalized.bank.mean), name=f"queries_{role}")


def _write_distance(graph: GraphWriter, bank: MemoryBank, sq_distance: str) -> str:
    if bank.metric == "cosine":
        return graph.op("Mul", sq_distance, graph.constant(0.5))
    return graph.op("Sqrt", sq_distance)


@dataclass(frozen=True)
class _Scored:
    """What the image score of one bank is made of.

    Attributes:
        queries: (B, P, D), a tensor of the graph.
        searched: what the search left.
        bank: as it was searched.
        layout: where the patches lie.
        ranked: (B, 3136) distances, negative where there is no part; a tensor of the graph.
    """

    queries: str
    searched: Searched
    bank: ScreenedBank
    layout: _Layout
    ranked: str


def _write_score(graph: GraphWriter, role: str, bank: MemoryBank, scored: _Scored) -> None:
    """The re-weighted image score of one bank (`scoring.image_score`): (B,), named score_ROLE."""
    last = graph.constant([1], np.int64)
    largest = graph.op("ReduceMax", scored.ranked, last, keepdims=1)
    if bank.neighbors.shape[1] == 0:
        graph.op("Squeeze", largest, last, name=f"score_{role}")
        return
    patch = graph.op("ArgMax", scored.ranked, axis=1, keepdims=1)
    row = graph.op("GatherElements", scored.layout.places, patch, axis=1)
    nearest = graph.op("Cast", graph.op("GatherElements", scored.searched.index, row, axis=1), to=TensorProto.INT64)
    table = graph.constant(scored.bank.place[bank.neighbors], np.int64, name=f"bank_{role}/neighbor_places")
    neighbors = graph.op("Gather", scored.searched.rows, graph.op("Gather", table, nearest, axis=0), axis=0)
    to_rows = graph.op("Cast", graph.op("Squeeze", neighbors, last), to=TensorProto.FLOAT)
    difference = graph.op("Sub", graph.rows_at(scored.queries, row), to_rows)
    to_neighbors = graph.op("ReduceSumSquare", difference, graph.constant([2], np.int64), keepdims=0)
    root_dim = graph.constant(math.sqrt(bank.rows.shape[1]))
    exponents = graph.op("Div", _write_distance(graph, bank, to_neighbors), root_dim)
    top = graph.op("ReduceMax", exponents, last, keepdims=1)
    total = graph.op("ReduceSum", graph.op("Exp", graph.op("Sub", exponents, top)), last, keepdims=1)
    surplus = graph.op("Sub", graph.op("Div", largest, root_dim), graph.op("Add", top, graph.op("Log", total)))
    share = graph.op("Exp", graph.op("Min", surplus, graph.constant(0.0)))
    weight = graph.op("Sub", graph.constant(1.0), share)
    graph.op("Squeeze", graph.op("Mul", weight, largest), last, name=f"score_{role}")


def _write_decision(graph: GraphWriter, decision: Decision, roles: Sequence[str], matches: list[str]) -> None:
    """The fused, upsampled and blurred map (B, 224, 224), and the score (B,)."""
    fused, scores, fusion = matches[0], [f"score_{role}" for role in roles], decision.fusion
    if fusion is not None:
        fused = graph.op("Add", *_weighted(graph, matches, fusion.map.weights))
    grid = graph.op("Reshape", fused, graph.constant([-1, PATCH_GRID, PATCH_GRID], np.int64))
    upsampling = upsample_blur_matrix()
    rows = graph.op("MatMul", graph.constant(upsampling), grid)
    graph.op("MatMul", rows, graph.constant(upsampling.T), name="map")
    if decision.score == "map":
        graph.op("ReduceMax", "map", graph.constant([1, 2], np.int64), name="score", keepdims=0)
    elif decision.score == "top5":
        largest, _ = graph.highest(fused, AVERAGED_PATCHES)
        graph.op("ReduceMean", largest, graph.constant([1], np.int64), name="score", keepdims=0)
    elif fusion is None:
        graph.op("Identity", scores[0], name="score")
    else:
        graph.op("Add", *_weighted(graph, scores, fusion.score.weights), name="score")


def _weighted(graph: GraphWriter, tensors: list[str], weights: tuple[float, float]) -> list[str]:
    return [graph.op("Mul", tensor, graph.constant(weight)) for tensor, weight in zip(tensors, weights, strict=True)]
