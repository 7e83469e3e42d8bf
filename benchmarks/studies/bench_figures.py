"""The figures of docs/benchmarking.md: `cmdiad-rt bench` on an embedded and on a full-size bundle, beside the paper's.

    python benchmarks/studies/bench_figures.py WORK [--train 12] [--seconds 10] [--samples 64] ...

Makes synthetic scans and both bundles in WORK by the real commands (what is there is used again), runs every scenario
and LoadGen on each, and prints the reports as Markdown, then one JSON line a bundle: its median latency against the
paper's Table A.5. The full-size networks are Point-MAE and F2F for DINO ViT-B/8 with seeded random weights: times do
not depend on what was learned.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from cmdiad.benchmarks.shared.commands import printed

# Sui et al. 2025, Table A.5, seconds a sample on an RTX A6000 GPU.
PAPER_S = {"F2F, PC alone": 1.74, "dual banks, RGB + PC": 1.90}
EXTRACTORS = {
    "embedded": [],
    "full-size": [
        "--point-extractor", "point-mae", "--point-checkpoint", "random:0",
        "--image-extractor", "vit_base_patch8_224.dino", "--image-checkpoint", "random:0",
    ],
}  # fmt: skip


def make_bundle(name: str, work: Path, options: argparse.Namespace) -> Path:
    """Data, a short training, export and calibration; whatever exists is kept."""
    data, trained, bundle = work / "data", work / f"run-{name}", work / f"bundle-{name}"
    if not data.exists():
        counts = ["--train", options.train, "--validation", 0, "--test-good", 2, "--per-defect", 1]
        printed("cmdiad", "synth", data, "--class", "gland", *counts, "-q")
    if not trained.exists():
        epochs = ["--epochs", 1, "--batch-size", 4]
        printed("cmdiad", "train", data, "--out", trained, *EXTRACTORS[name], *epochs, "-q")
    if not (bundle / "bank_main.npy").exists():
        printed("cmdiad", "export", "--run", trained, "--out", bundle, "-q")
        normal = data / "gland" / "train" / "good"
        printed("cmdiad", "calibrate", normal, "--bundle", bundle, "--coreset-ratio", options.coreset_ratio, "-q")
    return bundle


def measure(name: str, bundle: Path, work: Path, options: argparse.Namespace) -> None:
    """Every scenario of one bundle."""
    scans = work / "data" / "gland" / "test"
    length = ["--seconds", options.seconds, "--samples", options.samples]
    line = ["--takt", options.takt, "--latency", options.latency, "--streams", 2]
    out = work / f"report-{name}"
    command = ["bench", "--bundle", bundle, "--scans", scans, "--scenario", "all", *length, *line, "--loadgen"]
    print(f"# {name}: cmdiad-rt {' '.join(map(str, command))}\n", flush=True)
    print(printed("cmdiad-rt", *command, "--out", out, "--markdown", "-q"), flush=True)
    report = json.loads((out / "report.json").read_text())
    results = report["outcomes"][0]["results"]
    (single,) = [result for result in results if result["scenario"]["name"] == "single-stream"]
    for baseline, seconds in PAPER_S.items():
        measured = {
            "measure": f"{name}: one scan, single-stream p50",
            "ours_ms": 1e3 * single["summary"]["p50_s"],
            "baseline": f"paper, Table A.5: {baseline}, RTX A6000 GPU",
            "baseline_ms": 1e3 * seconds,
            "ratio": seconds / single["summary"]["p50_s"],
            "stage_share": single["stage_share"],
            "machine": report["machine"]["cpu"],
        }
        print(json.dumps(measured), flush=True)


def main() -> None:
    """Make the bundles and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--only", choices=list(EXTRACTORS))
    parser.add_argument("--train", type=int, default=12, help="normal scans to train and calibrate with")
    parser.add_argument("--coreset-ratio", type=float, default=0.1)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--samples", type=int, default=64)
    parser.add_argument("--takt", default="2s")
    parser.add_argument("--latency", default="2s")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    for name in [options.only] if options.only else list(EXTRACTORS):
        measure(name, make_bundle(name, options.work, options), options.work, options)


if __name__ == "__main__":
    main()
