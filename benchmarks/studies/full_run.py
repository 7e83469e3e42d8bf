"""The whole way at full size, by the commands a user types: time and peak memory of every one.

    python benchmarks/studies/full_run.py DATA WORK [--class NAME] [--sensor kinect] [--epochs 3] [--threads 2]
        [--point-checkpoint FILE] [--image-checkpoint FILE]

Trains F2F between Point-MAE (1,024 groups of 128, 12 blocks) and DINO ViT-B/8, exports, calibrates, evaluates on the
test split beside the single bank, and inspects it. Without checkpoints the weights are seeded random ones. Prints a
Markdown table, the stages of an inspection, what `cmdiad evaluate` found, and one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from cmdiad.benchmarks.shared.commands import command_line
from cmdiad.benchmarks.shared.measuring import machine
from cmdiad.benchmarks.shared.tables import markdown_table

SEEDED = "random:0"

Line = dict[str, Any]


def main() -> None:
    """Run every command and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("work", type=Path, help="new folder for what is made")
    parser.add_argument("--class", dest="part", default="box")
    parser.add_argument("--sensor", default="kinect")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--point-checkpoint", default=SEEDED)
    parser.add_argument("--image-checkpoint", default=SEEDED)
    options = parser.parse_args()
    lines: list[Line] = []
    printed: dict[str, str] = {}
    for name, command in commands(options).items():
        line, printed[name] = step(name, command)
        lines.append(line)
    rows = [[line["step"], line["seconds"], line["peak_mb"]] for line in lines]
    print(markdown_table(["step", "seconds", "peak memory, MB"], rows))
    inspections = [json.loads(line) for line in printed["infer"].splitlines()]
    print(json.dumps({"inspections": len(inspections), "stages_ms": stages(inspections)}))
    print(json.dumps(json.loads(printed["evaluate"])["rows"]))
    print(json.dumps({"measure": "full_run", "steps": lines, "seeded": options.point_checkpoint == SEEDED}))
    print(json.dumps(machine()))


def commands(options: argparse.Namespace) -> dict[str, list[str]]:
    """What a user types, by name, in order."""
    work, classes = options.work, ["--class", options.part]
    run, bundle, part = work / "run", work / "bundle", options.data / options.part
    extractors = ["--point-extractor", "point-mae", "--image-extractor", "vit_base_patch8_224.dino"]
    weights = ["--point-checkpoint", options.point_checkpoint, "--image-checkpoint", options.image_checkpoint]
    length = ["--epochs", options.epochs, "--batch-size", options.batch_size, "--threads", options.threads]
    train = ["cmdiad", "train", options.data, *classes, "--out", run, "--sensor", options.sensor, "-q"]
    routes = ["--route", "single", "--route", "f2f", "--main", "pc", "--json", "-q"]
    made: dict[str, list[object]] = {
        "train": [*train, *extractors, *weights, *length],
        "export": ["cmdiad", "export", "--run", run, "--route", "f2f", "--out", bundle, "-q"],
        "calibrate": ["cmdiad", "calibrate", part / "train" / "good", "--bundle", bundle, "-q"],
        "evaluate": ["cmdiad", "evaluate", options.data, *classes, "--run", run, *routes],
        "infer": ["cmdiad-rt", "infer", part / "test", "--bundle", bundle, "--out", work / "results", "--json"],
    }
    return {name: [str(word) for word in command] for name, command in made.items()}


def step(name: str, command: list[str]) -> tuple[Line, str]:
    """One command in a process of its own, and what it prints.

    Raises:
        SystemExit: it failed.
    """
    program, *arguments = command
    begin = time.monotonic()
    process = subprocess.Popen(command_line(program, *arguments), stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    printed = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = round(time.monotonic() - begin, 1)
    print(f"{seconds} s: {' '.join(command)}", file=sys.stderr, flush=True)
    if status:
        sys.exit(f"{name} failed")
    return {"step": name, "seconds": seconds, "peak_mb": round(usage.ru_maxrss / 1024)}, printed


def stages(inspections: list[Line]) -> dict[str, float]:
    """Mean milliseconds of every stage of an inspection."""
    totals = {name: sum(inspection["ms"][name] for inspection in inspections) for name in inspections[0]["ms"]}
    return {name: round(total / len(inspections), 1) for name, total in totals.items()}


if __name__ == "__main__":
    main()
