"""The fused line graph against the NumPy runtime, full size, on real scans.

    python benchmarks/studies/line_graph.py DATA [--scans 20] [--rows 76500] [--out FOLDER]

DATA is one class in the MVTec 3D-AD layout. The networks are Point-MAE and F2F at full size with seeded random
weights; the banks hold patches of train/good, and of the same scans mirrored and turned, drawn at random. Prints one
JSON object: the share of patches with the same nearest row, how much farther (float64) the graph's row is where it is
another, and the largest differences of distance, score and map, over the test scans.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from cmdiad.benchmarks.shared.measuring import relative_difference
from cmdiad.benchmarks.shared.workbench import Networks, fp32_graphs, write_networks
from cmdiad.calibration.line_graph.building import line_graph
from cmdiad.calibration.line_graph.graph_writing import encode_model
from cmdiad.runtime.banks.bank import build_bank
from cmdiad.runtime.bundle.manifest import Manifest
from cmdiad.runtime.bundle.parameters import KINECT
from cmdiad.runtime.bundle.reading import open_bundle
from cmdiad.runtime.engines.session import OnnxSession
from cmdiad.runtime.line_graph import LINE, LineGraph
from cmdiad.runtime.patches.features import FeatureExtractor, PartFeatures
from cmdiad.runtime.preparation.prepared_part import PreparedPart, prepare_file, prepare_part
from cmdiad.runtime.sensor.dataset import GOOD, Sample, find_samples
from cmdiad.runtime.sensor.part import POINTS, Part, read_sample
from cmdiad.runtime.timing import StageTimes
from cmdiad.runtime.verdict.decision import Decision, NormalizedBank
from cmdiad.runtime.verdict.fusion import Combination, Fusion
from cmdiad.training.extractors.point_transformer import POINT_MAE_FULL, PointTransformer
from cmdiad.training.routes.f2f import FeatureToFeature


@dataclass(frozen=True)
class MatchDifferences:
    """One bank's matches of one part.

    Attributes:
        patches: how many were matched.
        same: how many have the same nearest row.
        farther: how much farther the graph's row is where it is another, relative, at most.
        distance: the largest difference, relative to the largest distance.
    """

    patches: int
    same: int
    farther: float
    distance: float


@dataclass(frozen=True)
class PartDifferences:
    """One part: its banks' matches, the relative differences of score and map, and the seconds of both."""

    matches: list[MatchDifferences]
    score: float
    map: float
    runtime_s: float
    line_s: float


def main() -> None:
    """Build the networks, the banks and the graph, and compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--scans", type=int, default=20)
    parser.add_argument("--rows", type=int, default=76_500)
    parser.add_argument("--out", type=Path, help="keep line.onnx here")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        manifest, networks = full_size_bundle(Path(scratch) / "bundle")
        extractor = FeatureExtractor(open_bundle(Path(scratch) / "bundle"))
    decision = drawn_banks(manifest, extractor, options.data, options.rows)
    with tempfile.TemporaryDirectory() as scratch:
        out = options.out or Path(scratch)
        size = write_line_graph(out, manifest, networks, decision)
        line = LineGraph.on_host(manifest, OnnxSession(out / LINE), decision)
    test = find_samples(options.data, "test")
    chosen = [test[i] for i in np.linspace(0, len(test) - 1, options.scans).astype(int)]
    parts = [prepare_file(sample.scan, POINTS, manifest.preprocessing) for sample in chosen]
    print(json.dumps({**compare(line, extractor, decision, parts), "line_mb": round(size / 1e6, 1)}))


def write_line_graph(out: Path, manifest: Manifest, networks: dict[str, bytes], decision: Decision) -> int:
    """Write line.onnx into a folder; its size in bytes."""
    files = encode_model(line_graph(manifest, networks, decision), LINE)
    out.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (out / name).write_bytes(content)
    return sum(map(len, files.values()))


def full_size_bundle(path: Path) -> tuple[Manifest, dict[str, bytes]]:
    """A bundle with Point-MAE and F2F, seeded, and its networks' ONNX files by role."""
    torch.manual_seed(0)
    dim = POINT_MAE_FULL.token_dim
    models = fp32_graphs(Networks(PointTransformer(POINT_MAE_FULL).eval(), FeatureToFeature(dim, dim).eval()))
    return write_networks(path, models, KINECT), models


def drawn_banks(manifest: Manifest, extractor: FeatureExtractor, data: Path, rows: int) -> Decision:
    """Both banks, of patches drawn at random, and fusion weights of about the usual size."""
    parts: list[PartFeatures] = []
    for sample in find_samples(data, "train", GOOD):
        parts += [extractor.extract(part, StageTimes()) for part in turned(sample, manifest)]
        if sum(len(part.main) for part in parts) > rows:
            break
    banks = []
    for features in ([part.main for part in parts], [part.second for part in parts]):
        pool = np.concatenate([rows_of_part for rows_of_part in features if rows_of_part is not None])
        mean, std = float(pool.mean(dtype=np.float64)), float(pool.std(dtype=np.float64))
        chosen = np.random.default_rng(0).permutation(len(pool))[:rows]
        banks.append(NormalizedBank(build_bank((pool[chosen] - np.float32(mean)) / np.float32(std)), mean, std))
    combination = Combination(coefficients=(0.6, 0.4), offset=1.0, alpha=0.1, beta=0.2)
    return Decision(banks[0], banks[1], Fusion(score=combination, map=combination))


def turned(sample: Sample, manifest: Manifest) -> Iterator[PreparedPart]:
    """A scan, and the same mirrored and turned by quarters: eight parts that a sensor could have seen."""
    points = read_sample(sample, POINTS, manifest.preprocessing).points
    assert points is not None
    for flipped in (points, points[:, ::-1]):
        for quarter in range(4):
            part = Part(np.ascontiguousarray(np.rot90(flipped, quarter)), None)
            yield prepare_part(part, POINTS, manifest.preprocessing)


def compare(
    line: LineGraph, extractor: FeatureExtractor, decision: Decision, parts: list[PreparedPart]
) -> dict[str, object]:
    """The largest differences over all parts, relative to the largest value of each scan."""
    compared = [compare_part(line, extractor, decision, part) for part in parts]
    matches = [match for part in compared for match in part.matches]
    patches = sum(match.patches for match in matches)
    worst = {
        "distance": max(match.distance for match in matches),
        "score": max(part.score for part in compared),
        "map": max(part.map for part in compared),
    }
    seconds = {
        "runtime": sum(part.runtime_s for part in compared),
        "line": sum(part.line_s for part in compared),
    }
    return {
        "measure": "line_graph",
        "scans": len(parts),
        "bank_rows": len(decision.main.bank.rows),
        "patches": patches,
        "same_nearest_row": round(sum(match.same for match in matches) / patches, 6),
        "other_row_farther_by": float(f"{max(match.farther for match in matches):.2g}"),
        **{f"{name}_difference": float(f"{value:.2g}") for name, value in worst.items()},
        **{f"{name}_ms": round(1e3 * value / len(parts)) for name, value in seconds.items()},
    }


def compare_part(
    line: LineGraph, extractor: FeatureExtractor, decision: Decision, part: PreparedPart
) -> PartDifferences:
    """One part through both, one after the other."""
    start = time.perf_counter()
    features = extractor.extract(part, StageTimes())
    score, map_224 = decision.judge(features)
    middle = time.perf_counter()
    answer = line.run(part, StageTimes())
    end = time.perf_counter()
    outputs = line.outputs(part)
    assert decision.second is not None and features.second is not None
    banks = {"main": (decision.main, features.main), "hallucinated": (decision.second, features.second)}
    matches = []
    for role, (bank, rows) in banks.items():
        index, distance = (outputs[f"{name}_{role}"].ravel() for name in ("index", "distance"))
        matches.append(compare_matches(bank, rows, index[features.foreground], distance[features.foreground]))
    return PartDifferences(
        matches,
        relative_difference(answer.score, score),
        relative_difference(answer.map, map_224),
        middle - start,
        end - middle,
    )


def compare_matches(
    bank: NormalizedBank, rows: npt.NDArray[Any], index: npt.NDArray[Any], distance: npt.NDArray[Any]
) -> MatchDifferences:
    """The graph's nearest rows of a part's patches, and their distances, against the bank's own search."""
    queries = bank.normalize(rows)
    nearest = bank.bank.search(queries)
    return MatchDifferences(
        patches=len(index),
        same=int((index == nearest.index).sum()),
        farther=excess_distance(bank, queries, index, nearest.index),
        distance=relative_difference(distance, nearest.distance),
    )


def excess_distance(
    bank: NormalizedBank, queries: npt.NDArray[Any], answers: npt.NDArray[Any], nearest: npt.NDArray[Any]
) -> float:
    """How much farther, relative, the answered rows are than the nearest, at most; in float64."""
    other = answers != nearest
    if not other.any():
        return 0.0
    asked = queries[other].astype(np.float64) - bank.bank.mean
    distances = [np.linalg.norm(asked - bank.bank.rows[rows[other]], axis=1) for rows in (answers, nearest)]
    return float((distances[0] / np.maximum(distances[1], 1e-30) - 1).max())


if __name__ == "__main__":
    main()
