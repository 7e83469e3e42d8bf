"""Scores 0.5 |b|^2 - q.b of queries and rows as one Gemm of ONNX Runtime, on the calling thread.

The screened search makes hundreds of small products. NumPy's BLAS would share out each of them among its threads
and wait for the slowest, which on a busy machine takes longer than the products themselves.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from .engine import OnnxEngine

Float32Array = npt.NDArray[np.float32]

# ONNX: IR version 8, operator set 13, tensor type float32; attribute types float and int.
_IR_VERSION, _OPSET, _FLOAT32 = 8, 13, 1
_FLOAT_ATTRIBUTE, _INT_ATTRIBUTE = 1, 2


def half_distance_scores(queries_nd: Float32Array, rows_md: Float32Array, half_norms_m: Float32Array) -> Float32Array:
    """(n, m) float32 scores; for one query they rank the rows as their distances do.

    Args:
        queries_nd: (n, d) float32.
        rows_md: (m, d) float32.
        half_norms_m: (m,) half the squared norms of the rows; inf gives inf.
    """
    return _engine().run({"queries": queries_nd, "rows": rows_md, "half_norms": half_norms_m})["scores"]


@lru_cache(maxsize=1)
def _engine() -> OnnxEngine:
    return OnnxEngine(_model(), threads=1)


def _model() -> bytes:
    """scores = half_norms - queries @ rows.T, as an ONNX file (field numbers of onnx.proto3)."""
    node = b"".join(
        [
            *(_text(1, name) for name in ("queries", "rows", "half_norms")),
            _text(2, "scores"),
            _text(4, "Gemm"),
            _message(5, _text(1, "alpha") + b"\x15" + struct.pack("<f", -1.0) + _integer(20, _FLOAT_ATTRIBUTE)),
            _message(5, _text(1, "transB") + _integer(3, 1) + _integer(20, _INT_ATTRIBUTE)),
        ]
    )
    graph = b"".join(
        [
            _message(1, node),
            _text(2, "scores"),
            _message(11, _tensor("queries", ["n", "d"])),
            _message(11, _tensor("rows", ["m", "d"])),
            _message(11, _tensor("half_norms", ["m"])),
            _message(12, _tensor("scores", ["n", "m"])),
        ]
    )
    return _integer(1, _IR_VERSION) + _message(7, graph) + _message(8, _text(1, "") + _integer(2, _OPSET))


def _tensor(name: str, axes: Sequence[str]) -> bytes:
    shape = b"".join(_message(1, _text(2, axis)) for axis in axes)
    return _text(1, name) + _message(2, _message(1, _integer(1, _FLOAT32) + _message(2, shape)))


def _text(field: int, text: str) -> bytes:
    return _message(field, text.encode())


def _message(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _integer(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _varint(value: int) -> bytes:
    """Seven bits a byte, lowest first; the high bit says that more follow."""
    encoded = bytearray()
    while value > 127:
        encoded.append(value & 127 | 128)
        value >>= 7
    return bytes([*encoded, value])
