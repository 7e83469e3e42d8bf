"""The memory bank's search against FAISS (IndexFlatL2), on as many threads.

    python benchmarks/search.py [--quick] [SCANS]

SCANS is a folder of `*.tiff` scans; without it parts are rendered. The bank is a coreset of their patch features,
the queries are the patches of scans that are not in it. Prints one JSON object a measure, then the machine. The
baseline needs FAISS: pip install faiss-cpu.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from cmdiad.calibration.coreset import select_coreset
from cmdiad.runtime.bank import MemoryBank
from cmdiad.runtime.search import half_sq_norms, nearest_rows
from patch_features import DIM, patch_features

N_QUERIES = 1250
FULL = {"scans": 244, "rows": 76_000}
QUICK = {"scans": 16, "rows": 5_000}
QUERY_SCANS = 4
REPEATS = 7
SCREENED_BAR = 8.0
# Both are one matrix product at the processor's speed; the direct search also measures its winners.
DIRECT_BAR = 0.8

Array = npt.NDArray[np.float32]


def main(arguments: list[str]) -> None:
    """Measure and print."""
    sizes = QUICK if "--quick" in arguments else FULL
    folders = [Path(each) for each in arguments if not each.startswith("--")]
    features = patch_features(sizes["scans"] + QUERY_SCANS, folders[0] if folders else None)
    pool = np.concatenate(features[:-QUERY_SCANS])
    rows = pool[select_coreset(pool, min(sizes["rows"], len(pool)), seed=0)]
    queries = np.concatenate(features[-QUERY_SCANS:])
    queries = queries[np.linspace(0, len(queries) - 1, min(N_QUERIES, len(queries))).astype(int)]
    compare("patches", rows, queries, SCREENED_BAR)
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((len(rows), DIM), dtype=np.float32)
    compare("isotropic_noise", noise, rng.standard_normal((len(queries), DIM), dtype=np.float32), DIRECT_BAR)
    print(json.dumps(machine()))


def compare(data: str, rows: Array, queries: Array, bar: float) -> None:
    """Time the bank's search and the direct search against FAISS; all must find the same distances."""
    try:
        import faiss
    except ImportError as error:
        raise SystemExit(f"the baseline needs FAISS: pip install faiss-cpu ({error})") from error
    faiss.omp_set_num_threads(len(os.sched_getaffinity(0)))
    index = faiss.IndexFlatL2(rows.shape[1])
    index.add(rows)
    bank = bank_without_neighbors(rows)
    centered = queries - bank.mean
    start = time.perf_counter()
    bank.search(queries[:1])
    first_ms = (time.perf_counter() - start) * 1e3
    runs: dict[str, Callable[[], Any]] = {
        "faiss": lambda: index.search(queries, 1),
        "bank": lambda: bank.search(queries),
        "direct": lambda: nearest_rows(centered, bank.rows, bank.half_norms),
    }
    results, ms = alternated(runs)
    sq_distance = results["faiss"][0][:, 0]
    np.testing.assert_allclose(results["bank"].distance ** 2, sq_distance, rtol=1e-3, atol=1e-2)
    np.testing.assert_array_equal(results["bank"].index, results["direct"].index[:, 0])
    size = f"{data}_{len(queries)}x{len(rows)}x{rows.shape[1]}"
    report(f"search_{size}", ms["bank"], ms["faiss"], bar)
    report(f"search_direct_{size}", ms["direct"], ms["faiss"], DIRECT_BAR)
    print(json.dumps({"measure": f"first_search_{size}", "ours_ms": round(first_ms, 1)}), flush=True)


def bank_without_neighbors(rows: Array) -> MemoryBank:
    """A bank as `build_bank` makes it; the table of neighbors takes no part in a search."""
    mean = rows.mean(axis=0, dtype=np.float64).astype(np.float32)
    centered = rows - mean
    return MemoryBank(centered, mean, half_sq_norms(centered), np.empty((len(rows), 0), np.int32), "l2")


def alternated(runs: dict[str, Callable[[], Any]]) -> tuple[dict[str, Any], dict[str, float]]:
    """Results and median milliseconds; the runs take turns, so that a busy machine slows all of them."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    results = {}
    for _ in range(REPEATS):
        for name, run in runs.items():
            start = time.perf_counter()
            results[name] = run()
            times[name].append((time.perf_counter() - start) * 1e3)
    return results, {name: statistics.median(each) for name, each in times.items()}


def report(measure: str, ours_ms: float, baseline_ms: float, bar: float) -> None:
    """One line of the benchmark contract; `bar` is the least ratio that is wanted."""
    line = {
        "measure": measure,
        "ours_ms": round(ours_ms, 1),
        "baseline": "faiss IndexFlatL2",
        "baseline_ms": round(baseline_ms, 1),
        "ratio": round(baseline_ms / ours_ms, 2),
        "bar": bar,
    }
    print(json.dumps(line), flush=True)


def machine() -> dict[str, str | int | None]:
    """What the times were measured on."""
    return {
        "machine": platform.machine(),
        "system": platform.system(),
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
        "numpy": np.__version__,
    }


if __name__ == "__main__":
    main(sys.argv[1:])
