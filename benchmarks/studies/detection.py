"""Detection with the embedded pair on the synthetic parts, over several seeds, by the real commands.

    python benchmarks/studies/detection.py [--seeds 3] [--train 40] [--difficulty field|hard] [--window scan|part] ...

Makes data, trains F2F and evaluates the single PC bank, F2F with the PC alone, and dual banks with RGB + PC on the
same test parts. It prints the mean and spread over seeds as a Markdown table, the same by defect, and one JSON line a
route.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from cmdiad.benchmarks.shared.commands import printed
from cmdiad.benchmarks.shared.tables import markdown_table

ROUTES = ("single", "f2f", "dual")
METRICS = ("i_auroc", "p_auroc", "aupro", "aupro_001")


def evaluate_seed(seed: int, options: argparse.Namespace, scratch: Path) -> dict[str, list[dict[str, Any]]]:
    """The rows and the AUROC by defect of one seed's data, training and calibration."""
    data, run = scratch / f"data_{seed}", scratch / f"run_{seed}"
    counts = ["--train", options.train, "--test-good", options.test_good, "--per-defect", options.per_defect]
    kind = ["--validation", 0, "--difficulty", options.difficulty]
    printed("cmdiad", "synth", data, "--seed", seed, *counts, *kind, "-q")
    training = ["--epochs", options.epochs, "--batch-size", 8, "--window", options.window]
    printed("cmdiad", "train", data, "--out", run, "--seed", seed, *training, "-q")
    routes = [part for route in ROUTES for part in ("--route", route)]
    return json.loads(printed("cmdiad", "evaluate", data, "--run", run, "--seed", seed, *routes, "--json", "-q"))


def print_metrics(results: list[dict[str, list[dict[str, Any]]]]) -> None:
    """Mean and spread over seeds of the mean over classes."""
    table = []
    for route in ROUTES:
        means = [
            next(row for row in result["rows"] if row["class"] == "mean" and row["route"] == route)
            for result in results
        ]
        values = np.array([[row[name] for name in METRICS] for row in means])
        spreads = zip(values.mean(0), values.min(0), values.max(0), strict=True)
        table.append([route, *(f"{mean:.3f} ({low:.3f} to {high:.3f})" for mean, low, high in spreads)])
    print(markdown_table(["route", *METRICS], table))


def print_defects(results: list[dict[str, list[dict[str, Any]]]]) -> None:
    """Image AUROC by defect, the mean over classes and seeds."""
    rows = [row for result in results for row in result["defects"]]
    names = sorted({row["defect"] for row in rows})
    table = []
    for route in ROUTES:
        means = [
            np.mean([row["i_auroc"] for row in rows if row["route"] == route and row["defect"] == name])
            for name in names
        ]
        table.append([route, *(f"{mean:.3f}" for mean in means)])
    print("\n" + markdown_table(["I-AUROC", *names], table))


def main() -> None:
    """Run all seeds and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("seeds", 3), ("train", 40), ("test-good", 20), ("per-defect", 8), ("epochs", 40)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--difficulty", choices=["field", "hard"], default="field")
    parser.add_argument("--window", choices=["scan", "part"], default="scan")
    options = parser.parse_args()
    results = []
    with tempfile.TemporaryDirectory() as scratch:
        for seed in range(options.seeds):
            results.append(evaluate_seed(seed, options, Path(scratch)))
            print(json.dumps({"seed": seed, **results[-1]}), flush=True)
    print_metrics(results)
    print_defects(results)


if __name__ == "__main__":
    main()
