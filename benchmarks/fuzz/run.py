"""Feed everything that reads from outside with damaged input, and count what became of it.

    python benchmarks/fuzz/run.py [--runs 100000] [--target NAME ...] [--seconds N] [--seed 0] [--engine atheris]

RUNS are shared among the targets as their weights say. Prints one JSON line a target: runs, how many were read and how
many refused with which error, the slowest, the largest memory, and faults: an error that is not of our own hierarchy, a
run of more than 5 s or 1 GB, a process that ended. The inputs of faults are kept in --work, each with a line beside it
that says what it did; the exit code is then 1. Linux only. The same seed feeds the same inputs, except with atheris
(coverage-guided, `pip install atheris`), where those depend on its version too.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from cmdiad.benchmarks.fuzz.targets import TARGETS

WEIGHTS = {
    "scans": 20,
    "images": 8,
    "manifests": 20,
    "bundles": 5,
    "requests": 30,
    "signatures": 5,
    "drift_states": 5,
    "journals": 1,
}
"""Of the runs; every other target has 2."""
_OTHER_WEIGHT = 2
_TRIALS = Path(__file__).resolve().parent / "trials.py"
_MOST_ENDS = 20
_GRACE_SECONDS = 120


def main() -> None:
    """All targets, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--target", nargs="*", choices=list(TARGETS), default=[])
    parser.add_argument("--seconds", type=float, default=3600.0, help="at most, a target")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, default=Path("fuzz_faults"))
    parser.add_argument("--engine", choices=("auto", "atheris", "mutation"), default="auto")
    options = parser.parse_args()
    if options.engine == "auto":
        options.engine = "atheris" if importlib.util.find_spec("atheris") else "mutation"
    names = options.target or list(TARGETS)
    weights = {name: WEIGHTS.get(name, _OTHER_WEIGHT) for name in names}
    n_faults = 0
    for name in names:
        line = run_target(name, max(1, options.runs * weights[name] // sum(weights.values())), options)
        print(json.dumps(line), flush=True)
        n_faults += line["faults"]
    sys.exit(1 if n_faults else 0)


def run_target(name: str, runs: int, options: argparse.Namespace) -> dict[str, Any]:
    """One target, in processes of its own: where one ends before its time, the next goes on with another seed."""
    work = options.work / name
    work.mkdir(parents=True, exist_ok=True)
    begin = time.monotonic()
    command = [sys.executable, str(_TRIALS), name, f"--runs={runs}", f"--work={work}", f"--engine={options.engine}"]
    ends, summary = 0, None
    while summary is None and ends < _MOST_ENDS:
        seconds = options.seconds - (time.monotonic() - begin)
        limits = [f"--seed={options.seed + ends}", f"--seconds={seconds}"]
        summary = _summary([*command, *limits], work, seconds + _GRACE_SECONDS)
        if summary is None:
            ends += 1
            _keep_under_way(work, ends)
    summary = summary or {"runs": 0, "faults": 0}
    summary["faults"] += ends
    return {
        "measure": f"fuzz_{name}",
        "engine": options.engine,
        "seed": options.seed,
        "seconds": round(time.monotonic() - begin, 1),
        **summary,
        "ended_processes": ends,
    }


def _summary(command: list[str], work: Path, limit_seconds: float) -> dict[str, Any] | None:
    """What a process counted; None where it ended before that, or never. What it says goes to a file."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with (work / "log").open("ab") as log, suppress(subprocess.TimeoutExpired):
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=log, check=False, env=environment, timeout=limit_seconds
        )
        lines = [line for line in done.stdout.splitlines() if line.startswith(b'{"runs"')]
        return json.loads(lines[-1]) if lines else None
    return None


def _keep_under_way(work: Path, number: int) -> None:
    under_way = work / "under_way"
    if not under_way.exists():
        raise SystemExit(f"{work / 'log'}: the process ended before its first input: read there why")
    content = under_way.read_bytes()
    size = int.from_bytes(content[:8], "little")
    (work / f"ended_{number}").write_bytes(content[8 : 8 + size])


if __name__ == "__main__":
    main()
