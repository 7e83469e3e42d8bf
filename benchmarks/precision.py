"""What fp16, bf16 and int8 do to scores and verdicts, against fp32 with the same banks.

    python benchmarks/precision.py BUNDLE|seeded DATA [--class NAME] [--precision fp16 ...] [--normal N] [--judged N]

BUNDLE is an exported float32 bundle; `seeded` stands for Point-MAE and F2F at full size with seeded random weights.
DATA is a dataset root in the MVTec 3D-AD layout: banks and threshold come from its train/good, the verdicts are of its
test. Prints one JSON object a precision. Half precision is simulated: every tensor is rounded as a device would.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

from cmdiad.calibration.parity import TOLERANCES
from cmdiad.export.decisions import Judged, check_verdicts, seen_file
from cmdiad.export.parity import check_reduced, observe, read_parts
from cmdiad.export.reduced import ExportSettings, reduce_graph
from cmdiad.runtime.bundle import open_bundle
from cmdiad.runtime.dataset import GOOD, find_classes, find_samples
from cmdiad.runtime.engine import OnnxEngine
from line_graph import full_size_bundle


def main() -> None:
    """Reduce the networks and judge the test parts with both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle")
    parser.add_argument("data", type=Path)
    parser.add_argument("--class", dest="class_name", default=None)
    parser.add_argument("--precision", nargs="+", default=["fp16", "bf16", "int8"])
    parser.add_argument("--normal", type=int, default=39)
    parser.add_argument("--judged", type=int, default=1000)
    options = parser.parse_args()
    if options.bundle == "seeded":
        with tempfile.TemporaryDirectory() as scratch:
            manifest, references = full_size_bundle(Path(scratch) / "bundle")
    else:
        bundle = open_bundle(options.bundle)
        manifest = bundle.manifest
        references = {role: bundle.read(network.file) for role, network in manifest.networks.items()}
    folder = find_classes(options.data, [options.class_name] if options.class_name else [])[0]
    normal = [seen_file(each, manifest) for each in find_samples(folder, "train", GOOD)][: options.normal]
    test = find_samples(folder, "test")
    test = test[:: max(1, len(test) // options.judged)]
    judged = Judged(normal, [seen_file(each, manifest) for each in test], test)
    engines = {role: OnnxEngine(model) for role, model in references.items()}
    observed = observe(manifest, engines, read_parts(manifest, normal[:3]))
    for precision in options.precision:
        start = time.perf_counter()
        settings = ExportSettings(precision=precision)
        reduced = {
            role: reduce_graph(model, [each.inputs[role] for each in observed.values()], settings)
            for role, model in references.items()
        }
        seconds = time.perf_counter() - start
        models, tolerance = {role: each.judged for role, each in reduced.items()}, TOLERANCES[precision]
        tensors = check_reduced(precision, references, models, observed, tolerance).tensors
        (decisions,) = check_verdicts(manifest, precision, references, models, judged, tolerance).decisions
        print(
            json.dumps(
                {
                    "measure": f"precision_{precision}",
                    "bundle": options.bundle,
                    "class": folder.resolve().name,
                    "scans": decisions.scans,
                    "rank_correlation": decisions.rank_correlation,
                    "i_auroc_change": decisions.i_auroc_change,
                    "aupro_change": decisions.aupro_change,
                    "score_change": decisions.score_change,
                    "flipped": decisions.flipped,
                    "tensors": {each.stage: round(each.largest, 6) for each in tensors},
                    "kept_fp32": {role: each.kept for role, each in reduced.items()},
                    "mb": {role: round(len(each.model) / 1e6, 2) for role, each in reduced.items()},
                    "reduce_seconds": round(seconds, 1),
                }
            ),
            flush=True,
        )


if __name__ == "__main__":
    main()
