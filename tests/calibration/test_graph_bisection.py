"""Every tensor of a graph, in the order in which they are computed, in few runs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from cmdiad.calibration import graph_bisection
from cmdiad.calibration.graph_bisection import first_off, run_with_tensors
from cmdiad.calibration.parity import TOLERANCES
from cmdiad.runtime.engines.session import OnnxSession
from onnx import TensorProto, helper

STEPS = 150
START = {"value": np.arange(6, dtype=np.float32).reshape(2, 3)}


def chain(wrong_at: int | None = None) -> bytes:
    """A graph that adds 1, 2, 3, ...; at one step, where it is asked to, half as much again."""
    names = ["value", *(f"sum_{step}" for step in range(1, STEPS + 1))]
    nodes = [helper.make_node("Add", [names[n - 1], f"term_{n}"], [names[n]], f"add_{n}") for n in range(1, STEPS + 1)]
    terms = [
        helper.make_tensor(f"term_{n}", TensorProto.FLOAT, [], [1.5 * n if n == wrong_at else n])
        for n in range(1, STEPS + 1)
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", 3]) for name in (names[0], names[-1])]
    graph = helper.make_graph(nodes, "chain", ends[:1], ends[1:], terms)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9).SerializeToString()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many tensors each run was asked for."""
    counts: list[int] = []

    class Counting(OnnxSession):
        def run(self, inputs: Any) -> dict[str, npt.NDArray[Any]]:
            outputs = super().run(inputs)
            counts.append(len(outputs))
            return outputs

    monkeypatch.setattr(graph_bisection, "OnnxSession", Counting)
    return counts


def test_all_come_in_order_with_what_they_hold(asked: list[int]) -> None:
    tensors = list(run_with_tensors(chain(), START))
    assert [name for name, _ in tensors] == [f"sum_{n}" for n in range(1, STEPS + 1)]
    for n, (_, tensor) in enumerate(tensors, 1):
        np.testing.assert_array_equal(tensor, START["value"] + n * (n + 1) / 2)
    assert asked == [8, 64, 64, 14]


def test_as_many_at_once_as_memory_allows(asked: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph_bisection, "_BYTES", 10 * START["value"].nbytes)
    list(run_with_tensors(chain(), START))
    assert asked == [8, *[10] * 14, 2]


@pytest.mark.parametrize("names", [["sum_3"], ["sum_9", "sum_2"]])
def test_those_that_are_named_come_alone(names: Iterable[str]) -> None:
    assert [name for name, _ in run_with_tensors(chain(), START, names)] == list(names)


@pytest.mark.parametrize("step", [1, 77, STEPS])
def test_the_first_that_is_off_is_named(step: int) -> None:
    told = first_off(chain(), chain(wrong_at=step), START, TOLERANCES["fp32"])
    assert told == f"Add add_{step} (sum_{step})"
    assert first_off(chain(), chain(), START, TOLERANCES["fp32"]) == ""
