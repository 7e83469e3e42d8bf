"""A training that is killed at random moments and started again ends with the weights of an undisturbed one.

    python benchmarks/studies/kill_and_resume.py [--route f2f] [--kills 10] ...

Trains on synthetic parts without disturbance, then again from nothing, killed by SIGKILL so many times, and compares
the run folders byte for byte. A moment is drawn as a line of the progress that the first one printed, and a random
while after it: so kills fall into every stage, however long this machine takes to start. Exits with 1 if the folders
differ.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from cmdiad.benchmarks.shared.commands import command_line, printed

FILES = ("training.csv", "run.json")


def train(data: Path, run: Path, options: argparse.Namespace) -> subprocess.Popen[str]:
    """Start, or go on with, a training."""
    settings = ["--route", options.route, "--epochs", options.epochs, "--batch-size", 2, "--threads", 1]
    full = command_line("cmdiad", "train", data, "--out", run, *settings)
    return subprocess.Popen(full, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def finish(data: Path, run: Path, options: argparse.Namespace) -> int:
    """Let a training end; the lines of progress it printed."""
    process = train(data, run, options)
    assert process.stderr is not None
    n_lines = len(process.stderr.readlines())
    if process.wait():
        raise SystemExit(f"{run}: the training failed")
    return n_lines


def kill_until_done(
    data: Path, run: Path, most: int, n_lines: int, moments: random.Random, options: argparse.Namespace
) -> int:
    """Kill a training up to so many times, each after a random line of its progress; then let it end.

    Returns:
        How often it was killed.
    """
    for kills in range(most):
        process = train(data, run, options)
        assert process.stderr is not None
        target = moments.randint(1, n_lines)
        lines = list(itertools.islice(process.stderr, target))
        killed = len(lines) == target
        if killed:
            time.sleep(moments.uniform(0, 0.3))
            process.kill()
            print(f"killed after: {lines[-1].strip()}", flush=True)
        process.wait()
        if (run / "run.json").exists():
            return kills + killed
    finish(data, run, options)
    return most


def main() -> None:
    """Train, kill, compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--route", default="f2f", choices=["f2f", "f2i", "i2f"])
    for name, default in (("kills", 10), ("epochs", 40), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    moments = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        data = scratch / "data"
        counts = ["--train", 4, "--validation", 1, "--test-good", 1, "--per-defect", 1, "--size", 200]
        printed("cmdiad", "synth", data, "--class", "gland", *counts, "-q")
        undisturbed = scratch / "undisturbed" / "run"
        n_lines = finish(data, undisturbed, options)
        kills = 0
        ended: list[Path] = []
        while kills < options.kills:
            # A run that ends before it was killed often enough is followed by another one.
            run = scratch / f"killed_{len(ended)}" / "run"
            kills += kill_until_done(data, run, options.kills - kills, n_lines, moments, options)
            ended.append(run)
        names = (f"{options.route}.safetensors", *FILES)
        same = {
            name: all((undisturbed / name).read_bytes() == (run / name).read_bytes() for run in ended) for name in names
        }
    print(json.dumps({"route": options.route, "kills": kills, "runs": len(ended), "same": same}))
    sys.exit(0 if all(same.values()) else 1)


if __name__ == "__main__":
    main()
