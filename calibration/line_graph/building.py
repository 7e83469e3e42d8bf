"""The fused line graph: everything after grouping in one ONNX graph, for devices where that is fastest.

Groups, centers and the pooling matrix in; per bank the nearest row and its distance, and the fused map and
score out. It is composed from the bundle's own networks, banks and fusion, and computes what the NumPy runtime
does (`runtime/verdict/decision.py`), step by step; no custom operator, no loop.
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
from ...runtime.verdict.scoring import upsample_blur_matrix
from .bank_slices import BankSlice, slice_bank
from .graph_writing import GraphWriter, encode_model

# What a bundle may grow by unasked: every file of it is read and verified each time that the line starts.
DEFAULT_BYTES = 256 << 20
# Rows of a slice that are measured again; see `_write_search`.
CANDIDATES = 2
# Whose distances the graph can compute.
_WRITTEN_METRICS = {"l2", "cosine"}
# Features whose norm is below this are zero to the cosine metric.
LEAST_NORM = 1e-30
NO_INDEX = -1


@dataclass(frozen=True)
class _Searched:
    """What a search leaves for the score: tensors of the graph.

    Attributes:
        queries: (B, 3136, D).
        slices: of the bank.
        rows, centers: the constants of each slice.
    """

    queries: str
    slices: Sequence[BankSlice]
    rows: Sequence[str]
    centers: Sequence[str]


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
    features = _write_features(graph, route, networks)
    foreground = _write_foreground(graph, route)
    roles = route.banks
    banks = [bank for bank in (decision.main, decision.second) if bank is not None]
    matches = [
        _write_match(graph, role, bank, feature, foreground)
        for role, bank, feature in zip(roles, banks, features, strict=True)
    ]
    _write_decision(graph, decision, roles, matches)
    inputs, outputs = map(_value, route.line_inputs(manifest.grouping)), map(_value, line_outputs(route))
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
    if wanted is None:
        banks = [normalized.bank for normalized in (decision.main, decision.second) if normalized is not None]
        size = sum(map(len, networks.values())) + sum(4 * bank.rows.size for bank in banks)
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
        outputs=line_outputs(route),
    )
    return msgspec.structs.replace(manifest, line_graph=entry), files


def obstacle(manifest: Manifest, decision: Decision) -> str:
    """Why the route or the metric cannot be one graph; empty where nothing stands against it."""
    if reason := route_of(manifest.route, manifest.main).line_obstacle:
        return reason
    metrics = {bank.bank.metric for bank in (decision.main, decision.second) if bank is not None}
    unwritten = sorted(metrics - _WRITTEN_METRICS)
    return f"the metric {unwritten[0]} is no matrix product" if unwritten else ""


def _value(tensor: Tensor) -> onnx.ValueInfoProto:
    dtype = helper.np_dtype_to_tensor_dtype(np.dtype(tensor.dtype))
    return helper.make_tensor_value_info(tensor.name, dtype, tensor.shape)


def line_outputs(route: Route) -> list[Tensor]:
    """Score and map, and per bank the score, the distances and the nearest rows (-1 where there is no part)."""
    outputs = [
        Tensor(name="score", shape=["batch"], dtype="float32"),
        Tensor(name="map", shape=["batch", SIZE, SIZE], dtype="float32"),
    ]
    for role in route.banks:
        outputs.append(Tensor(name=f"score_{role}", shape=["batch"], dtype="float32"))
        outputs.append(Tensor(name=f"distance_{role}", shape=["batch", PATCH_GRID, PATCH_GRID], dtype="float32"))
        outputs.append(Tensor(name=f"index_{role}", shape=["batch", N_PATCHES], dtype="int32"))
    return outputs


def _write_features(graph: GraphWriter, route: Route, networks: Mapping[str, bytes]) -> list[str]:
    """The features of every patch, (B, 3136, D) each: main modality, then the one of the second bank if any."""
    main = _write_measured(graph, networks, EXTRACTOR, route.main)
    second = route.second(_GraphSteps(graph, networks, main))
    return [main] if second is None else [main, second.features]


@dataclass(frozen=True)
class _GraphSteps:
    """The steps of a route (`runtime.patches.routes.Steps`) as tensors of the graph, by name; at every patch.

    Attributes:
        graph: to write to.
        networks: the ONNX files by role.
        features: the main modality's.
    """

    graph: GraphWriter
    networks: Mapping[str, bytes]
    features: str

    def main(self) -> str:
        return self.features

    def grid(self) -> str:
        return self.features

    def sensed(self, modality: Modality) -> str:
        return "input" if modality == "pc" else "image"

    def hallucinate(self, name: str, value: str) -> str:
        (output,) = self.graph.inline(self.networks[HALLUCINATOR], HALLUCINATOR, {name: value})
        return output

    def at_patches(self, everywhere: str) -> str:
        return everywhere

    def measured(self, modality: Modality) -> str:
        return _write_measured(self.graph, self.networks, SECOND_EXTRACTOR, modality)

    def extracted(self, modality: Modality, hallucinated_input: str) -> str:
        if modality == "pc":
            raise UsageError("there can be no line graph of a route that groups hallucinated points")
        network = self.networks[SECOND_EXTRACTOR]
        return _write_image_features(self.graph, network, SECOND_EXTRACTOR, hallucinated_input)


def _write_measured(graph: GraphWriter, networks: Mapping[str, bytes], role: str, modality: Modality) -> str:
    if modality == "pc":
        inputs = {"groups": "groups", "centers": "centers"}
        (tokens,) = graph.inline(networks[role], role, inputs)
        return graph.op("MatMul", "pooling", tokens, name=f"{role}_features")
    return _write_image_features(graph, networks[role], role, "image")


def _write_image_features(graph: GraphWriter, network: bytes, role: str, image: str) -> str:
    """An image extractor, and each of its tokens for the 2x2 patches that it covers."""
    (tokens,) = graph.inline(network, role, {"image": image})
    shape = onnx.load_model_from_string(network).graph.output[0].type.tensor_type.shape
    index = graph.constant(token_of_patch(shape.dim[1].dim_value), np.int64)
    return graph.op("Gather", tokens, index, axis=1, name=f"{role}_features")


def _write_foreground(graph: GraphWriter, route: Route) -> str:
    """(B, 3136) bool, patches that carry part: exactly those whose pooling weights are not all zero."""
    if "pc" not in route.measured:
        return "foreground"
    total = graph.op("ReduceSum", "pooling", graph.constant([2], np.int64), keepdims=0)
    return graph.op("Greater", total, graph.constant(0.0), name="patch_foreground")


def _write_match(graph: GraphWriter, role: str, normalized: NormalizedBank, features: str, foreground: str) -> str:
    """The search in one bank, its map and its image score; returns the distances, (B, 3136)."""
    bank = normalized.bank
    searched = _write_bank(graph, role, bank, _write_queries(graph, role, normalized, features))
    sq_distance, index = _write_search(graph, searched)
    nowhere = graph.constant(NO_INDEX, np.int32)
    graph.op("Where", foreground, graph.op("Cast", index, to=TensorProto.INT32), nowhere, name=f"index_{role}")
    measured = _write_distance(graph, bank, sq_distance)
    distance = graph.op("Where", foreground, measured, graph.constant(0.0), name=f"patch_distance_{role}")
    # Below every distance: a patch without part is never the most anomalous, whatever its neighbors' are.
    ranked = graph.op("Where", foreground, measured, graph.constant(-1.0))
    _write_score(graph, role, bank, searched, ranked, index)
    grid = graph.constant([-1, PATCH_GRID, PATCH_GRID], np.int64)
    graph.op("Reshape", distance, grid, name=f"distance_{role}")
    return distance


def _write_queries(graph: GraphWriter, role: str, normalized: NormalizedBank, features: str) -> str:
    mean, std = graph.constant(normalized.feature_mean), graph.constant(normalized.feature_std)
    queries = graph.op("Div", graph.op("Sub", features, mean), std)
    if normalized.bank.metric == "cosine":
        norm = graph.op("ReduceL2", queries, graph.constant([2], np.int64), keepdims=1)
        queries = graph.op("Div", queries, graph.op("Max", norm, graph.constant(LEAST_NORM)))
    return graph.op("Sub", queries, graph.constant(normalized.bank.mean), name=f"queries_{role}")


def _write_bank(graph: GraphWriter, role: str, bank: MemoryBank, queries: str) -> _Searched:
    slices = slice_bank(bank)
    rows = [graph.constant(piece.rows, name=f"bank_{role}/rows_{number}") for number, piece in enumerate(slices)]
    centers = [graph.constant(piece.center, name=f"bank_{role}/center_{number}") for number, piece in enumerate(slices)]
    return _Searched(queries, slices, rows, centers)


def _write_search(graph: GraphWriter, searched: _Searched) -> tuple[str, str]:
    """Squared distance and index of the nearest row, (B, 3136) each.

    Within a slice the `CANDIDATES` rows of the smallest 0.5 |b|^2 - q.b, around the slice's center; these are then
    measured from the differences themselves, as the runtime does, since the product loses the digits that tell close
    neighbors apart.
    """
    best, nearest = "", ""
    last = graph.constant([2], np.int64)
    for piece, rows, center in zip(searched.slices, searched.rows, searched.centers, strict=True):
        queries = graph.op("Sub", searched.queries, center)
        product = graph.op("MatMul", queries, graph.op("Transpose", rows, perm=[1, 0]))
        scores = graph.op("Sub", graph.constant(piece.half_norms), product)
        indices = graph.constant(piece.index, np.int64)
        for column in graph.lowest(scores, min(CANDIDATES, len(piece.index))):
            difference = graph.op("Sub", queries, graph.op("Gather", rows, column, axis=0))
            measured = graph.op("ReduceSumSquare", difference, last, keepdims=0)
            index = graph.op("Gather", indices, column, axis=0)
            if not best:
                best, nearest = measured, index
                continue
            nearer = _nearer(graph, (measured, index), (best, nearest))
            best = graph.op("Where", nearer, measured, best)
            nearest = graph.op("Where", nearer, index, nearest)
    return best, nearest


def _nearer(graph: GraphWriter, candidate: tuple[str, str], best: tuple[str, str]) -> str:
    """Whether a row (distance, index) is nearer than the best so far, or as near and lower."""
    (distance, index), (least, lowest) = candidate, best
    ties = graph.op("And", graph.op("Equal", distance, least), graph.op("Less", index, lowest))
    return graph.op("Or", graph.op("Less", distance, least), ties)


def _write_distance(graph: GraphWriter, bank: MemoryBank, sq_distance: str) -> str:
    if bank.metric == "cosine":
        return graph.op("Mul", sq_distance, graph.constant(0.5))
    return graph.op("Sqrt", sq_distance)


def _write_score(graph: GraphWriter, role: str, bank: MemoryBank, searched: _Searched, ranked: str, index: str) -> None:
    """The re-weighted image score of one bank (`scoring.image_score`): (B,), named score_ROLE.

    Args:
        graph: to write to.
        role: the bank's.
        bank: with its table of neighbors.
        searched: what `_write_search` searched.
        ranked: (B, 3136) distances, negative where there is no part.
        index: (B, 3136) nearest rows.
    """
    last = graph.constant([1], np.int64)
    largest = graph.op("ReduceMax", ranked, last, keepdims=1)
    if bank.neighbors.shape[1] == 0:
        graph.op("Squeeze", largest, last, name=f"score_{role}")
        return
    patch = graph.op("ArgMax", ranked, axis=1, keepdims=1)
    row = graph.op("GatherElements", index, patch, axis=1)
    place = np.argsort(np.concatenate([piece.index for piece in searched.slices]))
    table = graph.constant(place[bank.neighbors], np.int64, name=f"bank_{role}/neighbor_places")
    neighbors = graph.op("Squeeze", graph.op("Gather", table, row, axis=0), last)
    at = graph.op("Unsqueeze", patch, graph.constant([2], np.int64))
    query = graph.op("GatherND", searched.queries, at, batch_dims=1)
    difference = graph.op("Sub", query, _write_rows(graph, searched, neighbors))
    to_neighbors = graph.op("ReduceSumSquare", difference, graph.constant([2], np.int64), keepdims=0)
    root_dim = graph.constant(math.sqrt(bank.rows.shape[1]))
    exponents = graph.op("Div", _write_distance(graph, bank, to_neighbors), root_dim)
    top = graph.op("ReduceMax", exponents, last, keepdims=1)
    total = graph.op("ReduceSum", graph.op("Exp", graph.op("Sub", exponents, top)), last, keepdims=1)
    surplus = graph.op("Sub", graph.op("Div", largest, root_dim), graph.op("Add", top, graph.op("Log", total)))
    share = graph.op("Exp", graph.op("Min", surplus, graph.constant(0.0)))
    weight = graph.op("Sub", graph.constant(1.0), share)
    graph.op("Squeeze", graph.op("Mul", weight, largest), last, name=f"score_{role}")


def _write_rows(graph: GraphWriter, searched: _Searched, places: str) -> str:
    """Rows of the whole bank by their place, slice after slice: (B, k) -> (B, k, D)."""
    taken, start = "", 0
    for piece, rows, center in zip(searched.slices, searched.rows, searched.centers, strict=True):
        local = graph.op("Sub", places, graph.constant(start, np.int64))
        inside = graph.op("Clip", local, graph.constant(0, np.int64), graph.constant(len(piece.index) - 1, np.int64))
        gathered = graph.op("Add", graph.op("Gather", rows, inside, axis=0), center)
        start += len(piece.index)
        if not taken:
            taken = gathered
            continue
        begun = graph.op("GreaterOrEqual", local, graph.constant(0, np.int64))
        taken = graph.op("Where", graph.op("Unsqueeze", begun, graph.constant([2], np.int64)), gathered, taken)
    return taken


def _write_decision(graph: GraphWriter, decision: Decision, roles: Sequence[str], matches: list[str]) -> None:
    """The fused score (B,) and the fused, upsampled and blurred map (B, 224, 224)."""
    scores = [f"score_{role}" for role in roles]
    if decision.fusion is None:
        graph.op("Identity", scores[0], name="score")
        fused = matches[0]
    else:
        graph.op("Add", *_weighted(graph, scores, decision.fusion.score.weights), name="score")
        fused = graph.op("Add", *_weighted(graph, matches, decision.fusion.map.weights))
    grid = graph.op("Reshape", fused, graph.constant([-1, PATCH_GRID, PATCH_GRID], np.int64))
    upsampling = upsample_blur_matrix()
    rows = graph.op("MatMul", graph.constant(upsampling), grid)
    graph.op("MatMul", rows, graph.constant(upsampling.T), name="map")


def _weighted(graph: GraphWriter, tensors: list[str], weights: tuple[float, float]) -> list[str]:
    return [graph.op("Mul", tensor, graph.constant(weight)) for tensor, weight in zip(tensors, weights, strict=True)]
