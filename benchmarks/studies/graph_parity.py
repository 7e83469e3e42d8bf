"""Torch against ONNX at full size, every route in both directions, on real scans.

    python benchmarks/studies/graph_parity.py DATA [--scans 3] [--point point-mae] [--image vit_base_patch8_224.dino]

DATA is one class in the MVTec 3D-AD layout. The networks are of full size with seeded random weights. Every graph is
exported as `cmdiad export` does it and compared with its torch network on what it sees of test scans; features and
scores are compared end to end, the scores with banks of a normal scan's patches. Prints a Markdown table, every
difference as a share of the tensor's largest value or of the score, and one JSON object.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
import torch
from cmdiad.benchmarks.shared.measuring import relative_difference
from cmdiad.benchmarks.shared.tables import table_head, table_row
from cmdiad.calibration.parity import TOLERANCES
from cmdiad.export.bundles import extractor_spec, hallucinator_spec
from cmdiad.export.gate.against_torch import Observed, check_outputs, observe, read_parts
from cmdiad.export.graphs import GraphSpec, onnx_from_module
from cmdiad.runtime.banks.bank import build_bank
from cmdiad.runtime.bundle.manifest import Manifest
from cmdiad.runtime.bundle.parameters import KINECT, Modality, RouteName
from cmdiad.runtime.engines.session import Arrays, OnnxSession, Session
from cmdiad.runtime.patches.routes import EXTRACTOR, HALLUCINATOR, SECOND_EXTRACTOR, modalities, other, route_of
from cmdiad.runtime.sensor.dataset import GOOD, find_samples
from cmdiad.runtime.sensor.part import input_file
from cmdiad.runtime.verdict.decision import NormalizedBank, match_bank
from cmdiad.training.extractors.by_name import Extractor, open_extractor
from cmdiad.training.features.torch_session import TorchSession
from cmdiad.training.routes.distillation import distillation
from torch import nn

ROUTES: list[tuple[RouteName, Modality]] = [
    (route, main) for route in get_args(RouteName) for main in get_args(Modality)
]
COLUMNS = ("tokens", "second_tokens", "hallucination", "features", "second_features", "score")


class RememberingSession:
    """A session that answers what it was asked before from memory: routes share extractors and scans."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._answers: dict[str, dict[str, npt.NDArray[Any]]] = {}

    def run(self, inputs: Arrays) -> dict[str, npt.NDArray[Any]]:
        """As the session's own."""
        digest = hashlib.sha256()
        for array in inputs.values():
            digest.update(np.ascontiguousarray(array).tobytes())
        key = digest.hexdigest()
        if key not in self._answers:
            self._answers[key] = self._session.run(inputs)
        return self._answers[key]


Pair = tuple[RememberingSession, RememberingSession, str]


def pair(module: nn.Module, spec: GraphSpec) -> Pair:
    """A network in torch and as its graph, and its output's name."""
    onnx = OnnxSession(onnx_from_module(module, spec))
    return RememberingSession(TorchSession(module, spec.output)), RememberingSession(onnx), spec.output


def route_pairs(
    route: RouteName, main: Modality, extractors: Mapping[Modality, tuple[Extractor, Pair]]
) -> dict[str, Pair]:
    """The networks of a route by role."""
    needed = route_of(route, main).networks
    pairs = {EXTRACTOR: extractors[main][1]}
    if HALLUCINATOR in needed:
        torch.manual_seed(0)
        trained = distillation(route)
        whole = trained.new(main, extractors["pc"][0].dim, extractors["rgb"][0].dim)
        network = trained.one_direction(whole.eval(), main).eval()
        pairs[HALLUCINATOR] = pair(network, hallucinator_spec(trained, network))
    if SECOND_EXTRACTOR in needed:
        pairs[SECOND_EXTRACTOR] = extractors[other(main)][1]
    return pairs


def compare(manifest: Manifest, pairs: Mapping[str, Pair], scans: list[Path]) -> dict[str, float]:
    """The largest differences over all scans but the first, of whose patches the banks are."""
    parts = read_parts(manifest, scans)
    expected = observe(manifest, {role: torch_session for role, (torch_session, _, _) in pairs.items()}, parts)
    actual = observe(manifest, {role: graph for role, (_, graph, _) in pairs.items()}, parts)
    names = {EXTRACTOR: "tokens", SECOND_EXTRACTOR: "second_tokens", HALLUCINATOR: "hallucination"}
    row = {
        names[role]: check_outputs("", role, output, graph, expected, TOLERANCES["fp32"]).largest
        for role, (_, graph, output) in pairs.items()
    }
    normal, *judged = expected
    scores: dict[str, list[float]] = {"torch": [0.0] * len(judged), "onnx": [0.0] * len(judged)}
    for bank, rows in expected[normal].features.items():
        if route_of(manifest.route, manifest.main).groups_hallucination and bank == "second":
            continue
        row["features" if bank == "main" else "second_features"] = max(
            relative_difference(actual[scan].features[bank], expected[scan].features[bank]) for scan in judged
        )
        normalized = bank_of(rows)
        for side, observed in (("torch", expected), ("onnx", actual)):
            for place, scan in enumerate(judged):
                scores[side][place] += score(normalized, observed[scan], bank)
    row["score"] = max(abs(b / a - 1) for a, b in zip(scores["torch"], scores["onnx"], strict=True))
    return row


def bank_of(rows: npt.NDArray[np.float32]) -> NormalizedBank:
    """A bank of every second patch of one scan."""
    mean, std = float(rows.mean(dtype=np.float64)), float(rows.std(dtype=np.float64))
    return NormalizedBank(build_bank((rows[::2] - np.float32(mean)) / np.float32(std)), mean, std)


def score(bank: NormalizedBank, observed: Observed, role: str) -> float:
    """The re-weighted image score of one bank."""
    return match_bank(bank, observed.features[role]).score


def main() -> None:
    """Export, compare, and print a line a route."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--scans", type=int, default=3)
    parser.add_argument("--point", default="point-mae")
    parser.add_argument("--image", default="vit_base_patch8_224.dino")
    options = parser.parse_args()
    point = open_extractor(options.point, "pc", "random:0")
    image = open_extractor(options.image, "rgb", "random:0")
    assert point.grouping is not None
    extractors = {
        extractor.modality: (extractor, pair(extractor.network, extractor_spec(extractor)))
        for extractor in (point, image)
    }
    print(table_head(["route", "main", *COLUMNS]), flush=True)
    largest = dict.fromkeys(COLUMNS, 0.0)
    for route, modality in ROUTES:
        manifest = Manifest(
            product="seeded",
            route=route,
            main=modality,
            precision="fp32",
            preprocessing=KINECT,
            grouping=point.grouping,
            networks={},
        )
        test = find_samples(options.data, "test")
        judged = [test[i] for i in np.linspace(0, len(test) - 1, options.scans).astype(int)]
        samples = [find_samples(options.data, "train", GOOD)[0], *judged]
        scans = [input_file(sample, modalities(manifest)) for sample in samples]
        row = compare(manifest, route_pairs(route, modality, extractors), scans)
        cells = [f"{row[name]:.1e}" if name in row else "" for name in COLUMNS]
        print(table_row([route, modality, *cells]), flush=True)
        largest = {name: max(value, row.get(name, 0.0)) for name, value in largest.items()}
    print(json.dumps({"measure": "torch against onnx", "point": options.point, "image": options.image, **largest}))


if __name__ == "__main__":
    main()
