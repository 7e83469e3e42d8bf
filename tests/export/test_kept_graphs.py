"""A graph is exported once, and again as soon as anything that it is made from changes."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from cmdiad.export import kept_graphs
from cmdiad.export.graphs import GraphSpec
from cmdiad.export.kept_graphs import kept_graph
from cmdiad.runtime.files.user_cache import user_cache
from cmdiad.training.extractors.loading import load_embedded_image_extractor, load_embedded_point_extractor
from cmdiad.training.routes.f2f import FeatureToFeature, Hallucinator
from torch import nn

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the variable that moves the cache is Linux's")

SPEC = GraphSpec({"image": torch.zeros(2, 3)}, {"image": {0: "batch"}}, "tokens")


class Scaled(nn.Linear):
    """Holds something of every kind that a graph depends on."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        super().__init__(3, 2)
        self.factor, self.activation, self.table = 2.0, nn.functional.relu, torch.ones(2)
        self.register_buffer("shift", torch.zeros(2), persistent=False)


class Exporter:
    """Counts how often it is asked; the graph is its number."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, network: nn.Module, spec: GraphSpec) -> bytes:
        self.asked += 1
        return f"graph {self.asked}".encode()


@pytest.fixture
def exporter(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Exporter:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return Exporter()


def files() -> list[Path]:
    return sorted(user_cache("graphs").iterdir(), key=lambda file: file.stat().st_mtime_ns)


def test_an_equal_network_has_the_graph_of_the_first(exporter: Exporter) -> None:
    assert kept_graph(Scaled().eval(), SPEC, exporter) == b"graph 1"
    assert kept_graph(Scaled(), SPEC, exporter) == b"graph 1"


def set_factor(network: Scaled) -> None:
    network.factor = 3.0


def set_activation(network: Scaled) -> None:
    network.activation = nn.functional.gelu


def bind_activation(network: Scaled) -> None:
    slope = 0.2
    network.activation = lambda values: nn.functional.leaky_relu(values, slope)


def set_table(network: Scaled) -> None:
    network.table = torch.tensor([1.0, 2.0])


def set_weight(network: Scaled) -> None:
    network.weight.data[0, 0] += 1


def set_buffer(network: Scaled) -> None:
    network.shift = torch.ones(2)


def add_module(network: Scaled) -> None:
    network.last = nn.Identity()


@pytest.mark.parametrize(
    "change", [set_factor, set_activation, bind_activation, set_table, set_weight, set_buffer, add_module]
)
def test_whatever_changes_of_a_network_is_exported_again(exporter: Exporter, change: Callable[[Scaled], None]) -> None:
    kept_graph(Scaled(), SPEC, exporter)
    changed = Scaled()
    change(changed)
    assert kept_graph(changed, SPEC, exporter) == b"graph 2"


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param(replace(SPEC, output="map"), id="output"),
        pytest.param(replace(SPEC, dynamic={"image": {0: "parts"}}), id="axis"),
        pytest.param(replace(SPEC, inputs={"image": torch.zeros(4, 3)}), id="shape"),
    ],
)
def test_so_is_another_declaration_of_inputs_and_output(exporter: Exporter, spec: GraphSpec) -> None:
    kept_graph(Scaled(), SPEC, exporter)
    assert kept_graph(Scaled(), spec, exporter) == b"graph 2"


def test_so_is_one_whose_code_or_exporter_changed(exporter: Exporter, monkeypatch: pytest.MonkeyPatch) -> None:
    kept_graph(Scaled(), SPEC, exporter)
    with monkeypatch.context() as patched:
        patched.setattr(kept_graphs, "version", lambda package: "99")
        assert kept_graph(Scaled(), SPEC, exporter) == b"graph 2"
    with monkeypatch.context() as patched:
        patched.setattr(kept_graphs, "_sources", lambda network: {Path(__file__).with_name("test_graphs.py")})
        assert kept_graph(Scaled(), SPEC, exporter) == b"graph 3"
    assert kept_graph(Scaled(), SPEC, exporter) == b"graph 1"


def test_a_damaged_file_is_replaced(exporter: Exporter) -> None:
    kept_graph(Scaled(), SPEC, exporter)
    (file,) = files()
    file.write_bytes(file.read_bytes() + b" ")
    assert kept_graph(Scaled(), SPEC, exporter) == b"graph 2"
    assert kept_graph(Scaled(), SPEC, exporter) == b"graph 2"


def test_the_oldest_go_when_all_take_too_much(exporter: Exporter, monkeypatch: pytest.MonkeyPatch) -> None:
    networks = [Scaled() for _ in range(3)]
    for number, network in enumerate(networks):
        network.factor = number
        kept_graph(network, SPEC, exporter)
        os.utime(files()[-1], (number, number))
    monkeypatch.setattr(kept_graphs, "MOST_BYTES", 2 * files()[0].stat().st_size)
    networks[0].factor = 3
    kept_graph(networks[0], SPEC, exporter)
    assert len(files()) == 2
    assert kept_graph(networks[2], SPEC, exporter) == b"graph 3"


def test_the_networks_that_are_exported_are_told_apart_by_values_not_by_where_they_lie_in_memory() -> None:
    for network in (
        load_embedded_point_extractor(),
        load_embedded_image_extractor(),
        Hallucinator(FeatureToFeature(24, 16), "pc"),
    ):
        words = [word for place in kept_graphs._of_the_structure(network) for word in place]
        assert not [word for word in words if " at 0x" in word]
