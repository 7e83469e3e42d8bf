"""What of an inspection stays on the processor: reading, preprocessing, heat map and map on one core, opening a bundle.

Files are read plain and deflated (as `cmdiad synth` writes them), deflated ones also with all processors.

    python benchmarks/studies/cpu_stages.py [--bundle BUNDLE] [--baseline CHECKOUT] [--rounds 3] [--out FOLDER]

BUNDLE is of full size (FOLDER/exact by `workbench.py`); without it nothing is opened. CHECKOUT is the root of another
checkout, whose own functions do the same on the same files; both take turns, each round in processes of their own.
Prints one JSON line a measure, the median over different scans of all repeats: wall time (writing waits for the disk of
--out) and processor time; with a baseline its own and the ratio of the processor times. Then the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import tifffile

REPEATS = 5
# Height and width, and how many different scans; the map's threshold is 1.
SIZES = {"400x400": (400, 400, 10), "800x800": (800, 800, 3), "2048x1536": (1536, 2048, 1)}
PART_CLASS = "gland"

# Of every measure each repeat's wall and processor seconds.
Times = dict[str, list[tuple[float, float]]]


def main() -> None:
    """Make the scans, let both checkouts measure in turn, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("--baseline", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, help="where files are written; default: the system's temporary folder")
    options = parser.parse_args()
    from cmdiad.benchmarks.shared.measuring import machine

    checkouts = {"ours": Path(__file__).resolve().parents[2]}
    if options.baseline is not None:
        checkouts["baseline"] = options.baseline.resolve()
    with tempfile.TemporaryDirectory(dir=options.out) as folder:
        make_inputs(Path(folder))
        times: dict[str, Times] = {name: defaultdict(list) for name in checkouts}
        for _ in range(options.rounds):
            for name, checkout in checkouts.items():
                for measure, repeats in in_a_process(checkout, Path(folder), options.bundle).items():
                    times[name][measure] += repeats
    for measure in times["ours"]:
        print(json.dumps(line(measure, times, str(options.baseline or "none"))))
    print(json.dumps(machine()))


def make_inputs(folder: Path) -> None:
    """A raw scan of each size as a TIFF, plain and deflated, and beside it the part's mask and an anomaly map of it."""
    from cmdiad.benchmarks.shared.scans import raw_scan
    from cmdiad.runtime.bundle.parameters import STRUCTURED_LIGHT
    from cmdiad.runtime.preparation.prepare import map_to_input, prepare
    from scipy.ndimage import gaussian_filter

    patches = np.random.default_rng(0).uniform(0, 0.5, (56, 56))
    patches[20:26, 30:37] += 1.5
    for name, (height, width, n_scans) in SIZES.items():
        top = (max(height, width) - height) // 2
        for seed in range(n_scans):
            points = np.ascontiguousarray(raw_scan(PART_CLASS, seed, max(height, width))[top : top + height])
            tifffile.imwrite(folder / f"{name}_{seed}.tiff", points, photometric="rgb")
            tifffile.imwrite(folder / f"{name}_{seed}.deflated.tiff", points, photometric="rgb", compression="zlib")
            prepared = prepare(points, STRUCTURED_LIGHT)
            blurred = gaussian_filter(np.where(prepared.valid, np.kron(patches, np.ones((4, 4))), 0), 4)
            np.savez(
                folder / f"{name}_{seed}.npz",
                valid=prepared.kept,
                map=map_to_input(blurred.astype(np.float32), prepared.frame),
            )


def in_a_process(checkout: Path, folder: Path, bundle: Path | None) -> Times:
    """The measures of one checkout, by a fresh process that imports it as `cmdiad`."""
    with tempfile.TemporaryDirectory() as place:
        (Path(place) / "cmdiad").symlink_to(checkout, target_is_directory=True)
        command = [sys.executable, __file__, "--child", str(folder), *([str(bundle.resolve())] if bundle else [])]
        environment = {**os.environ, "PYTHONPATH": place, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment).stdout
    times: Times = json.loads(printed)
    return times


def measure_here(folder: Path, bundle: Path | None) -> Times:
    """Open a bundle and read deflated files with all processors, then do the rest on one."""
    times: Times = {}
    if bundle is not None:
        from cmdiad.runtime.engines.onnxruntime_import import import_onnxruntime
        from cmdiad.runtime.inspector import Inspector

        import_onnxruntime()  # which is not the bundle's time
        times["open_full_size"] = repeated(lambda: Inspector.load(bundle).close(), 3)
    for name, (_, _, n_scans) in SIZES.items():
        with shared_unpacking():
            files = [folder / f"{name}_{seed}.deflated.tiff" for seed in range(n_scans)]
            runs = (repeated(partial(checkouts_modules().scan.read_scan, file)) for file in files)
            times[f"read_deflated_all_processors_{name}"] = list(chain.from_iterable(runs))
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    for name, (_, _, n_scans) in SIZES.items():
        stages: Times = defaultdict(list)
        for seed in range(n_scans):
            for stage, seconds in stages_of(folder / f"{name}_{seed}").items():
                stages[stage] += seconds
        times |= {f"{stage}_{name}": seconds for stage, seconds in stages.items()}
    return times


def stages_of(scan: Path) -> Times:
    """One scan's way: its file, and the files of its inspection."""
    module = checkouts_modules()
    read_scan, write_heatmap, write_map = module.scan.read_scan, module.heatmap.write_heatmap, module.heatmap.write_map
    prepare, settings = module.prepare.prepare, module.parameters.STRUCTURED_LIGHT
    path, points = scan.with_suffix(".tiff"), read_scan(scan.with_suffix(".tiff")).points
    with np.load(scan.with_suffix(".npz")) as held:
        valid, anomalies = held["valid"], held["map"]
    heatmap = (scan.with_name("heatmap.png"), anomalies, valid, 1.0, points)
    return {
        "read": repeated(partial(read_scan, path)),
        "read_deflated": repeated(partial(read_scan, scan.with_suffix(".deflated.tiff"))),
        "preprocess": repeated(partial(prepare, points, settings)),
        "heatmap": repeated(partial(write_heatmap, *heatmap)),
        "map": repeated(partial(write_map, scan.with_name("map.tiff"), anomalies)),
    }


def shared_unpacking() -> AbstractContextManager[None]:
    """As an inspector reads, with threads that unpack a file together; checkouts before there were any do without."""
    if find_spec("cmdiad.runtime.sensor") is None or find_spec("cmdiad.runtime.sensor.unpacking") is None:
        return nullcontext()
    count = import_module("cmdiad.runtime.threads").usable_processors()
    shared: AbstractContextManager[None] = (
        import_module("cmdiad.runtime.sensor.unpacking").UnpackingThreads(count).shared()
    )
    return shared


def checkouts_modules() -> SimpleNamespace:
    """Where this checkout has its functions: in rooms, or, before they were built, side by side in the runtime."""
    names = {"scan": "sensor", "prepare": "preparation", "heatmap": "verdict", "parameters": "bundle"}
    older = {"prepare": "preprocessing", "parameters": "preprocessing"}
    if find_spec("cmdiad.runtime.preparation") is None:
        return SimpleNamespace(**{name: import_module(f"cmdiad.runtime.{older.get(name, name)}") for name in names})
    return SimpleNamespace(**{name: import_module(f"cmdiad.runtime.{room}.{name}") for name, room in names.items()})


def repeated(run: Callable[[], object], repeats: int = REPEATS) -> list[tuple[float, float]]:
    """Wall and processor seconds of every repeat, after one that is not counted."""
    run()
    times = []
    for _ in range(repeats):
        begin, busy = time.perf_counter(), time.process_time()
        run()
        times.append((time.perf_counter() - begin, time.process_time() - busy))
    return times


def line(measure: str, times: dict[str, Times], baseline: str) -> dict[str, Any]:
    """One row: medians in milliseconds."""
    row: dict[str, Any] = {"measure": measure}
    for name, measured in times.items():
        wall, busy = (statistics.median(seconds) for seconds in zip(*measured[measure], strict=True))
        row |= {f"{name}_ms": round(1e3 * wall, 1), f"{name}_processor_ms": round(1e3 * busy, 1)}
    row["baseline"] = baseline
    if "baseline" in times:
        row["ratio"] = round(row["baseline_processor_ms"] / row["ours_processor_ms"], 2)
    return row


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        places = [Path(argument) for argument in sys.argv[2:]]
        print(json.dumps(measure_here(places[0], places[1] if len(places) > 1 else None)))
    else:
        main()
