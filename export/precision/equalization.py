"""Channels of an activation on one footing before int8: each is divided by a factor that the weights take over.

One scale serves a whole tensor, and a few channels with large values would leave the others few of its levels:
x W = (x / s) (s W) with s_k = sqrt(max |x_k| / max |W_k|) shares the spread between both sides (SmoothQuant: Xiao et
al., ICML 2023, with its alpha of 1/2).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from .int8 import quantizable, replace_nodes

Array = npt.NDArray[np.float32]

# Of channels that are always zero, and of weights that take nothing from a channel.
LEAST_LIMIT = 1e-5


def equalized(model: bytes, limits: Mapping[str, Array]) -> bytes:
    """The same function as a float32 graph, apart from rounding: its quantizable products take divided channels.

    Args:
        model: a float32 graph.
        limits: for the left-hand side of every quantizable product the largest magnitude of each channel, (K,).
    """
    proto = onnx.load_model_from_string(model)
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}
    products = {node.name: tuple(node.input) for node in quantizable(model)}
    factor_of: dict[str, str] = {}
    added: dict[str, Array] = {}
    for number, (activations, weights) in enumerate(connected(products.values())):
        factor = _factor([limits[name] for name in activations], [stored[name] for name in weights])
        factor_of.update(dict.fromkeys(activations, f"equal_{number}/divisors"))
        added[f"equal_{number}/divisors"] = np.float32(1) / factor
        added.update({f"{name}/equal": stored[name] * factor[:, None] for name in weights})
    nodes: list[onnx.NodeProto] = []
    for node in proto.graph.node:
        if node.name in products:
            activation, weight = node.input
            if activation in factor_of:
                inputs = [activation, factor_of.pop(activation)]
                nodes.append(helper.make_node("Mul", inputs, [f"{activation}/equal"], f"{activation}/equalize"))
            node.input[:] = [f"{activation}/equal", f"{weight}/equal"]
        nodes.append(node)
    replace_nodes(proto.graph, nodes, (numpy_helper.from_array(array, name) for name, array in added.items()))
    return proto.SerializeToString(deterministic=True)


def connected(products: Iterable[tuple[str, str]]) -> list[tuple[list[str], list[str]]]:
    """Groups of (activations, weights) that products tie together: all of a group share their channels' factors.

    Example:
        >>> connected([("a", "w1"), ("a", "w2"), ("b", "w3")])
        [(['a'], ['w1', 'w2']), (['b'], ['w3'])]
    """
    groups: list[tuple[list[str], list[str]]] = []
    for pair in products:
        touched = [group for group in groups if pair[0] in group[0] or pair[1] in group[1]]
        groups = [group for group in groups if group not in touched]
        sides = [[name for group in touched for name in group[side]] for side in (0, 1)]
        activations, weights = (list(dict.fromkeys([*side, name])) for side, name in zip(sides, pair, strict=True))
        groups.append((activations, weights))
    return groups


def _factor(activations: Sequence[Array], weights: Sequence[Array]) -> Array:
    """(K,) what channels are divided by: (K,) largest magnitudes of activations, (K, N) weights."""
    largest = np.max(activations, axis=0)
    heaviest = np.max([np.abs(weight).max(axis=1) for weight in weights], axis=0)
    shared: Array = np.sqrt(np.maximum(largest, LEAST_LIMIT) / np.maximum(heaviest, LEAST_LIMIT)).astype(np.float32)
    return shared
