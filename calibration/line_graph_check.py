"""The fused graph against the NumPy runtime, on real scans: the gate that every line graph passes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..runtime.decision import Decision
from ..runtime.errors import naming_scan
from ..runtime.features import FeaturePath, PreparedPart, prepare_part
from ..runtime.inspector import read_part
from ..runtime.line_graph import LineGraph
from ..runtime.manifest import Manifest
from ..runtime.timing import StageTimes
from .line_graph import bank_roles
from .parity import ParityReport, TensorCheck, Tolerance, check_decisions, check_tensor, scan_name

COMPARED = "line graph against runtime (squares)"
# Products of float32 tell squared distances apart, not distances: small ones are judged with this atol, squared.
# For others 2e-4 of the square is 1e-4 of the value.
SQUARED = Tolerance(atol=1e-4, rtol=2e-4, score=2e-4)
N_SCANS = 5

Tensors = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Reference:
    """What the runtime says of one part, by the names of the line graph's outputs; patches of the part only."""

    tensors: Tensors
    foreground: npt.NDArray[np.bool_]


def check_line_graph(
    line: LineGraph,
    manifest: Manifest,
    path: FeaturePath,
    decision: Decision,
    threshold: float,
    scans: Sequence[Path],
) -> ParityReport:
    """Compare distances, maps, scores and verdicts of a line graph with those of the NumPy runtime.

    Args:
        line: the graph, opened.
        manifest: of the bundle.
        path: the bundle's networks.
        decision: its banks and fusion.
        threshold: of the score.
        scans: some of the calibration's; at most `N_SCANS` are taken, evenly.

    Raises:
        ScanError: a scan cannot be read or used.
    """
    chosen = [scans[i] for i in np.unique(np.linspace(0, len(scans) - 1, N_SCANS).astype(int))]
    expected: dict[str, Reference] = {}
    actual: dict[str, Tensors] = {}
    for scan in chosen:
        with naming_scan(scan):
            prepared = prepare_part(read_part(scan, manifest), manifest)
        expected[scan_name(scan)] = reference(manifest, path, decision, prepared)
        actual[scan_name(scan)] = line.run(prepared, StageTimes()).outputs
    names = [*(f"distance_{role}" for role in bank_roles(manifest)), "map"]
    return ParityReport(
        tensors=[_check_squared(name, actual, expected) for name in names],
        decisions=[
            check_decisions(
                COMPARED,
                list(expected),
                [float(actual[scan]["score"]) ** 2 for scan in expected],
                [float(each.tensors["score"]) ** 2 for each in expected.values()],
                threshold**2,
                SQUARED,
            )
        ],
    )


def reference(manifest: Manifest, path: FeaturePath, decision: Decision, prepared: PreparedPart) -> Reference:
    """The runtime's score, map, and per bank the distances of the patches that carry part."""
    features = path.extract(prepared, StageTimes())
    matches = decision.match(features)
    score, map_224 = decision.decide(features.foreground, matches)
    tensors: Tensors = {"score": np.array(score), "map": map_224}
    for role, match in zip(bank_roles(manifest), matches, strict=True):
        tensors[f"distance_{role}"] = match.distances
        tensors[f"score_{role}"] = np.array(match.score)
    return Reference(tensors, features.foreground)


def _check_squared(name: str, actual: Mapping[str, Tensors], expected: Mapping[str, Reference]) -> TensorCheck:
    pairs = {}
    for scan, each in expected.items():
        found, wanted = actual[scan][name], each.tensors[name]
        if name.startswith("distance_"):
            found = found.ravel()[each.foreground]
        pairs[scan] = (np.square(found, dtype=np.float64), np.square(wanted, dtype=np.float64))
    return check_tensor(COMPARED, "line", name, pairs, SQUARED)
