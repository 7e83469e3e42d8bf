"""The fused graph against the NumPy runtime, on real scans: the gate that every line graph passes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from ...runtime.bundle.manifest import Manifest
from ...runtime.line_graph import LineGraph
from ...runtime.patches.features import FeaturePath
from ...runtime.patches.routes import modalities, route_of
from ...runtime.preparation.prepared_part import PreparedPart, prepare_file
from ...runtime.sensor.in_memory import PartSource
from ...runtime.timing import StageTimes
from ...runtime.verdict.decision import Decision, NormalizedBank
from ..parity import DecisionCheck, ParityReport, TensorCheck, Tolerance, check_decisions, check_tensor, scan_name

COMPARED = "line graph against runtime"
FEATURES_NORM = "the features' norm"
# Features of two orders of summation differ by a share of their own norm, and distances by as much, however small they
# are: of features that are nearly equal everywhere no digit of a distance may be left. Of float32 networks the share
# is 3e-7 to 6e-7 (measured); half precision rounds the other way where a value lies between two of its numbers.
ROUNDING = {"fp32": 5e-6, "fp16": 5e-4}
RTOL = 1e-4
# Directions differ by twice their norm at most, and half the square of that is the cosine distance.
DIRECTION_NORM = 2.0
# A score is a distance times a weight, which depends on distances too.
SCORE_ROUNDINGS = 3.0
N_SCANS = 5

Tensors = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Reference:
    """What the runtime says of one part, by the names of the line graph's outputs; patches of the part only.

    Attributes:
        tensors: score, map, and per bank score and distances.
        foreground: (3136,) the patches of the part.
        norms: for the distances of every bank, the map and the score the norm of the features that enter.
    """

    tensors: Tensors
    foreground: npt.NDArray[np.bool_]
    norms: dict[str, float]


def check_line_graph(
    line: LineGraph,
    manifest: Manifest,
    path: FeaturePath,
    decision: Decision,
    threshold: float,
    scans: Sequence[PartSource],
) -> ParityReport:
    """Compare distances, maps, scores and verdicts of a line graph with those of the NumPy runtime.

    They are those that an inspection has: where the graph itself marks a search as not proven, as among rows of a bank
    that are nearly the same, an inspection repeats it in NumPy, and so does this.

    Args:
        line: the graph, opened.
        manifest: of the bundle, with its calibration.
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
        # As the line prepares it: of several things in view the part is what is most as calibration saw it.
        whole = prepare_file(scan, modalities(manifest), manifest.preprocessing, manifest.part_range)
        prepared = path.group(whole, StageTimes())
        expected[scan_name(scan)] = reference(manifest, path, decision, prepared)
        actual[scan_name(scan)] = line.settled_outputs(prepared)
    precisions = {network.precision for network in manifest.networks.values()}
    tolerance = Tolerance(atol=max(ROUNDING[precision] for precision in precisions), rtol=RTOL, score=RTOL)
    names = [*(f"distance_{role}" for role in route_of(manifest.route, manifest.main).banks), "map"]
    return ParityReport(
        tensors=[_check(name, actual, expected, tolerance) for name in names],
        decisions=[_check_scores(actual, expected, threshold, tolerance)],
    )


def reference(manifest: Manifest, path: FeaturePath, decision: Decision, prepared: PreparedPart) -> Reference:
    """The runtime's score, map, and per bank the distances of the patches that carry part."""
    features = path.extract(prepared, StageTimes())
    matches = decision.match(features)
    score, map_224 = decision.decide(features.foreground, matches)
    tensors: Tensors = {"score": np.array(score), "map": map_224}
    norms, roles = [], route_of(manifest.route, manifest.main).banks
    banks = (decision.main, features.main), (decision.second, features.second)
    for role, match, (bank, rows) in zip(roles, matches, banks, strict=False):
        assert bank is not None
        assert rows is not None
        tensors[f"distance_{role}"] = match.distances
        tensors[f"score_{role}"] = np.array(match.score)
        norms.append(_norm(bank, rows))
    by_name = {f"distance_{role}": norm for role, norm in zip(roles, norms, strict=True)}
    fusion = decision.fusion
    of_map, of_score = (None, None) if fusion is None else (fusion.map.weights, fusion.score.weights)
    for name, weights in (("map", of_map), ("score", of_score if decision.score == "paper" else of_map)):
        by_name[name] = float(np.dot(weights or (1.0,), norms))
    return Reference(tensors, features.foreground, by_name)


def _norm(bank: NormalizedBank, features: npt.NDArray[np.float32]) -> float:
    """The largest norm of the features (n, d) that are compared with a bank, before its mean is subtracted."""
    if bank.bank.metric == "cosine":
        return DIRECTION_NORM
    return float(np.linalg.norm(bank.normalize(features).astype(np.float64), axis=1).max())


def _check(
    name: str, actual: Mapping[str, Tensors], expected: Mapping[str, Reference], tolerance: Tolerance
) -> TensorCheck:
    pairs = {}
    for scan, wanted in expected.items():
        given = actual[scan][name]
        pairs[scan] = given.ravel()[wanted.foreground] if name.startswith("distance_") else given, wanted.tensors[name]
    scales = {scan: wanted.norms[name] for scan, wanted in expected.items()}
    return check_tensor(COMPARED, "line", name, pairs, tolerance, scales, FEATURES_NORM)


def _check_scores(
    actual: Mapping[str, Tensors], expected: Mapping[str, Reference], threshold: float, tolerance: Tolerance
) -> DecisionCheck:
    rounding = SCORE_ROUNDINGS * tolerance.atol * max(wanted.norms["score"] for wanted in expected.values())
    return check_decisions(
        COMPARED,
        list(expected),
        [float(actual[scan]["score"]) for scan in expected],
        [float(wanted.tensors["score"]) for wanted in expected.values()],
        threshold,
        msgspec.structs.replace(tolerance, score=tolerance.score + rounding / max(threshold, 1e-30)),
    )
