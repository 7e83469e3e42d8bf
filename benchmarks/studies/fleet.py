"""Forty small products one after the other and side by side on Ray: the same bytes, how much faster, and what is lost
when a worker, or the whole command, is killed.

    python benchmarks/studies/fleet.py [--products 40] [--workers 2] [--size 96] [--scans 20]

One JSON line a part: `compare` (wall and processor seconds, ratio, whether all bundles are the same bytes), `worker
killed` (by SIGKILL in the middle: every product must be done, with the same bytes) and `command killed` (by SIGKILL
in the middle, then run again: what was done is kept). Exits with 1 if bytes differ, a product is missing, or one that
was done is done again. The ratio means something on a machine with nothing else to do: its load is printed beside it.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from cmdiad.benchmarks.shared.commands import command_line, printed
from cmdiad.training.synth.synthesis import PART_CLASSES, write_dataset

# Ray calls a process as what it does, which is a product.
_PROCESS = "ray::product"


def make_products(root: Path, options: argparse.Namespace) -> list[str]:
    """Scans of so many products, and one exported bundle that all are calibrated from."""
    counts = {"train": options.scans, "validation": 0, "test_good": 1, "per_defect": 0, "size": options.size}
    names = [f"product{number:03d}" for number in range(options.products)]
    for number, name in enumerate(names):
        part = PART_CLASSES[number % len(PART_CLASSES)]
        write_dataset(root / "made" / name, classes=[part], **counts, seed=number)
        (root / "made" / name / part).rename(root / name)
    settings = ["--epochs", 2, "--batch-size", 2, "--threads", 1]
    printed("cmdiad", "train", root / names[0], "--out", root / "run", *settings, "-q")
    printed("cmdiad", "export", "--run", root / "run", "--out", root / "exported.cmdiad", "-q")
    return names


def products_file(root: Path, names: list[str], out: str) -> Path:
    """A fleet's file with an out folder of its own."""
    tables = "".join(f'[[product]]\nname = "{name}"\n' for name in names)
    file = root / f"{out}.toml"
    file.write_text(
        f'[fleet]\nout = "{out}"\n[defaults]\nbundle = "exported.cmdiad"\nscans = "{{name}}/train/good/xyz"\n{tables}'
    )
    return file


def start(file: Path, workers: int) -> subprocess.Popen[str]:
    """The command, in a group of its own and one thread in each library."""
    command = command_line("cmdiad", "fleet", file, "--calibrate", "--workers", workers, "--json")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment, start_new_session=True
    )


def finish(process: subprocess.Popen[str]) -> dict[str, Any]:
    """The report of a command that ends by itself."""
    report: dict[str, Any] = json.loads(process.communicate()[0])
    return report


def timed(file: Path, workers: int) -> tuple[dict[str, Any], float]:
    """A whole fleet: its report, and the wall time of the command, start-up included."""
    begun = time.monotonic()
    report = finish(start(file, workers))
    return report, time.monotonic() - begun


def bundles(root: Path, out: str, names: list[str]) -> dict[str, bytes]:
    """The bytes of every bundle that is there."""
    files = {name: root / out / "products" / name / "calibrate" / f"{name}.cmdiad" for name in names}
    return {name: file.read_bytes() for name, file in files.items() if file.is_file()}


def wait_for(root: Path, out: str, names: list[str], count: int, process: subprocess.Popen[str]) -> None:
    """Until so many products are done."""
    while len(bundles(root, out, names)) < count and process.poll() is None:
        time.sleep(0.2)


def own_workers(process: subprocess.Popen[str]) -> list[int]:
    """The processes of a command's products: those below it that Ray has given the function's name."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
    below, added = {process.pid}, True
    while added:
        more = {child for child, parent in parents.items() if parent in below} - below
        below, added = below | more, bool(more)
    return [pid for pid in sorted(below) if _is_worker(pid)]


def _is_worker(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().startswith(_PROCESS)
    except OSError:
        return False


def with_worker_killed(root: Path, names: list[str], options: argparse.Namespace) -> dict[str, Any]:
    """One worker is killed when a third of the products are done."""
    process = start(products_file(root, names, "killed_worker"), options.workers)
    wait_for(root, "killed_worker", names, max(1, len(names) // 3), process)
    killed: list[int] = []
    while not killed and process.poll() is None:
        killed = own_workers(process)[:1]
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
    report = finish(process)
    return {"killed": len(killed), "failed": sum(product["error"] is not None for product in report["products"])}


def with_command_killed(root: Path, names: list[str], options: argparse.Namespace) -> dict[str, Any]:
    """The command and all its processes are killed when a third of the products are done, and it is run again."""
    file = products_file(root, names, "killed_command")
    process = start(file, options.workers)
    wait_for(root, "killed_command", names, max(1, len(names) // 3), process)
    workers = own_workers(process)
    for pid in [process.pid, *workers]:
        os.kill(pid, signal.SIGKILL)
    process.communicate()
    before = set(bundles(root, "killed_command", names))
    report, _ = timed(file, options.workers)
    kept = {product["product"] for product in report["products"] if product["kept"]}
    return {"done_before": len(before), "kept": len(kept), "done_again": len(before - kept)}


def main() -> None:
    """Make, compare, kill."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("products", 40), ("workers", 2), ("size", 96), ("scans", 20)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        names = make_products(root, options)
        load = os.getloadavg()[0]
        _, one = timed(products_file(root, names, "one"), 1)
        expected = bundles(root, "one", names)
        _, beside = timed(products_file(root, names, "ray"), options.workers)
        whole = len(expected) == len(names)
        same = whole and bundles(root, "ray", names) == expected
        figures = {"products": len(names), "one_after_the_other_s": one, "ray_s": beside, "ratio": one / beside}
        print(json.dumps({"part": "compare", **figures, "same": same, "load_1min": load}), flush=True)
        lost = with_worker_killed(root, names, options)
        lost["same"] = bundles(root, "killed_worker", names) == expected
        print(json.dumps({"part": "worker killed", **lost}), flush=True)
        again = with_command_killed(root, names, options)
        again["same"] = bundles(root, "killed_command", names) == expected
        print(json.dumps({"part": "command killed", **again}), flush=True)
    killed = lost["killed"] and not lost["failed"]
    good = same and killed and lost["same"] and again["same"] and not again["done_again"]
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
