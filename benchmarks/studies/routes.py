"""Every route and baseline in both directions, from training to detection, by the real commands.

    python benchmarks/studies/routes.py [--data DIR] [--sensor kinect] [--epochs 40] ...

Trains F2F, and F2I and I2F once for each main modality, then exports, calibrates and evaluates them with the
baselines, PC-main and RGB-main, on the same test parts. Without --data it makes synthetic parts and removes their
background first, as an image-only line must have it. It prints the table as Markdown, what each route gains over the
single bank of its main modality, and one JSON object.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

from cmdiad.benchmarks.shared.commands import printed
from cmdiad.benchmarks.shared.tables import markdown_table

METRICS = ("i_auroc", "p_auroc", "aupro", "aupro_001")
TRAINED = (("f2f", "pc"), ("f2i", "pc"), ("i2f", "pc"), ("f2i", "rgb"), ("i2f", "rgb"))
ROUTES = ("single", "f2f", "f2i", "i2f", "dual")


def synthetic_data(options: argparse.Namespace, scratch: Path) -> Path:
    """Parts of one class, their background removed in both sensors' data."""
    counts = ["--train", options.train, "--validation", options.validation]
    counts += ["--test-good", options.test_good, "--per-defect", options.per_defect, "--size", options.size]
    printed("cmdiad", "synth", scratch / "raw", "--class", options.part, "--seed", options.seed, *counts, "-q")
    printed("cmdiad", "preprocess", scratch / "raw", scratch / "data", "-q")
    return scratch / "data"


def train(data: Path, options: argparse.Namespace, scratch: Path) -> list[Path]:
    """One run a route and direction; F2F's is of both."""
    settings = ["--epochs", options.epochs, "--batch-size", options.batch_size, "--seed", options.seed]
    settings += ["--sensor", options.sensor, *(["--threads", options.threads] if options.threads else [])]
    runs = []
    for route, main in TRAINED:
        begin = time.monotonic()
        run = scratch / "runs" / f"{route}_{main}"
        cache = ["--cache", run.parent / "feature_cache"]
        printed("cmdiad", "train", data, "--route", route, "--main", main, "--out", run, *cache, *settings, "-q")
        selection = json.loads((run / "run.json").read_text())["selection"]
        print(f"trained {route} {main} in {time.monotonic() - begin:.0f} s: {json.dumps(selection)}", flush=True)
        runs.append(run)
    return runs


def evaluate(data: Path, runs: list[Path]) -> list[dict[str, float | str]]:
    """The rows of all routes; of several classes their mean."""
    given = [part for run in runs for part in ("--run", run)]
    given += [part for route in ROUTES for part in ("--route", route)]
    answer = json.loads(printed("cmdiad", "evaluate", data, *given, "--main", "pc", "--main", "rgb", "--json", "-q"))
    rows = answer["rows"]
    means = [row for row in rows if row["class"] == "mean"]
    return means or rows


def print_table(rows: list[dict[str, float | str]]) -> None:
    """All routes, then what each gains over the single bank of its main modality."""
    table = []
    single = {row["main"]: row for row in rows if row["route"] == "single"}
    for row in rows:
        base = single[row["main"]]
        gains = [float(row[name]) - float(base[name]) for name in ("i_auroc", "aupro")]
        sensors = "both" if row["route"] == "dual" else row["main"]
        cells = [f"{float(row[name]):.3f}" for name in METRICS] + [f"{gain:+.3f}" for gain in gains]
        table.append([sensors, row["route"], *cells])
    headers = ["inspects with", "route", *METRICS, "gain in I-AUROC", "gain in AUPRO"]
    print("\n" + markdown_table(headers, table))


def main() -> None:
    """Run everything and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="dataset in the MVTec 3D-AD layout; default: synthetic parts")
    parser.add_argument("--part", default="gland", help="class of the synthetic parts")
    parser.add_argument("--sensor", default="structured-light")
    defaults = {"train": 40, "validation": 10, "test_good": 20, "per_defect": 8, "size": 400}
    for name, default in {**defaults, "epochs": 40, "batch_size": 8, "seed": 0, "threads": 0}.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=default)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        data = options.data or synthetic_data(options, scratch)
        rows = evaluate(data, train(data, options, scratch))
    print_table(rows)
    settings = {name: str(value) for name, value in vars(options).items()}
    print(json.dumps({"settings": settings, "rows": rows}))


if __name__ == "__main__":
    main()
