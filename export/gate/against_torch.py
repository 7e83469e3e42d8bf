"""The gate of export: every graph against its torch network, on real scans, stage by stage, through the line's path."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import onnx
import torch
from torch import nn

from ...calibration.graph_bisection import describe_producer, first_off, run_with_tensors
from ...calibration.parity import TOLERANCES, ParityReport, TensorCheck, Tolerance, check_tensor, excess, scan_name
from ...calibration.survey import decided_preprocessing
from ...runtime.bundle.manifest import Manifest
from ...runtime.engines.opening import ObservedSession
from ...runtime.engines.session import Arrays, OnnxSession, Session
from ...runtime.errors import UsageError
from ...runtime.patches.features import FeaturePath
from ...runtime.patches.routes import modalities, route_of
from ...runtime.preparation.prepared_part import PreparedPart
from ...runtime.sensor.dataset import GOOD, find_classes, find_samples
from ...runtime.sensor.part import input_file
from ...runtime.timing import StageTimes
from ...training.features.torch_session import CPU, TorchSession
from ..graphs import GraphSpec, exported_program
from .grouped_scan import grouped_scan

N_SCANS = 3
TORCH = "onnx against torch"
FEATURES = "onnx path against torch path"
# Operators whose tensors have the same names in torch and in the graph; the exporter numbers plain arithmetic anew.
LAYERS = ("linear", "layer_norm", "gelu", "conv2d", "scaled_dot_product")

Samples = dict[str, dict[str, npt.NDArray[Any]]]


@dataclass(frozen=True)
class Dataset:
    """A dataset root in the MVTec 3D-AD layout, and which of its classes; empty: all."""

    root: Path
    classes: Sequence[str] = ()


@dataclass(frozen=True)
class Observed:
    """What one scan put into every network, and what came out; `features` are the patches', by bank."""

    inputs: Samples = field(default_factory=dict)
    outputs: Samples = field(default_factory=dict)
    features: dict[str, npt.NDArray[np.float32]] = field(default_factory=dict)

    def keep(self, role: str, inputs: Arrays, outputs: Arrays) -> None:
        """What went through the network of a role."""
        self.inputs[role], self.outputs[role] = dict(inputs), dict(outputs)


def gate_scans(data: Dataset | None, manifest: Manifest, given: Sequence[Path]) -> list[Path]:
    """The real scans of the gate: those given, else normal training scans of a dataset, of every class in turn.

    Raises:
        UsageError: none were given and there is no dataset.
    """
    if given:
        return list(given)[:N_SCANS]
    if data is None:
        raise UsageError(
            "the parity gate needs a few real scans, and the run's training data is not where it was: give --scans PATH"
        )
    by_class = [find_samples(folder, "train", GOOD) for folder in find_classes(data.root, data.classes)]
    turns = [samples[turn] for turn in range(N_SCANS) for samples in by_class if turn < len(samples)]
    return [input_file(sample, modalities(manifest)) for sample in turns[:N_SCANS]]


def read_parts(manifest: Manifest, scans: Sequence[Path]) -> dict[str, PreparedPart]:
    """Scans as the route sees them, by name.

    Raises:
        ScanError: a scan cannot be read or used.
    """
    decided = msgspec.structs.replace(manifest, preprocessing=decided_preprocessing(manifest, scans))
    return {scan_name(scan): grouped_scan(scan, decided) for scan in scans}


def observe(
    manifest: Manifest, sessions: Mapping[str, Session], parts: Mapping[str, PreparedPart]
) -> dict[str, Observed]:
    """Run every part through the line's own path and keep what every network saw and said."""
    observed = {}
    for name, part in parts.items():
        kept = Observed()
        watched = {role: ObservedSession(role, session, kept.keep) for role, session in sessions.items()}
        path = FeaturePath(manifest.route, manifest.main, manifest.grouping, watched)
        features = path.extract(part, StageTimes())
        kept.features["main"] = features.main
        if features.second is not None:
            kept.features["second"] = features.second
        observed[name] = kept
    return observed


def check_against_torch(
    manifest: Manifest,
    networks: Mapping[str, tuple[nn.Module, GraphSpec, str]],
    models: Mapping[str, bytes],
    parts: Mapping[str, PreparedPart],
) -> ParityReport:
    """Every network on what it sees of real scans, and the features of the whole path.

    Args:
        manifest: route, main modality, grouping.
        networks: role -> torch network, inputs and output, architecture.
        models: role -> ONNX graph.
        parts: real scans, prepared, by name.
    """
    references = {role: TorchSession(module, spec.output, CPU) for role, (module, spec, _) in networks.items()}
    sessions = {role: OnnxSession(model) for role, model in models.items()}
    expected = observe(manifest, references, parts)
    actual = observe(manifest, sessions, parts)
    tolerance = TOLERANCES["fp32"]
    tensors = []
    for role, (module, spec, _) in networks.items():
        check = check_outputs(TORCH, role, spec.output, sessions[role], expected, tolerance)
        if not check.passed:
            inputs = expected[check.worst].inputs[role]
            check = msgspec.structs.replace(
                check, first_off=first_off_torch(module, spec, models[role], inputs, tolerance)
            )
        tensors.append(check)
    features = check_features(FEATURES, actual, expected, tolerance)
    # The networks before and after the grouping are compared on equal inputs all the same.
    if route_of(manifest.route, manifest.main).groups_hallucination:
        features = [check for check in features if not check.tensor.endswith("second bank")]
    return ParityReport(tensors=[*tensors, *features])


def check_outputs(
    compared: str, role: str, output: str, session: Session, expected: Mapping[str, Observed], tolerance: Tolerance
) -> TensorCheck:
    """One network's output on the very inputs that its reference had."""
    pairs = {
        scan: (session.run(kept.inputs[role])[output], kept.outputs[role][output]) for scan, kept in expected.items()
    }
    return check_tensor(compared, role, output, pairs, tolerance)


def check_features(
    compared: str, actual: Mapping[str, Observed], expected: Mapping[str, Observed], tolerance: Tolerance
) -> list[TensorCheck]:
    """What is compared with the banks, end to end."""
    banks = next(iter(expected.values())).features
    return [
        check_tensor(
            compared,
            "path",
            f"features of the {bank} bank",
            {scan: (actual[scan].features[bank], kept.features[bank]) for scan, kept in expected.items()},
            tolerance,
        )
        for bank in banks
    ]


def check_reduced(
    precision: str,
    references: Mapping[str, bytes],
    reduced: Mapping[str, bytes],
    observed: Mapping[str, Observed],
    tolerance: Tolerance,
) -> ParityReport:
    """Every network in another precision against float32, on what it sees of real scans.

    Args:
        precision: how the comparison is called, such as `fp16`.
        references: role -> float32 graph.
        reduced: role -> the other graph, with the same names.
        observed: the float32 networks on real scans.
        tolerance: what may differ.
    """
    checks = []
    for role, model in reduced.items():
        (output,) = next(iter(observed.values())).outputs[role]
        check = check_outputs(f"{precision} against fp32", role, output, OnnxSession(model), observed, tolerance)
        if not check.passed:
            layer = first_off(references[role], model, observed[check.worst].inputs[role], tolerance)
            check = msgspec.structs.replace(check, first_off=layer)
        checks.append(check)
    return ParityReport(tensors=checks)


def first_off_torch(network: nn.Module, spec: GraphSpec, model: bytes, inputs: Arrays, tolerance: Tolerance) -> str:
    """The first node of a graph whose tensor is not torch's; the exporter names both the same."""
    expected = _torch_tensors(network, spec, inputs)
    names = [name for name in _produced(model) if name in expected]
    for name, actual in run_with_tensors(model, inputs, names):
        wanted = expected[name]
        if actual.shape == wanted.shape and excess(actual, wanted, tolerance)[1] > 1:
            return describe_producer(model, name)
    return describe_producer(model, spec.output)


def _produced(model: bytes) -> list[str]:
    return [name for node in onnx.load_model_from_string(model).graph.node for name in node.output]


class _Recording(torch.fx.Interpreter):
    """Runs an exported program and keeps what its layers give."""

    def __init__(self, module: torch.fx.GraphModule) -> None:
        super().__init__(module)
        self.kept: dict[str, npt.NDArray[Any]] = {}

    def run_node(self, n: torch.fx.Node) -> Any:
        """Run one node."""
        value = super().run_node(n)
        if n.name.startswith(LAYERS) and isinstance(value, torch.Tensor) and value.is_floating_point():
            self.kept[n.name] = value.detach().numpy()
        return value


def _torch_tensors(network: nn.Module, spec: GraphSpec, inputs: Arrays) -> dict[str, npt.NDArray[Any]]:
    """What the layers of a network give, by the names that the exporter gave them."""
    module = exported_program(network, spec).module()
    assert isinstance(module, torch.fx.GraphModule)
    recording = _Recording(module)
    with torch.inference_mode():
        recording.run(*[torch.from_numpy(np.ascontiguousarray(inputs[name])) for name in spec.inputs])
    return recording.kept
