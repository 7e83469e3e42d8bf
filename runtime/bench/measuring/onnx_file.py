"""As much of the ONNX file format as counting needs: which tensors are weights, and their shapes.

Reads the wire format of protocol buffers (field numbers of onnx.proto3); the runtime has no onnx package.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import msgspec

from ...errors import BundleError

_GRAPH = 7
_NODE, _INITIALIZER = 1, 5
_NODE_INPUT, _NODE_NAME, _NODE_OP = 1, 3, 4
_TENSOR_DIMS, _TENSOR_NAME = 1, 8
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


class OnnxNode(msgspec.Struct, frozen=True):
    """One operator: its name, kind and input names."""

    name: str
    op: str
    inputs: list[str]


class OnnxGraph(msgspec.Struct, frozen=True):
    """The operators of a graph, and the shapes of its weights by name."""

    nodes: list[OnnxNode]
    weights: dict[str, list[int]]


def read_graph(model: bytes) -> OnnxGraph:
    """Operators and weight shapes of an ONNX file.

    Raises:
        BundleError: it is not an ONNX file.
    """
    try:
        graph = next(value for field, value in _fields(memoryview(model)) if field == _GRAPH)
        nodes, weights = [], {}
        for field, value in _fields(graph):
            if field == _NODE:
                nodes.append(_node(value))
            elif field == _INITIALIZER:
                name, shape = _tensor(value)
                weights[name] = shape
    except (StopIteration, IndexError, ValueError, TypeError) as cause:
        raise BundleError(f"a network is not an ONNX file ({cause}): export the bundle again") from cause
    return OnnxGraph(nodes, weights)


def elements(shape: list[int]) -> int:
    """How many numbers a tensor of this shape holds."""
    return math.prod(shape)


def _node(data: memoryview) -> OnnxNode:
    name, op, inputs = "", "", []
    for field, value in _fields(data):
        if field == _NODE_INPUT:
            inputs.append(str(value, "utf-8"))
        elif field == _NODE_NAME:
            name = str(value, "utf-8")
        elif field == _NODE_OP:
            op = str(value, "utf-8")
    return OnnxNode(name, op, inputs)


def _tensor(data: memoryview) -> tuple[str, list[int]]:
    name, shape = "", []
    for field, value in _fields(data):
        if field == _TENSOR_NAME:
            name = str(value, "utf-8")
        elif field == _TENSOR_DIMS:
            # One number, or several packed into bytes.
            shape += [value] if isinstance(value, int) else _packed(value)
    return name, shape


def _fields(data: memoryview) -> Iterator[tuple[int, Any]]:
    """(field number, content) of a message: an int, or the bytes of what is nested; fixed-size numbers as bytes."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        kind = key & 7
        if kind == _VARINT:
            value, at = _varint(data, at)
            yield key >> 3, value
            continue
        if kind == _BYTES:
            length, at = _varint(data, at)
        elif kind in (_FIXED32, _FIXED64):
            length = 4 if kind == _FIXED32 else 8
        else:
            raise ValueError(f"wire type {kind}")
        if at + length > len(data):
            raise ValueError("it ends too early")
        yield key >> 3, data[at : at + length]
        at += length


def _packed(data: memoryview) -> list[int]:
    numbers, at = [], 0
    while at < len(data):
        number, at = _varint(data, at)
        numbers.append(number)
    return numbers


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """A number of seven bits a byte, lowest first, and where it ends."""
    number = shift = 0
    while True:
        byte = data[at]
        at += 1
        number |= (byte & 127) << shift
        if byte < 128:
            return number, at
        shift += 7
        if shift > 63:
            raise ValueError("a number is too long")
