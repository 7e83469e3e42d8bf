"""What fp16, bf16 and int8 do to scores and verdicts, against fp32 with the same banks.

    python benchmarks/studies/precision.py [DATA ...] [--networks embedded|seeded|BUNDLE] [--precision fp16 ...]

DATA is a dataset root in the MVTec 3D-AD layout; synthetic parts are always measured too. Banks and threshold come from
some of a class's train/good; the verdicts are of its test, and of the normal scans that are left: the more pairs, the
less one exchange weighs. `embedded` trains F2F briefly on each dataset with the embedded pair of extractors; `seeded`
is Point-MAE and F2F of full size with seeded random weights; BUNDLE an exported float32 bundle.
Prints one JSON object a class and precision, `met` telling whether the rank correlation is 0.99 and I-AUROC changes by
no more than 0.005. Half precision is simulated: every tensor is rounded as a device would.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from cmdiad.benchmarks.shared.measuring import machine
from cmdiad.benchmarks.studies.line_graph import full_size_bundle
from cmdiad.calibration.parity import TOLERANCES, DecisionCheck
from cmdiad.export.bundles import export_bundle
from cmdiad.export.choices import Precision
from cmdiad.export.export_settings import ExportSettings
from cmdiad.export.gate.against_torch import check_reduced, observe, read_parts
from cmdiad.export.gate.decisions import Judged, check_verdicts
from cmdiad.export.precision.reduced import reduce_graph
from cmdiad.runtime.bundle.manifest import Manifest
from cmdiad.runtime.bundle.reading import open_bundle
from cmdiad.runtime.engines.session import OnnxSession
from cmdiad.runtime.patches.routes import modalities
from cmdiad.runtime.sensor.dataset import GOOD, find_classes, find_samples
from cmdiad.runtime.sensor.part import input_file
from cmdiad.training.synth.synthesis import PART_CLASSES, write_dataset
from cmdiad.training.train import TrainingSettings, train_route

LEAST_CORRELATION, LARGEST_CHANGE = 0.99, 0.005
EPOCHS = 3
Networks = tuple[Manifest, Mapping[str, bytes]]


def main() -> None:
    """Measure every dataset and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", nargs="*", type=Path)
    parser.add_argument("--networks", default="embedded")
    parser.add_argument("--precision", nargs="+", default=["fp16", "bf16", "int8"])
    parser.add_argument("--normal", type=int, default=12, help="normal scans that the banks are of")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        parts = Path(scratch) / "synthetic"
        write_dataset(parts, classes=list(PART_CLASSES), train=12, validation=0, test_good=60, per_defect=18)
        for number, data in enumerate([parts, *options.data]):
            networks = open_networks(options.networks, data, Path(scratch) / f"work_{number}")
            for folder in find_classes(data, []):
                for line in measure(networks, folder, options.precision, options.normal):
                    print(json.dumps({**line, "networks": options.networks}), flush=True)
    print(json.dumps(machine()))


def open_networks(name: str, data: Path, work: Path) -> Networks:
    """Float32 networks and their manifest: trained here, seeded, or of a bundle."""
    if name == "seeded":
        return full_size_bundle(work / "bundle")
    path = Path(name)
    if name == "embedded":
        path = work / "bundle"
        settings = TrainingSettings(epochs=EPOCHS, batch_size=8, select=False)
        export_bundle(train_route(data, [], settings, work / "run", lambda *_: None), "f2f", "pc", path)
    bundle = open_bundle(path)
    return bundle.manifest, {role: bundle.read(network.file) for role, network in bundle.manifest.networks.items()}


def measure(
    networks: Networks, folder: Path, precisions: list[Precision], n_normal: int
) -> Iterator[dict[str, object]]:
    """One class in every precision."""
    manifest, references = networks
    train = find_samples(folder, "train", GOOD)
    normal = [input_file(sample, modalities(manifest)) for sample in train[:n_normal]]
    test = [*find_samples(folder, "test"), *train[n_normal:]]
    judged = Judged(normal, [input_file(sample, modalities(manifest)) for sample in test], test)
    sessions = {role: OnnxSession(model) for role, model in references.items()}
    observed = observe(manifest, sessions, read_parts(manifest, normal[:3]))
    for precision in precisions:
        start = time.perf_counter()
        settings, tolerance = ExportSettings(precision=precision), TOLERANCES[precision]
        reduced = {
            role: reduce_graph(model, [scan.inputs[role] for scan in observed.values()], settings)
            for role, model in references.items()
        }
        seconds = time.perf_counter() - start
        models = {role: graph.judged for role, graph in reduced.items()}
        tensors = check_reduced(precision, references, models, observed, tolerance).tensors
        (decisions,) = check_verdicts(manifest, references, {precision: models}, judged, tolerance).decisions
        yield {
            "measure": f"precision_{precision}",
            "class": folder.resolve().name,
            **figures(decisions),
            "tensors": {tensor.stage: float(f"{tensor.largest:.2g}") for tensor in tensors},
            "kept_fp32": {role: graph.kept for role, graph in reduced.items()},
            "mb": {role: round(len(graph.model) / 1e6, 2) for role, graph in reduced.items()},
            "reduce_seconds": round(seconds, 1),
        }


def figures(decisions: DecisionCheck) -> dict[str, object]:
    """What the verdicts say, and whether that is good enough."""
    correlation, change = decisions.rank_correlation or 0.0, decisions.i_auroc_change or 0.0
    return {
        "scans": decisions.scans,
        "pairs": decisions.pairs,
        "rank_correlation": round(correlation, 5),
        "i_auroc_change": round(change, 5),
        "aupro_change": None if decisions.aupro_change is None else round(decisions.aupro_change, 5),
        "score_change": float(f"{decisions.score_change:.2g}"),
        "flipped": decisions.flipped,
        "met": correlation >= LEAST_CORRELATION and abs(change) <= LARGEST_CHANGE,
    }


if __name__ == "__main__":
    main()
